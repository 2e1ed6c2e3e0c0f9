"""What may be taken in against an order."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from canonical.errors import (
    Failure,
    InvalidRequest,
    QuantityExceeded,
    UnknownItem,
    UnknownLot,
    WrongUnit,
)
from canonical.item import Item, ItemCode, ItemId, Packaging, Quantity
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from canonical.shipment import PostedReceipt, Receipt, ReceivedLine
from process_apis.receiving.rules import order_line_of, postable_receipt

SUTURE = Item(
    id=ItemId("CON-1"),
    description="Suture",
    base_unit="EA",
    lot_controlled=True,
    packagings=(Packaging(unit="BX", factor=Decimal(36)),),
)
INSERT = Item(
    id=ItemId("IMP-1"), description="Tibial insert", base_unit="EA", serial_controlled=True
)
ITEMS = {SUTURE.id: SUTURE, INSERT.id: INSERT}


def ordered(line: int, item: Item, value: str, unit: str, pieces: str) -> OrderLine:
    return OrderLine(
        line=line,
        item=item.id,
        description=item.description,
        quantity=Quantity(value=Decimal(value), unit=unit),
        unit_price=Money(amount=Decimal(90)),
        base_quantity=Quantity(value=Decimal(pieces), unit="EA"),
    )


ORDER = PurchaseOrder(
    number="4500000001",
    supplier="S-1",
    facility="1710",
    location="OR01",
    cost_center="CC-OR",
    ordered_on=date(2026, 5, 12),
    needed_on=date(2026, 5, 12),
    lines=(ordered(10, SUTURE, "2", "BX", "72"), ordered(20, INSERT, "2", "EA", "2")),
    total=Money(amount=Decimal(270)),
)


def counted(
    line: int | None, value: str, unit: str = "EA", lot: str = "L-1", serials: tuple[str, ...] = ()
) -> ReceivedLine:
    return ReceivedLine(
        order_line=line,
        quantity=Quantity(value=Decimal(value), unit=unit),
        codes=(ItemCode(scheme="erp", value="X"),),
        lot=lot,
        serials=serials,
    )


def taken_in(*lines: ReceivedLine, earlier: tuple[PostedReceipt, ...] = ()) -> Receipt:
    receipt = Receipt(
        order=ORDER.number, received_at=datetime(2026, 5, 13, tzinfo=UTC), lines=lines
    )
    named = [order_line_of(line, None, ORDER) for line in lines]
    items = [ITEMS[line.item] for line in named]
    return postable_receipt(receipt, ORDER, named, items, earlier)


def before(*lines: ReceivedLine) -> PostedReceipt:
    return PostedReceipt(document="5000000001", year="2026", order=ORDER.number, lines=lines)


@pytest.mark.parametrize(
    ("line", "scanned", "number"),
    [
        (counted(20, "1"), None, 20),
        (counted(None, "1"), "CON-1", 10),
        (counted(None, "1"), "IMP-1", 20),
    ],
)
def test_goods_find_their_order_line_by_number_or_by_what_was_scanned(line, scanned, number: int):
    assert order_line_of(line, ItemId(scanned) if scanned else None, ORDER).line == number


@pytest.mark.parametrize(
    ("line", "scanned", "named"),
    [(counted(30, "1"), None, "line 30"), (counted(None, "1"), ItemId("CON-9"), "item CON-9")],
)
def test_goods_of_another_order_are_refused_with_the_lines_there_are(line, scanned, named: str):
    with pytest.raises(UnknownItem, match=f"4500000001 has no {named}") as refused:
        order_line_of(line, scanned, ORDER)
    assert refused.value.expected == "10 (CON-1), 20 (IMP-1)"


def test_a_receipt_is_posted_by_order_line_in_base_units_with_lot_and_serials():
    receipt = taken_in(counted(10, "1", "BX"), counted(20, "2", serials=("S-1", "S-2")))
    first, second = receipt.lines
    assert (first.order_line, first.quantity) == (10, Quantity(value=Decimal(36), unit="EA"))
    assert (first.lot, first.codes) == ("L-1", ())
    assert second.serials == ("S-1", "S-2")


@pytest.mark.parametrize(
    ("line", "refusal", "says"),
    [
        (counted(10, "1", lot=""), UnknownLot, "CON-1 needs a lot number"),
        (counted(10, "1", "PK"), WrongUnit, "no packaging PK"),
        (counted(10, "0"), InvalidRequest, "0 EA counted"),
        (counted(10, "-1", "BX"), InvalidRequest, "-36 EA counted"),
        (counted(20, "2"), UnknownLot, "0 serials for 2 pieces"),
        (counted(20, "2", serials=("S-1",)), UnknownLot, "1 serials for 2 pieces"),
        (counted(20, "2", serials=("S-1", "S-1")), UnknownLot, "1 serials for 2 pieces"),
        (counted(20, "1", serials=("S-1", "S-2")), UnknownLot, "2 serials for 1 pieces"),
        (counted(10, "73"), QuantityExceeded, "line 10 of order 4500000001: 1 too many"),
        (counted(10, "3", "BX"), QuantityExceeded, "36 too many"),
    ],
)
def test_goods_that_may_not_be_taken_in_are_refused_by_name(
    line: ReceivedLine, refusal: type[Failure], says: str
):
    with pytest.raises(refusal, match=says):
        taken_in(line)


def test_all_that_was_ordered_may_come_at_once_or_in_parts():
    assert len(taken_in(counted(10, "1", "BX"), counted(10, "36", lot="L-2")).lines) == 2
    assert taken_in(counted(10, "36"), earlier=(before(counted(10, "36")),)).lines


@pytest.mark.parametrize(
    ("lines", "earlier"),
    [
        ((counted(10, "1", "BX"), counted(10, "37")), ()),
        ((counted(10, "37"),), (before(counted(10, "36")),)),
        ((counted(10, "1"),), (before(counted(10, "36")), before(counted(10, "36")))),
    ],
    ids=["in-two-lines", "after-an-earlier-receipt", "after-all-has-come"],
)
def test_a_piece_too_many_is_refused_however_it_is_spread(lines, earlier):
    with pytest.raises(QuantityExceeded, match="1 too many"):
        taken_in(*lines, earlier=earlier)


def test_earlier_receipts_of_other_lines_leave_room():
    earlier = before(counted(20, "2"), counted(None, "500"), counted(90, "500"))
    assert taken_in(counted(10, "72"), earlier=(earlier,)).lines
