"""Everything that can forbid a purchase, the price it is made at, and who must say yes."""

from datetime import date, timedelta
from decimal import Decimal

import msgspec
import pytest

from canonical.contract import ContractPrice
from canonical.errors import (
    BudgetExceeded,
    InactiveItem,
    InvalidRequest,
    NoContractPrice,
    UnknownCostCenter,
    UnknownSupplier,
    WrongUnit,
)
from canonical.item import Gtin, Item, ItemId, Packaging, Quantity
from canonical.location import CostCenter
from canonical.money import Money
from canonical.requisition import PricedRequisition, Requisition, RequisitionLine
from canonical.supplier import Supplier
from process_apis.requisition_to_order.rules import (
    ApprovalPolicy,
    approval_task,
    approval_verdict,
    priced_requisition,
)

TODAY = date(2026, 5, 12)
SUTURE = Item(
    id=ItemId("CON-1"),
    description="Suture",
    base_unit="EA",
    gtin=Gtin("00614141999996"),
    packagings=(Packaging(unit="BX", factor=Decimal(36)),),
)
CENTER = CostCenter(id="CC-OR", name="Operating rooms")
SUPPLIER = Supplier(id="S-1", name="Northfield")


def money(amount: str, currency: str = "USD") -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def asked(value: str = "1", unit: str = "EA") -> RequisitionLine:
    return RequisitionLine(item=SUTURE.id, quantity=Quantity(value=Decimal(value), unit=unit))


def offer(price: str, contract: str = "C-1", unit: str = "BX", **changed: object) -> ContractPrice:
    facts = {"valid_from": date(2026, 1, 1), "valid_to": date(2026, 12, 31)} | changed
    return ContractPrice(
        contract=contract,
        supplier="S-1",
        item=SUTURE.id,
        unit=unit,
        price=money(price),
        supplier_sku=f"SKU-{contract}",
        **facts,
    )


def priced(
    *lines: RequisitionLine,
    item: Item = SUTURE,
    offers: tuple[ContractPrice, ...] = (offer("90"),),
    center: CostCenter = CENTER,
    supplier: Supplier = SUPPLIER,
    needed_on: date = TODAY,
) -> PricedRequisition:
    requisition = Requisition(
        facility="1710",
        location="OR01",
        cost_center="CC-OR",
        supplier="S-1",
        needed_on=needed_on,
        lines=lines,
        requested_by="person",
    )
    items, prices = [item] * len(lines), [list(offers)] * len(lines)
    return priced_requisition(requisition, items, prices, center, supplier, TODAY)


@pytest.mark.parametrize(
    ("value", "unit", "boxes"),
    [("1", "EA", 1), ("36", "EA", 1), ("37", "EA", 2), ("2", "BX", 2), ("0.5", "BX", 1)],
)
def test_whole_boxes_are_ordered_and_no_part_of_one(value: str, unit: str, boxes: int):
    (line,) = priced(asked(value, unit)).lines
    assert line.quantity == Quantity(value=Decimal(boxes), unit="BX")
    assert line.base_quantity == Quantity(value=Decimal(boxes * 36), unit="EA")


def test_a_priced_line_carries_contract_sku_gtin_and_a_number_to_insert_between():
    result = priced(asked(), asked("40"))
    assert [line.line for line in result.lines] == [10, 20]
    first = result.lines[0]
    assert (first.contract, first.supplier_sku, first.gtin) == ("C-1", "SKU-C-1", SUTURE.gtin)
    assert result.total == money("270.00")


def test_an_item_without_gtin_is_ordered_without_one():
    (line,) = priced(asked(), item=msgspec.structs.replace(SUTURE, gtin=None)).lines
    assert line.gtin == ""


@pytest.mark.parametrize(
    ("value", "offers", "chosen"),
    [
        ("1", (offer("90", "C-1"), offer("89.99", "C-2")), "C-2"),
        ("1", (offer("90", "C-2"), offer("90", "C-1")), "C-1"),
        ("1", (offer("1", "C-1", valid_to=TODAY - timedelta(days=1)), offer("90", "C-2")), "C-2"),
        ("1", (offer("1", "C-1", valid_from=TODAY + timedelta(days=1)), offer("90", "C-2")), "C-2"),
        ("36", (offer("3", "C-EA", "EA"), offer("90", "C-BX", "BX")), "C-BX"),
        ("2", (offer("3", "C-EA", "EA"), offer("90", "C-BX", "BX")), "C-EA"),
    ],
    ids=["cheaper", "tie", "one-ended", "one-to-come", "by-the-box", "by-the-piece"],
)
def test_the_effective_contract_that_makes_the_line_cheapest_is_chosen(
    value: str, offers: tuple[ContractPrice, ...], chosen: str
):
    (line,) = priced(asked(value), offers=offers).lines
    assert line.contract == chosen


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        ((), "there never was one"),
        (
            (offer("1", valid_to=date(2026, 3, 31)), offer("2", "C-2", valid_to=date(2026, 4, 30))),
            "the last one ended on 2026-04-30",
        ),
    ],
)
def test_without_an_effective_contract_nothing_is_bought_and_the_end_of_the_last_is_named(
    offers: tuple[ContractPrice, ...], says: str
):
    with pytest.raises(NoContractPrice, match=says) as refused:
        priced(asked(), offers=offers)
    assert "2026-05-12" in refused.value.detail


@pytest.mark.parametrize(
    ("substitute", "fix"),
    [(ItemId("CON-2"), "order CON-2 instead"), (None, "choose another item")],
)
def test_an_inactive_item_is_not_bought_and_its_substitute_is_named(substitute, fix: str):
    item = msgspec.structs.replace(SUTURE, active=False, substitute=substitute)
    with pytest.raises(InactiveItem, match="CON-1 is inactive") as refused:
        priced(asked(), item=item)
    assert refused.value.fix == fix


@pytest.mark.parametrize(
    ("line", "offers"),
    [(asked(unit="PK"), (offer("90"),)), (asked(), (offer("90", unit="PK"),))],
    ids=["asked", "offered"],
)
def test_a_unit_the_item_is_not_packed_in_is_refused(line: RequisitionLine, offers):
    with pytest.raises(WrongUnit, match="no packaging PK"):
        priced(line, offers=offers)


@pytest.mark.parametrize("value", ["0", "-1"])
def test_less_than_something_cannot_be_bought(value: str):
    with pytest.raises(InvalidRequest) as refused:
        priced(asked(), asked(value))
    assert refused.value.where == "$.lines[1].quantity"


def test_a_requisition_without_lines_is_refused():
    with pytest.raises(InvalidRequest, match="needs a line"):
        priced()


def test_a_closed_cost_centre_buys_nothing():
    with pytest.raises(UnknownCostCenter, match="CC-OR is closed"):
        priced(asked(), center=msgspec.structs.replace(CENTER, active=False))


def test_nothing_is_bought_from_a_blocked_supplier():
    with pytest.raises(UnknownSupplier, match="S-1 is blocked"):
        priced(asked(), supplier=msgspec.structs.replace(SUPPLIER, blocked=True))


@pytest.mark.parametrize(
    ("budget", "committed"), [("90", None), ("100", "10"), ("90.00", "0"), ("1000", "5")]
)
def test_a_budget_may_be_spent_to_the_last_cent(budget: str, committed: str | None):
    center = msgspec.structs.replace(
        CENTER, budget=money(budget), committed=money(committed) if committed else None
    )
    assert priced(asked(), center=center).total == money("90.00")


@pytest.mark.parametrize(
    ("budget", "committed", "left"), [("89.99", None, "89.99"), ("100", "10.01", "89.99")]
)
def test_a_cent_over_the_budget_is_refused_with_what_is_left(budget, committed, left: str):
    center = msgspec.structs.replace(
        CENTER, budget=money(budget), committed=money(committed) if committed else None
    )
    with pytest.raises(BudgetExceeded, match=f"{left} left, 90.00 USD asked"):
        priced(asked(), center=center)


def test_a_budget_in_another_currency_pays_for_nothing():
    center = msgspec.structs.replace(CENTER, budget=money("9000", "EUR"))
    with pytest.raises(BudgetExceeded, match="no budget in USD") as refused:
        priced(asked(), center=center)
    assert refused.value.expected == "EUR"


@pytest.mark.parametrize(
    ("needed_on", "kept"),
    [(TODAY - timedelta(days=3), TODAY), (TODAY + timedelta(days=3), TODAY + timedelta(days=3))],
)
def test_nothing_is_needed_before_today(needed_on: date, kept: date):
    assert priced(asked(), needed_on=needed_on).needed_on == kept


POLICY = ApprovalPolicy(threshold=Decimal(2500), currency="USD", approvers="buyers")


@pytest.mark.parametrize(
    ("total", "person", "why"),
    [
        (money("2499.99"), False, "2499.99 USD is within 2500"),
        (money("2500"), False, "2500 USD is within 2500"),
        (money("2500.01"), True, "2500.01 USD is above 2500"),
        (money("1", "EUR"), True, "no rule for EUR"),
    ],
)
def test_a_person_decides_above_the_threshold_and_in_any_other_currency(
    total: Money, person, why: str
):
    requisition = msgspec.structs.replace(priced(asked()), total=total)
    verdict = approval_verdict(requisition, POLICY)
    assert (verdict.needs_person, verdict.why) == (person, why)


def test_the_approver_is_told_what_is_bought_for_whom_and_why_it_is_asked():
    requisition = msgspec.structs.replace(priced(asked("40")), number="10000007")
    strict = msgspec.structs.replace(POLICY, threshold=Decimal(1))
    task = approval_task(requisition, approval_verdict(requisition, strict), strict)
    assert (task.reason, task.owner, task.subject) == ("approval", "buyers", "10000007")
    assert task.title == "Approve requisition 10000007: 180.00 USD"
    assert task.detail == "2 BX Suture; from supplier S-1; 180.00 USD is above 1"
    assert task.affected == "OR01 in 1710, needed on 2026-05-12"
    assert task.actions == ("approve", "decline")
