"""Order, receipt and invoice held against each other, line by line."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from canonical.errors import InvalidRequest
from canonical.invoice import Invoice, InvoiceLine
from canonical.item import ItemId, Quantity
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from canonical.shipment import PostedReceipt, ReceivedLine
from process_apis.invoice_matching.rules import (
    MatchTolerance,
    Verdict,
    exception_task,
    three_way_match,
)

DAY = date(2026, 5, 12)
EXACT = MatchTolerance()


def quantity(value: str, unit: str = "BX") -> Quantity:
    return Quantity(value=Decimal(value), unit=unit)


def money(amount: str, currency: str = "USD") -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def ordered(line: int, boxes: str, pieces: str, sku: str = "", gtin: str = "") -> OrderLine:
    return OrderLine(
        line=line,
        item=ItemId(f"CON-{line}"),
        description="Suture",
        quantity=quantity(boxes),
        unit_price=money("90.00"),
        base_quantity=quantity(pieces, "EA"),
        supplier_sku=sku,
        gtin=gtin,
    )


ORDER = PurchaseOrder(
    number="4500000001",
    supplier="S-1",
    facility="1710",
    location="OR01",
    cost_center="CC-OR",
    ordered_on=DAY,
    needed_on=DAY,
    lines=(
        ordered(10, "2", "72", sku="SKU-10", gtin="00614141999996"),
        ordered(20, "5", "180", sku="SKU-20"),
    ),
    total=money("630.00"),
)


def received(*lines: tuple[int | None, str]) -> PostedReceipt:
    return PostedReceipt(
        document="5000000001",
        year="2026",
        order=ORDER.number,
        lines=tuple(
            ReceivedLine(order_line=line, quantity=quantity(pieces, "EA")) for line, pieces in lines
        ),
    )


ALL = (received((10, "72"), (20, "180")),)


def billed(line: int | None, boxes: str, price: str = "90.00", **changed: object) -> InvoiceLine:
    facts = {"quantity": quantity(boxes), "unit_price": money(price)} | changed
    return InvoiceLine(order_line=line, **facts)


def invoice(*lines: InvoiceLine, **changed: object) -> Invoice:
    due = sum((line.unit_price.amount * line.quantity.value for line in lines), Decimal(0))
    facts = {"total": Money(amount=due), "supplier": "S-1"} | changed
    return Invoice(number="INV-1", order=ORDER.number, invoiced_on=DAY, lines=lines, **facts)


def match(asked: Invoice, receipts=ALL, tolerance: MatchTolerance = EXACT, before=()) -> Verdict:
    return three_way_match(ORDER, receipts, before, asked, tolerance)


def reasons(verdict: Verdict) -> list[tuple[int, str]]:
    """Every reason with its line; 0 is the invoice as a whole."""
    general = [(0, reason) for reason in verdict.result.reasons]
    return general + [(line.line, it) for line in verdict.result.lines for it in line.reasons]


@pytest.mark.parametrize(
    ("asked", "receipts"),
    [
        (invoice(billed(10, "2"), billed(20, "5")), ALL),
        (invoice(billed(10, "1")), ALL),
        (invoice(billed(10, "1")), (received((10, "36")),)),
        (invoice(billed(10, "2")), (received((10, "36")), received((10, "36")))),
        (invoice(billed(10, "1"), billed(10, "1")), ALL),
        (invoice(billed(None, "5", supplier_sku="SKU-20")), ALL),
        (invoice(billed(None, "2", gtin="00614141999996")), ALL),
        (invoice(billed(10, "2", "89.50")), ALL),
        (invoice(billed(10, "2"), charges=money("0")), ALL),
    ],
    ids=[
        "all",
        "part-of-a-line",
        "what-has-come",
        "come-in-two-parts",
        "billed-in-two-parts",
        "by-sku",
        "by-gtin",
        "cheaper",
        "charges-of-nothing",
    ],
)
def test_an_invoice_for_what_was_ordered_and_received_is_matched(asked: Invoice, receipts):
    verdict = match(asked, receipts)
    assert (verdict.result.matched, reasons(verdict), verdict.awaits_receipt) == (True, [], False)
    assert (verdict.result.invoice, verdict.result.order) == ("INV-1", "4500000001")


@pytest.mark.parametrize(
    ("percent", "price", "matched"),
    [
        ("0", "90.00", True),
        ("0", "90.01", False),
        ("2", "91.80", True),
        ("2", "91.81", False),
        ("0.5", "90.45", True),
        ("0.5", "90.46", False),
    ],
)
def test_a_price_may_differ_by_the_tolerance_and_not_a_cent_more(percent, price, matched):
    tolerance = MatchTolerance(price_percent=Decimal(percent))
    verdict = match(invoice(billed(10, "2", price)), tolerance=tolerance)
    assert verdict.result.matched is matched
    assert reasons(verdict) == ([] if matched else [(10, f"price {price} instead of 90.00")])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (
            invoice(billed(10, "2", quantity=quantity("72", "EA"))),
            [(10, "billed by EA, ordered by BX")],
        ),
        (invoice(billed(30, "1")), [(1, "not on the order")]),
        (invoice(billed(None, "1")), [(1, "not on the order")]),
        (
            invoice(billed(10, "2"), billed(None, "1", supplier_sku="SKU-9", gtin="x")),
            [(2, "not on the order")],
        ),
        (
            invoice(billed(10, "2"), charges=money("12.50"), total=money("192.50")),
            [(0, "charges of 12.50 that were not ordered")],
        ),
        (
            invoice(billed(10, "2"), charges=money("-5"), total=money("175")),
            [(0, "charges of -5 that were not ordered")],
        ),
        (
            invoice(billed(10, "2"), total=money("180.01")),
            [(0, "total 180.01, lines and charges 180.00")],
        ),
        (
            invoice(billed(10, "2"), charges=money("1"), total=money("180")),
            [
                (0, "charges of 1 that were not ordered"),
                (0, "total 180, lines and charges 181.00"),
            ],
        ),
        (
            invoice(billed(10, "2"), supplier="S-2"),
            [(0, "from supplier S-2, ordered from S-1")],
        ),
        (
            invoice(billed(10, "2", unit_price=money("90", "EUR")), total=money("180", "EUR")),
            [(10, "billed in EUR")],
        ),
        (invoice(total=money("5")), [(0, "total 5, lines and charges 0")]),
    ],
    ids=[
        "other-unit",
        "unknown-line",
        "line-without-a-name",
        "unknown-sku",
        "charges",
        "allowance",
        "total",
        "charges-left-out-of-the-total",
        "other-supplier",
        "other-currency",
        "nothing-billed",
    ],
)
def test_every_reason_against_an_invoice_is_found_and_no_receipt_will_help(asked, found):
    verdict = match(asked)
    assert reasons(verdict) == found
    assert (verdict.result.matched, verdict.awaits_receipt) == (False, False)


@pytest.mark.parametrize(
    ("lines", "line_10"),
    [
        ((billed(10, "3"),), ["3 billed, 2 ordered", "108 billed, 72 received"]),
        ((billed(10, "1"), billed(10, "2")), ["3 billed, 2 ordered", "108 billed, 72 received"]),
        (
            (billed(10, "2"), billed(None, "1", supplier_sku="SKU-10")),
            ["3 billed, 2 ordered", "108 billed, 72 received"],
        ),
    ],
    ids=["in-one-line", "in-two-lines", "once-by-number-once-by-sku"],
)
def test_more_than_was_ordered_is_never_paid_however_it_is_spread(lines, line_10):
    verdict = match(invoice(*lines))
    assert [reason for _, reason in reasons(verdict)] == line_10
    assert not verdict.awaits_receipt


@pytest.mark.parametrize(
    ("before", "asked", "receipts", "found", "waits"),
    [
        ((billed(10, "1"),), invoice(billed(10, "1")), ALL, [], False),
        ((billed(20, "5"),), invoice(billed(10, "2")), ALL, [], False),
        ((billed(10, "2"), billed(10, "-2")), invoice(billed(10, "2")), ALL, [], False),
        ((billed(None, "2"),), invoice(billed(10, "2")), ALL, [], False),
        (
            (billed(10, "2"),),
            invoice(billed(10, "2")),
            ALL,
            [
                "2 billed, 0 of 2 ordered are still to be billed",
                "72 billed, 0 of 72 received are still to be billed",
            ],
            False,
        ),
        (
            (billed(10, "1"), billed(10, "1")),
            invoice(billed(None, "1", supplier_sku="SKU-10")),
            ALL,
            [
                "1 billed, 0 of 2 ordered are still to be billed",
                "36 billed, 0 of 72 received are still to be billed",
            ],
            False,
        ),
        (
            (billed(10, "3"),),
            invoice(billed(10, "1")),
            ALL,
            [
                "1 billed, 0 of 2 ordered are still to be billed",
                "36 billed, 0 of 72 received are still to be billed",
            ],
            False,
        ),
        (
            (billed(10, "1"),),
            invoice(billed(10, "1")),
            (received((10, "36")),),
            ["36 billed, 0 of 36 received are still to be billed"],
            True,
        ),
        ((billed(10, "1"),), invoice(billed(10, "1")), (received((10, "72")),), [], False),
    ],
    ids=[
        "the-rest",
        "another-line",
        "billed-and-credited",
        "of-no-line",
        "all-again",
        "billed-in-two-invoices",
        "more-billed-than-ordered",
        "the-rest-has-not-come",
        "the-rest-has-come",
    ],
)
def test_what_was_billed_before_is_not_to_be_billed_again(before, asked, receipts, found, waits):
    verdict = match(asked, receipts, before=before)
    assert [reason for _, reason in reasons(verdict)] == found
    assert (verdict.result.matched, verdict.awaits_receipt) == (not found, waits)


@pytest.mark.parametrize(
    ("asked", "receipts", "missing"),
    [
        (invoice(billed(10, "2")), (), [(10, "72 billed, 0 received")]),
        (invoice(billed(10, "2")), (received((10, "71")),), [(10, "72 billed, 71 received")]),
        (invoice(billed(10, "2")), (received((20, "180")),), [(10, "72 billed, 0 received")]),
        (invoice(billed(10, "2")), (received((None, "72")),), [(10, "72 billed, 0 received")]),
        (
            invoice(billed(10, "1"), billed(10, "1")),
            (received((10, "36")),),
            [(10, "72 billed, 36 received")],
        ),
    ],
    ids=["nothing-came", "a-piece-short", "another-line-came", "of-no-line", "half-of-two-parts"],
)
def test_an_invoice_that_only_lacks_goods_waits_for_them(asked: Invoice, receipts, missing):
    verdict = match(asked, receipts)
    assert (verdict.result.matched, verdict.awaits_receipt) == (False, True)
    assert reasons(verdict) == missing


@pytest.mark.parametrize(
    "asked",
    [
        invoice(billed(10, "2", "99")),
        invoice(billed(10, "2"), billed(30, "1")),
        invoice(billed(10, "2"), total=money("1")),
        invoice(billed(10, "2"), supplier="S-2"),
    ],
    ids=["price", "unknown-line", "total", "supplier"],
)
def test_an_invoice_with_another_fault_is_not_kept_waiting_for_goods(asked: Invoice):
    verdict = match(asked, receipts=())
    assert not verdict.awaits_receipt
    assert (10, "72 billed, 0 received") in reasons(verdict)


def test_an_invoice_that_mixes_currencies_cannot_be_added_up():
    mixed = invoice(billed(10, "2", unit_price=money("90", "EUR")), total=money("180"))
    with pytest.raises(InvalidRequest, match="cannot add EUR to USD"):
        match(mixed)


def test_a_line_that_was_ordered_for_nothing_lacks_no_goods():
    empty = msgspec.structs.replace(ORDER, lines=(ordered(10, "0", "0"),))
    verdict = three_way_match(empty, (), (), invoice(billed(10, "0")), EXACT)
    assert verdict.result.matched


def test_accounts_payable_is_asked_with_the_reasons_of_the_whole_and_of_each_line():
    asked = invoice(billed(10, "3", "91"), billed(20, "5"), charges=money("7"), total=money("730"))
    result = match(asked).result
    task = exception_task(ORDER, result)
    assert task.title == "Invoice INV-1 does not match order 4500000001"
    assert task.detail == (
        "charges of 7 that were not ordered; line 10: 3 billed, 2 ordered, price 91 instead of"
        " 90.00, 108 billed, 72 received"
    )
    assert (task.owner, task.actions) == ("accounts-payable", ("accept", "retry", "reject"))
    assert task.affected == "payment of supplier S-1, cost centre CC-OR"
