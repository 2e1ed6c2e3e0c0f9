"""Charge review over FHIR: each line once, each upstream trouble by its own name."""

from datetime import date
from decimal import Decimal

import httpx
import msgspec
import pytest

from canonical.charge import ChargeLine, ChargeReview
from canonical.context import PatientContext
from canonical.errors import (
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from canonical.item import Quantity
from system_apis.ehr.fhir_r4.client import FhirChargeReview

PATIENT = PatientContext(patient_id="MRN-0001", encounter="V77")
REVIEW = ChargeReview(
    context_token="ctx_1",
    facility="1010",
    occurred_on=date(2026, 3, 4),
    procedure="27130",
    lines=tuple(
        ChargeLine(item=item, description=item, quantity=Quantity(value=Decimal(1), unit="EA"))
        for item in ("stem", "cup")
    ),
)


class ChargeServer:
    """A FHIR server that honours If-None-Exist and remembers what it made."""

    def __init__(self) -> None:
        self.items: dict[str, bytes] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/fhir/ChargeItem"
        wanted = httpx.QueryParams(request.headers["If-None-Exist"])["identifier"]
        body = msgspec.json.decode(request.content)
        assert wanted == "|".join(body["identifier"][0].values())
        status = 200 if wanted in self.items else 201
        self.items.setdefault(wanted, request.content)
        number = list(self.items).index(wanted) + 1
        return httpx.Response(status, json={"resourceType": "ChargeItem", "id": f"c{number}"})


def desk(answer) -> FhirChargeReview:
    http = httpx.AsyncClient(
        transport=httpx.MockTransport(answer), base_url="https://ehr.example/fhir"
    )
    return FhirChargeReview(http)


async def test_each_line_is_recorded_once_however_often_it_is_sent():
    server = ChargeServer()
    first = await desk(server).record_charge(REVIEW, key="flow/charge", patient=PATIENT)
    again = await desk(server).record_charge(REVIEW, key="flow/charge", patient=PATIENT)
    assert first.ids == again.ids == ("c1", "c2")
    assert len(server.items) == 2


async def test_a_retry_after_a_lost_answer_finds_what_was_committed():
    server = ChargeServer()

    def loses_the_second(request: httpx.Request) -> httpx.Response:
        answer = server(request)
        return httpx.Response(502) if len(server.items) == 2 else answer

    with pytest.raises(UpstreamFailed):
        await desk(loses_the_second).record_charge(REVIEW, key="k", patient=PATIENT)
    assert (await desk(server).record_charge(REVIEW, key="k", patient=PATIENT)).ids == ("c1", "c2")
    assert len(server.items) == 2


async def test_the_id_is_taken_from_the_location_of_an_empty_answer():
    located = {"Location": "https://ehr.example/fhir/ChargeItem/77/_history/1"}
    answer = await desk(lambda _: httpx.Response(201, headers=located)).record_charge(
        REVIEW, key="k", patient=PATIENT
    )
    assert answer.ids == ("77", "77")


ANSWERS = [
    (httpx.Response(429, headers={"Retry-After": "7"}), UpstreamThrottled, 7.0),
    (httpx.Response(429), UpstreamThrottled, None),
    (httpx.Response(500), UpstreamFailed, None),
    (httpx.Response(503, headers={"Retry-After": "3"}), UpstreamFailed, 3.0),
    (httpx.Response(503, headers={"Retry-After": "soon"}), UpstreamFailed, None),
    (httpx.Response(422, json={"issue": [{"diagnostics": "MRN-0001"}]}), UpstreamRefused, None),
    (httpx.Response(412), UpstreamRefused, None),
    (httpx.Response(201, content=b"<html>"), UpstreamGarbled, None),
    (httpx.Response(201, content=b'{"id": ""}'), UpstreamGarbled, None),
    (httpx.Response(200, content=b'{"id": "\xff"}'), UpstreamGarbled, None),
]


@pytest.mark.parametrize(("response", "failure", "retry_after"), ANSWERS)
async def test_an_answer_that_is_no_success_has_a_name(response, failure, retry_after):
    with pytest.raises(failure) as trouble:
        await desk(lambda _: response).record_charge(REVIEW, key="k", patient=PATIENT)
    assert trouble.value.retry_after == retry_after
    assert "MRN-0001" not in str(trouble.value)


TROUBLES = [
    (httpx.ReadTimeout("slow"), UpstreamTimeout),
    (httpx.ConnectTimeout("slow"), UpstreamTimeout),
    (httpx.ConnectError("refused"), UpstreamUnavailable),
    (httpx.ReadError("reset"), UpstreamUnavailable),
    (httpx.RemoteProtocolError("gone"), UpstreamFailed),
    (httpx.DecodingError("gzip"), UpstreamGarbled),
    (httpx.ProxyError("no"), UpstreamUnavailable),
]


@pytest.mark.parametrize(("error", "failure"), TROUBLES)
async def test_a_broken_line_has_a_name(error, failure):
    def breaks(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(failure):
        await desk(breaks).record_charge(REVIEW, key="k", patient=PATIENT)
