"""Numbers for Prometheus: all answers are counted, names have units, series are few."""

import re

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import create_app
from gateway.config import Config
from gateway.metrics import bounded
from gateway.runtime import Stores, open_parts

NAME = re.compile(r"suture_[a-z]+(?:_[a-z]+)*$")
LABELS = {"tier", "status", "upstream", "reason", "which", "subscription", "le"}


async def test_every_answer_is_counted_also_what_a_policy_refuses(config: Config, stores: Stores):
    async with open_parts(config, stores=stores) as parts:
        transport = httpx.ASGITransport(create_app(parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            bad = {"authorization": "Bearer nonsense"}
            for path in ("/process/v1/tasks", "/experience/v1/nothing"):
                assert (await http.get(path, headers=bad)).status_code == 401
            await http.get("/nowhere")
            page = (await http.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(page)}
    counted = {
        (sample.labels["tier"], sample.labels["status"]): sample.value
        for sample in families["suture_http_requests"].samples
        if sample.name.endswith("_total")
    }
    assert counted == {
        ("process", "401"): 1.0,
        ("experience", "401"): 1.0,
        ("other", "404"): 1.0,
    }
    assert families["suture_writer_records"].type == "counter"
    assert all(NAME.match(name) for name in families)
    samples = [sample for family in families.values() for sample in family.samples]
    assert {label for sample in samples for label in sample.labels} <= LABELS
    assert all(family.documentation for family in families.values())
    assert "suture_http_request_duration_seconds" in families


def test_a_label_has_few_values_however_many_subscriptions_there_are():
    told = bounded((f"sub_{n}", n) for n in range(1000))
    assert len(told) == 51
    assert told[0] == ("sub_999", 999)
    assert told[-1] == ("others", 949)
    assert bounded([("a", 1)]) == [("a", 1)]
