"""What holds after the supplier has answered once, twice, in parts."""

from datetime import date
from decimal import Decimal

import pytest

from canonical.item import ItemId, Quantity
from canonical.money import Money
from canonical.order import AcknowledgedLine, Acknowledgement, OrderLine, PurchaseOrder
from canonical.shipment import PostedReceipt, ReceivedLine
from process_apis.order_to_receipt.rules import (
    Agreement,
    agreed,
    later_review,
    never_came,
    rejected_since,
)

DAY = date(2026, 5, 12)


def boxes(value: str, unit: str = "BX") -> Quantity:
    return Quantity(value=Decimal(value), unit=unit)


def ordered(line: int, value: str) -> OrderLine:
    return OrderLine(
        line=line,
        item=ItemId(f"CON-{line}"),
        description="Suture",
        quantity=boxes(value),
        unit_price=Money(amount=Decimal("90.00")),
        base_quantity=boxes(str(int(value) * 12), "EA"),
        supplier_sku=f"SKU-{line}",
    )


ORDER = PurchaseOrder(
    number="4500000001",
    supplier="S-1",
    facility="1710",
    location="OR01",
    cost_center="CC-OR",
    ordered_on=DAY,
    needed_on=DAY,
    lines=(ordered(10, "4"), ordered(20, "5")),
    total=Money(amount=Decimal("810.00")),
)
BEFORE = Agreement(order=ORDER, unconfirmed=ORDER.lines)


def said(*parts: tuple[int, str, str], accepted: bool = True, unit: str = "BX") -> Acknowledgement:
    """Parts are (line, status, boxes)."""
    lines = tuple(
        AcknowledgedLine(line=line, status=status, quantity=boxes(value, unit))
        for line, status, value in parts
    )
    return Acknowledgement(
        order=ORDER.number, supplier="S-1", acknowledged_on=DAY, accepted=accepted, lines=lines
    )


def amounts(agreement: Agreement) -> tuple[dict[int, str], dict[int, str]]:
    """What will come in pieces, and what of it is unconfirmed in boxes."""
    coming = {line.line: str(line.base_quantity.value) for line in agreement.order.lines}
    return coming, {line.line: str(line.quantity.value) for line in agreement.unconfirmed}


PARTS = said((10, "accepted", "1"), (10, "backordered", "3"), (20, "accepted", "5"))


@pytest.mark.parametrize(
    ("answer", "coming", "unconfirmed"),
    [
        (said(), {10: "48", 20: "60"}, {}),
        (said(accepted=False), {}, {}),
        (said((10, "accepted", "4"), (20, "accepted", "5")), {10: "48", 20: "60"}, {}),
        (said((10, "rejected", "4"), (20, "quantity-changed", "2")), {20: "24"}, {}),
        (said((20, "accepted", "5")), {10: "48", 20: "60"}, {10: "4"}),
        (PARTS, {10: "48", 20: "60"}, {10: "3"}),
        (said((10, "accepted", "6"), (20, "accepted", "5"), unit="EA"), {10: "48", 20: "60"}, {}),
        (said((10, "rejected", "0"), (20, "rejected", "0"), unit="EA"), {}, {}),
    ],
    ids=["whole", "refused", "by-line", "less", "one-line", "in-parts", "other-unit", "nothing"],
)
def test_what_an_answer_leaves_to_come(answer, coming, unconfirmed):
    assert amounts(agreed(ORDER, BEFORE, answer)) == (coming, unconfirmed)


@pytest.mark.parametrize(
    ("second", "deviations", "coming"),
    [
        (said((10, "accepted", "3")), [], "48"),
        (said((10, "accepted", "4"), (20, "accepted", "5")), [], "48"),
        (
            said((10, "quantity-changed", "2")),
            ["quantity-changed", "quantity 2 instead of 3"],
            "36",
        ),
        (said((10, "rejected", "3")), ["rejected"], "12"),
    ],
    ids=["the-rest", "all-again", "less-of-the-rest", "not-the-rest"],
)
def test_a_second_answer_is_held_against_what_the_first_left_open(second, deviations, coming):
    first = agreed(ORDER, BEFORE, PARTS)
    review = later_review(ORDER, first, second)
    assert [found.what for found in review.deviations] == deviations
    assert review.accepted is (deviations == [])
    after = agreed(ORDER, first, second)
    assert amounts(after)[0] == {10: coming, 20: "60"}
    assert after.unconfirmed == ()


def test_lines_that_will_not_come_are_named_when_rejected_and_when_the_order_ends():
    after = agreed(ORDER, BEFORE, said((10, "rejected", "0"), (20, "quantity-changed", "2")))
    assert [line.line for line in rejected_since(BEFORE, after)] == [10]
    assert rejected_since(after, after) == ()
    came = ReceivedLine(order_line=20, quantity=boxes("24", "EA"))
    receipts = [PostedReceipt(document="5", year="2026", order=ORDER.number, lines=(came,))]
    assert [line.line for line in never_came(ORDER, after, receipts)] == [20]
    whole = ReceivedLine(order_line=20, quantity=boxes("60", "EA"))
    receipts = [PostedReceipt(document="5", year="2026", order=ORDER.number, lines=(whole,))]
    assert never_came(ORDER, after, receipts) == ()
