"""What may be posted of what was used, what it moves, and what must be bought again."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from canonical.errors import (
    Failure,
    InactiveItem,
    InvalidRequest,
    ItemExpired,
    UnknownLot,
    WrongUnit,
)
from canonical.inventory import Lot, ParLevel, PostedMovement, StockLevel
from canonical.item import Item, ItemCode, ItemId, Packaging, Quantity
from canonical.location import Location
from canonical.money import Money
from canonical.usage import ResolvedUsage, UsageEvent, UsageLine
from process_apis.usage_to_replenishment.rules import (
    case_cost,
    charge_review,
    consumption,
    postable_line,
    replenishment,
)

TODAY = date(2026, 5, 12)
YESTERDAY = date(2026, 5, 11)
ROOM = Location(id="OR01", facility="1710", cost_center="CC-OR")
SUTURE = Item(
    id=ItemId("CON-1"),
    description="Suture",
    base_unit="EA",
    packagings=(Packaging(unit="BX", factor=Decimal(36)),),
)
INSERT = Item(
    id=ItemId("IMP-1"),
    description="Tibial insert",
    base_unit="EA",
    kind="implant",
    lot_controlled=True,
    serial_controlled=True,
)


def used(value: str = "1", unit: str = "EA", **batch: object) -> UsageLine:
    return UsageLine(
        codes=(ItemCode(scheme="erp", value="X"),),
        quantity=Quantity(value=Decimal(value), unit=unit),
        **batch,
    )


def lot(expires: date | None = None) -> Lot:
    return Lot(item=INSERT.id, number="L-1", on_hand=Decimal(4), expires=expires)


def but(item: Item, **changed: object) -> Item:
    return msgspec.structs.replace(item, **changed)


@pytest.mark.parametrize(
    ("line", "item", "batch", "refusal", "says"),
    [
        (used(), but(SUTURE, active=False), None, InactiveItem, "CON-1 is inactive"),
        (used(unit="PK"), SUTURE, None, WrongUnit, "no packaging PK"),
        (used("0"), SUTURE, None, InvalidRequest, "0 EA used"),
        (used("-2", "BX"), SUTURE, None, InvalidRequest, "-72 EA used"),
        (used(serial="S-1"), INSERT, None, UnknownLot, "IMP-1 needs a lot"),
        (used(lot="L-1"), INSERT, lot(), UnknownLot, "IMP-1 needs a serial"),
        (used("2", serial="S-1"), INSERT, lot(), UnknownLot, "one serial for 2 pieces"),
        (
            used(serial="S-1"),
            INSERT,
            lot(YESTERDAY),
            ItemExpired,
            "lot L-1 of IMP-1 expired on 2026-05-11",
        ),
        (
            used(serial="S-1", expires=YESTERDAY),
            INSERT,
            lot(),
            ItemExpired,
            "lot L-1 of IMP-1 expired on 2026-05-11",
        ),
        (used(lot="X", expires=YESTERDAY), SUTURE, None, ItemExpired, "lot X of CON-1 expired"),
        (used(expires=YESTERDAY), SUTURE, None, ItemExpired, ": CON-1 expired on 2026-05-11"),
    ],
)
def test_usage_that_may_not_be_posted_is_refused_by_name(
    line: UsageLine, item: Item, batch: Lot | None, refusal: type[Failure], says: str
):
    with pytest.raises(refusal, match=says) as refused:
        postable_line(line, item, batch, TODAY)
    assert refused.value.fix or refused.value.expected


@pytest.mark.parametrize(
    ("substitute", "fix"),
    [(ItemId("CON-2"), "use CON-2, then retry"), (None, "reactivate or replace the item")],
)
def test_an_inactive_item_names_its_substitute_where_there_is_one(substitute, fix: str):
    with pytest.raises(InactiveItem) as refused:
        postable_line(used(), but(SUTURE, active=False, substitute=substitute), None, TODAY)
    assert fix in refused.value.fix


@pytest.mark.parametrize("expires", [TODAY, TODAY + timedelta(days=1), None])
def test_a_batch_may_be_used_up_to_its_last_day(expires: date | None):
    kept = postable_line(used(serial="S-1"), INSERT, lot(expires), TODAY)
    assert (kept.item, kept.lot, kept.serial, kept.implant) == ("IMP-1", "L-1", "S-1", True)


@pytest.mark.parametrize(
    ("of_the_lot", "of_the_label"), [(TODAY, YESTERDAY), (None, TODAY), (None, None)]
)
def test_the_hospitals_own_date_of_a_lot_goes_before_its_label(of_the_lot, of_the_label):
    line = used(serial="S-1", expires=of_the_label)
    assert postable_line(line, INSERT, lot(of_the_lot), TODAY).lot == "L-1"


def test_what_was_used_by_the_box_is_posted_in_base_units():
    kept = postable_line(used("2", "BX", lot="printed"), SUTURE, None, TODAY)
    assert kept.quantity == Quantity(value=Decimal(72), unit="EA")
    assert (kept.lot, kept.implant) == ("printed", False)


USAGE = UsageEvent(
    facility="1710",
    location="OR01",
    occurred_at=datetime(2026, 5, 12, 9, tzinfo=UTC),
    lines=(used(),),
    procedure="27447",
    case="case-pseudonym",
    encounter="visit-pseudonym",
    context_token="token",
)
LINES = (
    ResolvedUsage(
        item=INSERT.id,
        description="Tibial insert",
        quantity=Quantity(value=Decimal(1), unit="EA"),
        lot="L-1",
        serial="S-1",
        implant=True,
    ),
)
POSTED = PostedMovement(document="4900000001", year="2026", value=Money(amount=Decimal("812.50")))


@pytest.mark.parametrize(
    ("given", "cost_center", "reference"),
    [
        ({}, "CC-OR", "case-pseudonym"),
        ({"cost_center": "CC-ICU"}, "CC-ICU", "case-pseudonym"),
        ({"case": ""}, "CC-OR", "visit-pseudonym"),
    ],
)
def test_consumption_is_borne_by_the_named_cost_centre_else_by_the_place(
    given: dict[str, str], cost_center: str, reference: str
):
    usage = msgspec.structs.replace(USAGE, **given)
    movement = consumption(usage, ROOM, LINES, "R-1", TODAY)
    assert (movement.cost_center, movement.reference) == (cost_center, reference)


def test_consumption_carries_lot_serial_place_and_reservation():
    movement = consumption(USAGE, ROOM, LINES, "R-1", TODAY)
    assert (movement.kind, movement.reservation, movement.on) == ("consumption", "R-1", TODAY)
    (line,) = movement.lines
    assert (line.item, line.lot, line.serial, line.location) == ("IMP-1", "L-1", "S-1", "OR01")


def test_the_cost_of_the_movement_goes_to_its_case():
    cost = case_cost(consumption(USAGE, ROOM, LINES, "", TODAY), POSTED)
    assert (cost.case, cost.cost_center, cost.reference) == (
        "case-pseudonym",
        "CC-OR",
        "4900000001",
    )
    assert cost.amount == POSTED.value


def test_the_charge_to_review_has_the_batch_and_only_the_token_of_the_patient():
    charge = charge_review(USAGE, YESTERDAY, LINES, POSTED)
    assert (charge.context_token, charge.procedure, charge.movement) == (
        "token",
        "27447",
        "4900000001",
    )
    assert charge.occurred_on == YESTERDAY
    (line,) = charge.lines
    assert (line.item, line.lot, line.serial, line.quantity.unit) == ("IMP-1", "L-1", "S-1", "EA")


def level(
    on_hand: str, reserved: str = "0", on_order: str = "0", item: str = "CON-1"
) -> StockLevel:
    return StockLevel(
        item=ItemId(item),
        facility="1710",
        location="OR01",
        unit="EA",
        on_hand=Decimal(on_hand),
        reserved=Decimal(reserved),
        on_order=Decimal(on_order),
    )


def par(full: str, item: str = "CON-1", supplier: str = "S-1") -> ParLevel:
    return ParLevel(
        item=ItemId(item),
        facility="1710",
        location="OR01",
        safety=Decimal(1),
        par=Decimal(full),
        supplier=supplier,
    )


@pytest.mark.parametrize(
    ("stock", "bought"),
    [
        (level("10"), None),
        (level("11"), None),
        (level("9"), "1"),
        (level("9.5"), "0.5"),
        (level("10", reserved="1"), "1"),
        (level("4", on_order="6"), None),
        (level("4", on_order="5"), "1"),
        (level("4", reserved="2", on_order="3"), "5"),
    ],
)
def test_what_fell_below_par_is_brought_back_up_to_par(stock: StockLevel, bought: str | None):
    wanted = replenishment(ROOM, [stock], [par("10")], TODAY)
    asked = [line.quantity for one in wanted for line in one.lines]
    assert asked == ([] if bought is None else [Quantity(value=Decimal(bought), unit="EA")])


def test_only_what_was_used_is_looked_at_and_each_supplier_asked_once():
    wanted = replenishment(
        ROOM,
        [level("0"), level("0", item="IMP-1"), level("0", item="IMP-2")],
        [
            par("2", "CON-1", "S-2"),
            par("3", "IMP-1", "S-1"),
            par("4", "IMP-2", "S-2"),
            par("9", "IMP-9", "S-3"),
        ],
        TODAY,
    )
    assert [(one.supplier, [line.item for line in one.lines]) for one in wanted] == [
        ("S-1", ["IMP-1"]),
        ("S-2", ["CON-1", "IMP-2"]),
    ]
    assert {(one.cost_center, one.needed_on, one.origin) for one in wanted} == {
        ("CC-OR", TODAY, "usage")
    }
