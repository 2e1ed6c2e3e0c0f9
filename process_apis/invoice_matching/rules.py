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


def three_way_match(
    order: PurchaseOrder,
    receipts: tuple[PostedReceipt, ...],
    invoice: Invoice,
    tolerance: MatchTolerance,
) -> Verdict:
    """Match each billed line: on the order, at the ordered price and unit, not more than received;
    and the lines, charges and total of the invoice must add up.
    """
    received = _received(receipts)
    claimed = dict[int, Decimal]()
    lines, only_missing = list[LineMatch](), True
    for position, billed in enumerate(invoice.lines, start=1):
        ordered = _ordered_line(order, billed)
        if ordered is None:
            reasons, missing = ["not on the order"], ""
        else:
            so_far = claimed.get(ordered.line, Decimal(0)) + billed.quantity.value
            claimed[ordered.line] = so_far
            reasons = _reasons(ordered, billed, so_far, tolerance)
            missing = _missing(ordered, billed, so_far, received)
        only_missing = only_missing and not reasons
        number = ordered.line if ordered else position
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
    ordered: OrderLine, billed: InvoiceLine, so_far: Decimal, tolerance: MatchTolerance
) -> list[str]:
    """Return why the line is not as ordered; `so_far` is what the invoice bills of the order line
    up to here, because a line that is billed in two parts is still ordered once.
    """
    if billed.quantity.unit != ordered.quantity.unit:
        return [f"billed by {billed.quantity.unit}, ordered by {ordered.quantity.unit}"]
    reasons = list[str]()
    if so_far > ordered.quantity.value:
        reasons.append(f"{so_far} billed, {ordered.quantity.value} ordered")
    allowed = ordered.unit_price.amount * (1 + tolerance.price_percent / 100)
    if billed.unit_price.currency != ordered.unit_price.currency:
        reasons.append(f"billed in {billed.unit_price.currency}")
    elif billed.unit_price.amount > allowed:
        reasons.append(f"price {billed.unit_price.amount} instead of {ordered.unit_price.amount}")
    return reasons


def _missing(
    ordered: OrderLine, billed: InvoiceLine, so_far: Decimal, received: dict[int, Decimal]
) -> str:
    """Return what is billed but not received yet, compared in base units."""
    if billed.quantity.unit != ordered.quantity.unit or not ordered.quantity.value:
        return ""
    per_unit = ordered.base_quantity.value / ordered.quantity.value
    wanted = so_far * per_unit
    have = received.get(ordered.line, Decimal(0))
    return "" if have >= wanted else f"{wanted} billed, {have} received"


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
