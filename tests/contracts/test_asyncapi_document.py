"""The AsyncAPI document: current, whole, and true of what leaves."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from canonical.events import AVAILABLE, TAXONOMY
from canonical.item import ItemId, Quantity
from canonical.published import ItemConsumed, Ping, TaskRaised
from canonical.published_trade import OrderShipped
from canonical.shipment import ShippedLine
from canonical.usage import ResolvedUsage
from gateway.asyncapi import document, encoded
from gateway.events import DOCUMENT
from ledger.outbox import Event, Position
from system_apis.subscribers.envelope import Envelope
from tests.contracts.test_openapi_documents import FOLDER, references

TOLD = document()
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
EACH = Quantity(value=Decimal("2.5"), unit="EA")


def found(reference: str) -> Any:
    target: Any = TOLD
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    return target


def test_the_committed_document_is_what_the_taxonomy_says() -> None:
    committed = (FOLDER / DOCUMENT).read_bytes()
    assert committed == encoded(), f"openapi/{DOCUMENT} is out of date: run make openapi"


def test_every_reference_leads_somewhere() -> None:
    for reference in references(TOLD):
        assert found(reference) is not None


def test_it_has_the_shape_of_asyncapi_3() -> None:
    fields = {"asyncapi", "info", "defaultContentType", "servers", "channels", "operations"}
    assert set(TOLD) - {"x-planned"} == fields | {"components"}
    assert TOLD["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(TOLD["info"])
    for server in TOLD["servers"].values():
        assert {"host", "protocol"} <= set(server)
        assert set(server["variables"]) == set(re.findall(r"\{(\w+)\}", server["host"]))
    for channel in TOLD["channels"].values():
        named = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
        assert set(channel.get("parameters", {})) == named
        assert all(server["$ref"].startswith("#/servers/") for server in channel.get("servers", ()))
    for operation in TOLD["operations"].values():
        assert operation["action"] == "send"
        own = operation["channel"]["$ref"]
        assert all(each["$ref"].startswith(f"{own}/messages/") for each in operation["messages"])
    for name in ("messages", "schemas", "messageTraits"):
        keys = TOLD["components"][name]
        assert [key for key in keys if not re.fullmatch(r"[A-Za-z0-9._-]+", key)] == []


def test_every_channel_carries_every_event_and_no_planned_one() -> None:
    for channel in TOLD["channels"].values():
        told = {found(message["$ref"])["name"] for message in channel["messages"].values()}
        assert told == {kind.type for kind in AVAILABLE}
    planned = {kind.name for kind in TAXONOMY if kind.planned}
    assert {each["name"] for each in TOLD["x-planned"]} == planned
    assert planned


@pytest.mark.parametrize("name", sorted(TOLD["components"]["schemas"]))
def test_every_schema_is_one(name: str) -> None:
    jsonschema_rs.meta.validate(TOLD["components"]["schemas"][name])


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("subscription.ping.v1", Ping(text="hello")),
        (
            "item.consumed.v1",
            ItemConsumed(
                facility="1710",
                location="OR01",
                cost_center="CC",
                document="49",
                occurred_at=NOW,
                lines=(ResolvedUsage(item=ItemId("I"), description="x", quantity=EACH),),
            ),
        ),
        (
            "order.shipped.v1",
            OrderShipped(
                order="45",
                supplier="S",
                notice="A1",
                shipped_on=date(2026, 11, 20),
                lines=(ShippedLine(order_line=10, quantity=EACH),),
            ),
        ),
        (
            "exception.escalated.v1",
            TaskRaised(
                task="task_1", kind="stuck", reason="r", title="t", owner="o", raised_at=NOW
            ),
        ),
    ],
)
def test_what_leaves_keeps_the_schema_of_its_message(name: str, payload: msgspec.Struct) -> None:
    message = TOLD["components"]["messages"][name]
    event = Event(
        id="evt_1",
        position=Position(1, 2),
        transaction="",
        type=message["name"],
        subject="",
        body=msgspec.json.encode(payload),
        facility="",
        data_class="supply",
        cause="",
        at=NOW,
    )
    envelope = Envelope(source="urn:suture", document="https://suture.test/openapi/events.json")
    schema = {**message["payload"], "components": TOLD["components"]}
    validator = jsonschema_rs.validator_for(schema)
    left = msgspec.json.decode(envelope.around(event))
    validator.validate(left)
    assert not validator.is_valid({**left, "type": "org.suture.other.v1"})
    assert not validator.is_valid({**left, "data": {}})
    assert left["dataschema"].rpartition("/")[2] in TOLD["components"]["schemas"]
