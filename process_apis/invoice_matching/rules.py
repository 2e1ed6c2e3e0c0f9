"""The three-way match: order, receipt and invoice held against each other, line by line."""

from decimal import Decimal

import msgspec

from canonical.invoice import Invoice, InvoiceLine, LineMatch, MatchResult
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from canonical.shipment import PostedReceipt
from canonical.task import TaskDraft

VERSION = "three-way-match/1"


class MatchTolerance(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """How far a unit price may differ, in percent of the ordered price; quantities never may."""

    price_percent: Decimal = Decimal(0)


class Verdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The match, and whether it only lacks goods that may still come."""

    result: MatchResult
    awaits_receipt: bool


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What one order line is billed: `so_far` by this invoice up to here, `before` by others."""

    so_far: Decimal
    before: Decimal


def three_way_match(
    order: PurchaseOrder,
    receipts: tuple[PostedReceipt, ...],
    billed_before: tuple[InvoiceLine, ...],
    invoice: Invoice,
    tolerance: MatchTolerance,
) -> Verdict:
    """Match each billed line: on the order, at the ordered price and unit, not more than received
    and not billed before; and the lines, charges and total of the invoice must add up.
    """
    received, before = _received(receipts), _billed(billed_before)
    claimed = dict[int, Decimal]()
    lines, only_missing = list[LineMatch](), True
    for position, billed in enumerate(invoice.lines, start=1):
        ordered = _ordered_line(order, billed)
        if ordered is None:
            reasons, missing, number = ["not on the order"], "", position
        else:
            number = ordered.line
            claimed[number] = claimed.get(number, Decimal(0)) + billed.quantity.value
            bill = Bill(so_far=claimed[number], before=before.get(number, Decimal(0)))
            reasons = _reasons(ordered, billed, bill, tolerance)
            missing = _missing(ordered, billed, bill, received.get(number, Decimal(0)))
        only_missing = only_missing and not reasons
        every = tuple(reason for reason in (*reasons, missing) if reason)
        lines.append(LineMatch(line=number, matched=not every, reasons=every))
    general = _general_reasons(order, invoice)
    matched = not general and all(line.matched for line in lines)
    return Verdict(
        result=MatchResult(
            invoice=invoice.number,
            order=order.number,
            matched=matched,
            lines=tuple(lines),
            reasons=tuple(general),
        ),
        awaits_receipt=not matched and only_missing and not general,
    )


def _received(receipts: tuple[PostedReceipt, ...]) -> dict[int, Decimal]:
    total = dict[int, Decimal]()
    for receipt in receipts:
        for line in receipt.lines:
            if line.order_line is not None:
                total[line.order_line] = (
                    total.get(line.order_line, Decimal(0)) + line.quantity.value
                )
    return total


def _billed(lines: tuple[InvoiceLine, ...]) -> dict[int, Decimal]:
    total = dict[int, Decimal]()
    for line in lines:
        if line.order_line is not None:
            total[line.order_line] = total.get(line.order_line, Decimal(0)) + line.quantity.value
    return total


def _ordered_line(order: PurchaseOrder, billed: InvoiceLine) -> OrderLine | None:
    """Return the order line: by its number, else by the supplier's or the global item number."""
    for line in order.lines:
        if billed.order_line == line.line:
            return line
    for line in order.lines:
        if billed.order_line is None and (
            (billed.supplier_sku and billed.supplier_sku == line.supplier_sku)
            or (billed.gtin and billed.gtin == line.gtin)
        ):
            return line
    return None


def _reasons(
    ordered: OrderLine, billed: InvoiceLine, bill: Bill, tolerance: MatchTolerance
) -> list[str]:
    """Return why the line is not as ordered; a line that is billed in two parts, or by two
    invoices, is still ordered once.
    """
    if billed.quantity.unit != ordered.quantity.unit:
        return [f"billed by {billed.quantity.unit}, ordered by {ordered.quantity.unit}"]
    beyond = _beyond(bill, ordered.quantity.value, "ordered")
    reasons = [beyond] if beyond else list[str]()
    allowed = ordered.unit_price.amount * (1 + tolerance.price_percent / 100)
    if billed.unit_price.currency != ordered.unit_price.currency:
        reasons.append(f"billed in {billed.unit_price.currency}")
    elif billed.unit_price.amount > allowed:
        reasons.append(f"price {billed.unit_price.amount} instead of {ordered.unit_price.amount}")
    return reasons


def _missing(ordered: OrderLine, billed: InvoiceLine, bill: Bill, received: Decimal) -> str:
    """Return what is billed but not received yet, compared in base units."""
    if billed.quantity.unit != ordered.quantity.unit or not ordered.quantity.value:
        return ""
    per_unit = ordered.base_quantity.value / ordered.quantity.value
    in_base = Bill(so_far=bill.so_far * per_unit, before=bill.before * per_unit)
    return _beyond(in_base, received, "received")


def _beyond(bill: Bill, whole: Decimal, word: str) -> str:
    """Say what is billed beyond the `whole` that was ordered or received, '' when nothing is."""
    left = whole - bill.before
    if bill.so_far <= left:
        return ""
    if not bill.before:
        return f"{bill.so_far} billed, {whole} {word}"
    left = max(left, Decimal(0))
    return f"{bill.so_far} billed, {left} of {whole} {word} are still to be billed"


def _general_reasons(order: PurchaseOrder, invoice: Invoice) -> list[str]:
    reasons = list[str]()
    if invoice.supplier != order.supplier:
        reasons.append(f"from supplier {invoice.supplier}, ordered from {order.supplier}")
    total = Money(amount=Decimal(0), currency=invoice.total.currency)
    for line in invoice.lines:
        total += line.unit_price.times(line.quantity.value)
    charges = invoice.charges.amount if invoice.charges else Decimal(0)
    if charges:
        reasons.append(f"charges of {charges} that were not ordered")
    if total.amount + charges != invoice.total.amount:
        reasons.append(f"total {invoice.total.amount}, lines and charges {total.amount + charges}")
    return reasons


def exception_task(order: PurchaseOrder, result: MatchResult) -> TaskDraft:
    """Return the question for accounts payable, with the reason per line."""
    words = [*result.reasons]
    words += [
        f"line {line.line}: {', '.join(line.reasons)}" for line in result.lines if not line.matched
    ]
    return TaskDraft(
        reason="match-exception",
        title=f"Invoice {result.invoice} does not match order {order.number}",
        detail="; ".join(words),
        affected=f"payment of supplier {order.supplier}, cost centre {order.cost_center}",
        fix="accept and post as billed; retry after the order or receipt is corrected; or reject",
        owner="accounts-payable",
        actions=("accept", "retry", "reject"),
    )
