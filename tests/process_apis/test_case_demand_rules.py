"""What a case needs, and from which amount on it would be short."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from canonical.case import PreferenceCard, PreferenceLine, SurgicalCase
from canonical.errors import WrongUnit
from canonical.inventory import ParLevel, StockLevel
from canonical.item import ItemId, Quantity
from canonical.location import Location
from process_apis.case_demand.rules import CasePlan, case_plan, requisitions

INSERT, FEMUR, SUTURE = ItemId("IMP-1"), ItemId("IMP-2"), ItemId("CON-1")
DAY = date(2026, 5, 11)
ROOM = Location(id="OR01", facility="1710", cost_center="CC-OR")
CASE = SurgicalCase(
    facility="1710",
    location="OR01",
    procedure="27447",
    scheduled_at=datetime(2026, 5, 12, 13, tzinfo=UTC),
    case="case-pseudonym",
)


def line(item: ItemId, value: str, unit: str = "EA") -> PreferenceLine:
    return PreferenceLine(item=item, quantity=Quantity(value=Decimal(value), unit=unit))


def card(*lines: PreferenceLine) -> PreferenceCard:
    return PreferenceCard(procedure="27447", lines=lines)


def level(item: ItemId, on_hand: str, reserved: str = "0", on_order: str = "0") -> StockLevel:
    return StockLevel(
        item=item,
        facility="1710",
        location="OR01",
        unit="EA",
        on_hand=Decimal(on_hand),
        reserved=Decimal(reserved),
        on_order=Decimal(on_order),
    )


def par(item: ItemId, safety: str, full: str, supplier: str = "S-1") -> ParLevel:
    return ParLevel(
        item=item,
        facility="1710",
        location="OR01",
        safety=Decimal(safety),
        par=Decimal(full),
        supplier=supplier,
    )


def plan_for(stock: StockLevel, needed: str) -> CasePlan:
    return case_plan(CASE, DAY, ROOM, card(line(INSERT, needed)), [stock], [par(INSERT, "3", "8")])


@pytest.mark.parametrize(
    ("stock", "needed", "to_order"),
    [
        (level(INSERT, "4"), "1", None),
        (level(INSERT, "4"), "2", "6"),
        (level(INSERT, "3"), "1", "6"),
        (level(INSERT, "6", reserved="2"), "1", None),
        (level(INSERT, "6", reserved="3"), "1", "6"),
        (level(INSERT, "0", on_order="4"), "1", None),
        (level(INSERT, "0", on_order="3"), "1", "6"),
        (level(INSERT, "0"), "2", "10"),
        (level(INSERT, "3.5"), "0.6", "5.1"),
    ],
)
def test_a_case_is_short_when_it_takes_the_projected_stock_under_the_safety_level(
    stock: StockLevel, needed: str, to_order: str | None
):
    short = plan_for(stock, needed).shortages
    assert [one.to_order for one in short] == ([] if to_order is None else [Decimal(to_order)])


def test_a_shortage_says_how_it_was_reckoned():
    (short,) = plan_for(level(INSERT, "4", reserved="1", on_order="1"), "2").shortages
    assert (short.item, short.supplier) == (INSERT, "S-1")
    assert (short.needed, short.projected, short.threshold) == (2, 2, 3)


def test_an_item_without_a_par_level_is_reserved_and_never_bought():
    plan = case_plan(CASE, DAY, ROOM, card(line(INSERT, "9")), [level(INSERT, "1")], [])
    assert plan.shortages == ()
    assert [one.item for one in plan.reservation.lines] == [INSERT]


def test_an_item_that_is_on_the_card_twice_is_short_by_both_lines():
    twice = card(line(INSERT, "1"), line(INSERT, "1"))
    (short,) = case_plan(
        CASE, DAY, ROOM, twice, [level(INSERT, "4")], [par(INSERT, "3", "8")]
    ).shortages
    assert (short.needed, short.to_order) == (2, 6)


def test_a_card_in_another_unit_than_the_stock_is_refused_instead_of_counted_wrong():
    with pytest.raises(WrongUnit, match="27447 asks for IMP-1 by BX") as refused:
        case_plan(CASE, DAY, ROOM, card(line(INSERT, "1", "BX")), [level(INSERT, "4")], [])
    assert refused.value.expected == "EA"


def test_the_reservation_is_for_the_case_on_its_day_at_its_room_and_cost_centre():
    reservation = plan_for(level(INSERT, "9"), "2").reservation
    assert reservation.case == "case-pseudonym"
    assert (reservation.facility, reservation.cost_center) == ("1710", "CC-OR")
    assert reservation.needed_on == DAY
    (reserved,) = reservation.lines
    assert (reserved.quantity, reserved.location) == (
        Quantity(value=Decimal(2), unit="EA"),
        "OR01",
    )


def test_what_is_short_is_asked_for_once_a_supplier():
    plan = case_plan(
        CASE,
        DAY,
        ROOM,
        card(line(INSERT, "1"), line(FEMUR, "1"), line(SUTURE, "1")),
        [level(INSERT, "0"), level(FEMUR, "0"), level(SUTURE, "0")],
        [par(INSERT, "1", "4", "S-2"), par(FEMUR, "1", "2", "S-1"), par(SUTURE, "1", "5", "S-2")],
    )
    wanted = requisitions(CASE, ROOM, plan, {INSERT: "EA", FEMUR: "EA", SUTURE: "BX"})
    asked = {
        one.supplier: [(each.item, each.quantity.value, each.quantity.unit) for each in one.lines]
        for one in wanted
    }
    assert asked == {
        "S-1": [(FEMUR, 3, "EA")],
        "S-2": [(INSERT, 5, "EA"), (SUTURE, 6, "BX")],
    }
    assert {(one.location, one.cost_center, one.needed_on) for one in wanted} == {
        ("OR01", "CC-OR", DAY)
    }
    assert {one.origin for one in wanted} == {"case-demand"}


def test_a_case_that_is_not_short_asks_for_nothing():
    assert requisitions(CASE, ROOM, plan_for(level(INSERT, "9"), "1"), {INSERT: "EA"}) == []
