"""Each line counts once for its encounter, and for the day on which it was used."""

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pytest

from canonical.charge import ChargeReview, RecordedCharge
from canonical.context import PatientContext
from canonical.deadline import Deadlines
from canonical.item import ItemCode, ItemId, Quantity
from canonical.usage import UsageEvent, UsageLine
from process_apis.usage_to_replenishment.flow import usage_to_replenishment
from tests.ledger.outside import ended, raised
from tests.process_apis.conftest import NOW, TOKEN, Floor

GLOVE = ItemId("CON-60008")
EVENING = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
"""Half past one in London is still the day before in New York."""


class Desk:
    """Keeps the charges that were handed over for review."""

    system = "charges"

    def __init__(self) -> None:
        self.charges: list[ChargeReview] = []

    async def record_charge(
        self, charge: ChargeReview, *, key: str, patient: PatientContext
    ) -> RecordedCharge:
        self.charges.append(charge)
        return RecordedCharge(ids=(key,))

    async def take_back_charge(
        self,
        charge: ChargeReview,
        done: RecordedCharge | None,
        /,
        *,
        key: str,
        patient: PatientContext,
    ) -> RecordedCharge:
        self.charges.remove(charge)
        return done or RecordedCharge(ids=(key,))


@pytest.fixture
async def desk(floor: Floor) -> Desk:
    made = Desk()
    run = partial(
        usage_to_replenishment,
        records=floor.records,
        stock=floor.erp,
        costs=floor.erp,
        charges=made,
        deadlines=Deadlines(),
    )
    floor.run("usage-to-replenishment", "item-used", UsageEvent, run)
    return made


def used(encounter: str = "E-1", case: str = "", **line: object) -> UsageEvent:
    told = {"reference": "1", **line}
    return UsageEvent(
        facility="1710",
        location="OR01",
        occurred_at=EVENING,
        source="EHR",
        encounter=encounter,
        case=case,
        context_token=TOKEN,
        lines=(
            UsageLine(
                codes=(ItemCode(scheme="erp", value=GLOVE),),
                quantity=Quantity(value=Decimal(1), unit="EA"),
                **told,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        (used("E-1"), used("E-2"), 2),
        (used("", "C-1"), used("", "C-2"), 2),
        (used("E-1"), used("E-1", reference="2"), 2),
        (used("E-1"), used("E-1"), 1),
        (used("E-1", "C-1"), used("E-1"), 1),
    ],
    ids=["other-encounter", "other-case", "other-line", "same-line", "same-line-without-its-case"],
)
async def test_a_line_number_counts_once_for_its_encounter(
    floor: Floor, desk: Desk, first: UsageEvent, second: UsageEvent, taken: int
):
    before = (await floor.erp.stock(GLOVE, "1710", "OR01")).on_hand
    for number, usage in enumerate((first, second)):
        await floor.announce("item-used", usage, f"usage {number}")
    await ended(floor.ledger, 2)
    assert before - (await floor.erp.stock(GLOVE, "1710", "OR01")).on_hand == taken
    assert len(desk.charges) == taken


async def test_a_charge_is_of_the_hospitals_day_of_use_and_documents_are_of_today(
    floor: Floor, desk: Desk
):
    await floor.announce("item-used", used(expires=date(2026, 11, 19)), "usage")
    await ended(floor.ledger)
    assert [charge.occurred_on for charge in desk.charges] == [date(2026, 11, 19)]
    path = "/sap/opu/odata/sap/API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader"
    rows = (await floor.http.get(path)).json()["d"]["results"]
    today = int(datetime.combine(NOW.date(), datetime.min.time(), UTC).timestamp()) * 1000
    assert rows[-1]["PostingDate"] == f"/Date({today})/"


async def test_what_was_expired_when_it_was_used_goes_to_a_person(floor: Floor, desk: Desk):
    await floor.announce("item-used", used(expires=date(2026, 11, 18)), "usage")
    task = await raised(floor.ledger, "stuck")
    assert task.reason == "item-expired"
    assert "CON-60008 expired on 2026-11-18" in task.detail
    assert desk.charges == []
