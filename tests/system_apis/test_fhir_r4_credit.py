"""A recorded charge is taken back before the reviewers of the simulated EHR: once, and visibly."""

from collections.abc import AsyncGenerator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from canonical.charge import (
    ChargeCredit,
    ChargeLine,
    ChargeReversal,
    ChargeReview,
    RecordedCharge,
)
from canonical.context import PatientContext
from canonical.errors import UpstreamFailed, UpstreamRefused
from canonical.item import ItemId, Quantity
from sandbox.ehr.app import Settings, create_app
from system_apis.ehr.fhir_r4.client import FhirChargeReview

PATIENT = PatientContext(patient_id="MRN-0001", encounter="V77")
BOXES = Quantity(value=Decimal(3), unit="BX")
REVIEW = ChargeReview(
    context_token="ctx_1",
    facility="1010",
    occurred_on=date(2026, 3, 4),
    procedure="27130",
    lines=tuple(
        ChargeLine(item=ItemId(item), description=item, quantity=BOXES) for item in ("stem", "cup")
    ),
)


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    nobody = Settings(
        gateway_url="http://none",
        mllp_host="127.0.0.1",
        mllp_port=1,
        token_url="http://none",
        client_id="",
        client_secret="",
    )
    transport = httpx.ASGITransport(app=create_app(nobody))
    async with httpx.AsyncClient(transport=transport, base_url="http://ehr/fhir/") as client:
        yield client


def reversal(*taken: ChargeCredit) -> ChargeReversal:
    return ChargeReversal(
        context_token="ctx_1", facility="1010", occurred_on=date(2026, 3, 5), credits=taken
    )


async def book(http: httpx.AsyncClient) -> list[tuple[str, str, float]]:
    found = (await http.get("ChargeItem")).json()
    items: list[Any] = [entry["resource"] for entry in found.get("entry", [])]
    return [(each["id"], each["status"], each["quantity"]["value"]) for each in items]


async def fault(http: httpx.AsyncClient, kind: str) -> None:
    (await http.post("http://ehr/sim/faults", json={"kind": kind})).raise_for_status()


async def test_a_whole_charge_that_waits_for_review_becomes_entered_in_error(
    http: httpx.AsyncClient,
):
    desk = FhirChargeReview(http)
    stem, cup = (await desk.record_charge(REVIEW, key="use", patient=PATIENT)).ids
    credit = ChargeCredit(id=stem, quantity=BOXES, whole=True)
    for _ in range(2):
        done = await desk.credit_charge(reversal(credit), key="credit", patient=PATIENT)
        assert done == RecordedCharge(ids=(stem,))
    assert await book(http) == [(stem, "entered-in-error", 3), (cup, "planned", 3)]


async def test_a_part_is_put_before_the_reviewer_as_a_credit(http: httpx.AsyncClient):
    desk = FhirChargeReview(http)
    stem, cup = (await desk.record_charge(REVIEW, key="use", patient=PATIENT)).ids
    part = Quantity(value=Decimal(1), unit="BX")
    credit = ChargeCredit(id=cup, quantity=part, whole=False)
    for _ in range(2):
        (made,) = (await desk.credit_charge(reversal(credit), key="c", patient=PATIENT)).ids
    assert await book(http) == [(stem, "planned", 3), (cup, "planned", 3), (made, "planned", -1)]
    item = (await http.get(f"ChargeItem/{made}")).json()
    assert item["subject"] == {"type": "Patient", "identifier": {"value": "MRN-0001"}}
    assert {"text": f"takes back ChargeItem/{cup}"} in item["note"]


async def test_what_was_reviewed_is_credited_and_not_rewritten(http: httpx.AsyncClient):
    desk = FhirChargeReview(http)
    stem, _ = (await desk.record_charge(REVIEW, key="use", patient=PATIENT)).ids
    billed = [{"op": "replace", "path": "/status", "value": "billed"}]
    (await http.patch(f"ChargeItem/{stem}", json=billed)).raise_for_status()
    credit = ChargeCredit(id=stem, quantity=BOXES, whole=True)
    (made,) = (await desk.credit_charge(reversal(credit), key="credit", patient=PATIENT)).ids
    assert (stem, "billed", 3) in await book(http)
    assert (made, "planned", -3) in await book(http)


@pytest.mark.parametrize("known", [True, False], ids=["its result is known", "found by its key"])
@pytest.mark.parametrize("kind", ["before", "after-commit"])
async def test_a_recorded_charge_is_undone_although_an_answer_is_lost(
    http: httpx.AsyncClient, kind: str, *, known: bool
):
    desk = FhirChargeReview(http)
    done = await desk.record_charge(REVIEW, key="use", patient=PATIENT)
    await fault(http, kind)
    with pytest.raises(UpstreamFailed):
        await desk.take_back_charge(REVIEW, done if known else None, key="use", patient=PATIENT)
    taken = await desk.take_back_charge(REVIEW, done if known else None, key="use", patient=PATIENT)
    assert taken == done
    assert {status for _, status, _ in await book(http)} == {"entered-in-error"}
    assert await desk.take_back_charge(REVIEW, None, key="use", patient=PATIENT) == done


async def test_a_charge_that_was_never_recorded_is_not_undone(http: httpx.AsyncClient):
    desk = FhirChargeReview(http)
    assert await desk.take_back_charge(REVIEW, None, key="use", patient=PATIENT) == RecordedCharge(
        ids=()
    )
    assert await book(http) == []


async def test_a_charge_that_is_gone_is_told(http: httpx.AsyncClient):
    credit = ChargeCredit(id="charge-9", quantity=BOXES, whole=True)
    with pytest.raises(UpstreamRefused, match="404"):
        await FhirChargeReview(http).credit_charge(reversal(credit), key="k", patient=PATIENT)
