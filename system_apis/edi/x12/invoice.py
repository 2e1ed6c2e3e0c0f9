"""X12 810 to a canonical invoice. The total must be explained by the invoice's own segments."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import product
from typing import Final

from canonical.errors import UnsupportedMessage
from canonical.invoice import Invoice, InvoiceLine
from canonical.money import Money
from standards.x12.envelope import TransactionSet
from system_apis.edi.x12.wire import Placed, gtin_of, named, only, placed, supplier_sku_of

_CREDITS: Final = frozenset({"CN", "CR"})
"""BIG07 (data element 640): credit invoice, credit memo."""

_REVOKING: Final = frozenset({"01", "03"})
"""BIG08 (data element 353): cancellation and deletion."""

_TAX: Final = "H850"
"""SAC02 (data element 1300): tax."""

_PER: Final = {"HP": 100, "TP": 1000}
"""IT105 (data element 639): the price is for a hundred, for a thousand."""

_HALF_CENT: Final = Decimal("0.005")


def invoice(each: TransactionSet, supplier: str) -> Invoice:
    """Read an 810."""
    segments = placed(each)
    opening = only(segments, "BIG")
    _refuse_credits(opening)
    currency = next((each.text(2) for each in named(segments, "CUR")), "USD")
    billed = list(named(segments, "IT1"))
    _check_count(segments, billed)
    amount = sum((_extended(line) for line in billed), Decimal())
    total = only(segments, "TDS")
    extra = total.cents(1) - amount
    _check_total(segments, total, extra, len(billed))
    charges = extra.quantize(Decimal("0.01"))
    return Invoice(
        number=opening.required(2),
        order=opening.required(4),
        supplier=supplier,
        invoiced_on=opening.day(1),
        lines=tuple(_invoice_line(line, currency) for line in billed),
        total=Money(amount=total.cents(1), currency=currency),
        charges=Money(amount=charges, currency=currency) if charges else None,
    )


def _refuse_credits(opening: Placed) -> None:
    for element, codes in ((7, _CREDITS), (8, _REVOKING)):
        if opening.text(element) in codes:
            raise UnsupportedMessage(
                "this gives money back instead of asking for it",
                where=f"BIG{element:02} in segment {opening.position}",
                fix="book the credit by hand",
            )


def _check_count(segments: list[Placed], billed: list[Placed]) -> None:
    """CTT01 counts IT1; CTT02 adds up IT102."""
    for total in named(segments, "CTT"):
        if total.number(1) != len(billed):
            raise total.refusal(1, "the number of lines is another", str(len(billed)))
        quantity = sum((line.decimal(2) for line in billed), Decimal())
        if total.text(2) and total.decimal(2) != quantity:
            raise total.refusal(2, "the hash total is another", "the sum of IT102")


def _extended(line: Placed) -> Decimal:
    return line.decimal(2) * line.decimal(4) / _PER.get(line.text(5), 1)


def _invoice_line(line: Placed, currency: str) -> InvoiceLine:
    products = line.products(6)
    price = line.decimal(4) / _PER.get(line.text(5), 1)
    return InvoiceLine(
        order_line=line.number(1) if line.text(1) else None,
        quantity=line.quantity(2, 3),
        unit_price=Money(amount=price, currency=currency),
        supplier_sku=supplier_sku_of(products),
        gtin=gtin_of(products),
    )


def _check_total(segments: list[Placed], total: Placed, extra: Decimal, lines: int) -> None:
    """Hold what the total has beyond the lines against charges and taxes.

    Suppliers state them per line, in the summary, or in both, and a tax as TXI, as SAC or as both:
    a repetition counts once. Lines may have been rounded to the cent one by one.
    """
    charges, taxes = _stated(segments)
    tolerance = _HALF_CENT * (lines + 1)
    readings = product(_readings(charges), _readings(taxes))
    if all(abs(extra - charge - tax) > tolerance for charge, tax in readings):
        raise total.refusal(
            1, "the lines, charges and taxes do not add up to it", "the sum of the invoice"
        )


def _readings(statements: Iterable[Decimal]) -> set[Decimal]:
    given = [each for each in statements if each]
    return {sum(given, Decimal()), sum(set(given), Decimal())}


def _stated(segments: list[Placed]) -> tuple[list[Decimal], list[Decimal]]:
    """Add up charges (by line, summary) and taxes (by line and summary, as TXI and as SAC)."""
    sums = dict.fromkeys(
        [(summary, kind) for summary in (False, True) for kind in ("charge", "SAC", "TXI")],
        Decimal(),
    )
    in_line = False
    for each in segments:
        in_line = each.name == "IT1" or (in_line and each.name != "TDS")
        for kind, amount in _extra(each):
            sums[not in_line, kind] += amount
    charges = [sums[summary, "charge"] for summary in (False, True)]
    taxes = [sums[summary, kind] for summary in (False, True) for kind in ("SAC", "TXI")]
    return charges, taxes


def _extra(segment: Placed) -> Iterator[tuple[str, Decimal]]:
    if segment.name == "TXI" and segment.text(2):
        yield "TXI", segment.decimal(2)
    elif segment.name == "SAC" and segment.text(1) in {"A", "C"} and segment.text(5):
        amount = segment.cents(5) * (-1 if segment.text(1) == "A" else 1)
        yield ("SAC" if segment.text(2) == _TAX else "charge"), amount
