"""Does the supplier's answer fit the order, and what is still to come: pure decisions."""

from decimal import Decimal

import msgspec

from canonical.item import Quantity
from canonical.order import AcknowledgedLine, Acknowledgement, OrderLine, PurchaseOrder
from canonical.shipment import PostedReceipt, ShipNotice
from canonical.task import TaskDraft

VERSION = "order-rules/1"


class Deviation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One way in which the supplier's word differs from the order."""

    line: int
    what: str


class AcknowledgementReview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The acknowledgement held against the order; any deviation is a person's decision."""

    accepted: bool
    deviations: tuple[Deviation, ...] = ()


class OutstandingLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one order line still owes, in the item's base unit."""

    line: int
    quantity: Quantity


class Outstanding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What has not been received yet; a line that has come in full is not in it."""

    lines: tuple[OutstandingLine, ...]

    @property
    def complete(self) -> bool:
        return not self.lines


def acknowledgement_review(
    order: PurchaseOrder, acknowledgement: Acknowledgement
) -> AcknowledgementReview:
    """Compare what was ordered with what is promised, line by line."""
    ordered = {line.line: line for line in order.lines}
    found = list[Deviation]()
    for promised in acknowledgement.lines:
        line = ordered.get(promised.line)
        if line is None:
            found.append(Deviation(line=promised.line, what="the order has no such line"))
        else:
            found += _line_deviations(line, promised)
    answered = {line.line for line in acknowledgement.lines}
    if acknowledgement.lines:
        found += [
            Deviation(line=number, what="not acknowledged")
            for number in ordered
            if number not in answered
        ]
    if not acknowledgement.accepted and not found:
        found.append(Deviation(line=0, what="the supplier rejects the order"))
    return AcknowledgementReview(accepted=not found, deviations=tuple(found))


def _line_deviations(ordered: OrderLine, promised: AcknowledgedLine) -> list[Deviation]:
    found = list[Deviation]()
    number = ordered.line
    if promised.status not in ("accepted", "accepted-with-changes"):
        note = f": {promised.note}" if promised.note else ""
        found.append(Deviation(line=number, what=f"{promised.status}{note}"))
    price = promised.unit_price
    if price is not None and price != ordered.unit_price:
        asked = ordered.unit_price
        what = f"price {price.amount} {price.currency} instead of {asked.amount} {asked.currency}"
        found.append(Deviation(line=number, what=what))
    if promised.quantity.unit != ordered.quantity.unit:
        what = f"unit {promised.quantity.unit} instead of {ordered.quantity.unit}"
        found.append(Deviation(line=number, what=what))
    elif promised.quantity.value != ordered.quantity.value:
        what = f"quantity {promised.quantity.value} instead of {ordered.quantity.value}"
        found.append(Deviation(line=number, what=what))
    return found


def deviation_task(order: PurchaseOrder, review: AcknowledgementReview) -> TaskDraft:
    """Return the question for the buyer."""
    words = "; ".join(f"line {found.line}: {found.what}" for found in review.deviations)
    return TaskDraft(
        reason="acknowledgement-deviates",
        title=f"Order {order.number}: the supplier answers otherwise",
        detail=words,
        affected=f"{order.location} in {order.facility}, needed on {order.needed_on}",
        fix="accept the change; reject it (the supplier must answer again); or give the order up",
        owner="supply-chain",
        actions=("accept", "reject", "abandon"),
    )


def notice_review(order: PurchaseOrder, notice: ShipNotice) -> tuple[Deviation, ...]:
    """Compare a ship notice with the order: what is under way that was not ordered, or too much.

    A line that travels in several lots is named once a lot, so that amounts are added up first.
    """
    ordered = {line.line: line for line in order.lines}
    found = list[Deviation]()
    for (number, unit), shipped in _shipped(notice).items():
        line = ordered.get(number)
        if line is None:
            found.append(Deviation(line=number, what="the order has no such line"))
        elif unit != line.quantity.unit:
            what = f"shipped by {unit}, ordered by {line.quantity.unit}"
            found.append(Deviation(line=number, what=what))
        elif shipped > line.quantity.value:
            what = f"{shipped} shipped, {line.quantity.value} ordered"
            found.append(Deviation(line=number, what=what))
    return tuple(found)


def _shipped(notice: ShipNotice) -> dict[tuple[int, str], Decimal]:
    total = dict[tuple[int, str], Decimal]()
    for line in notice.lines:
        key = (line.order_line, line.quantity.unit)
        total[key] = total.get(key, Decimal(0)) + line.quantity.value
    return total


def outstanding(order: PurchaseOrder, receipts: list[PostedReceipt]) -> Outstanding:
    """Return what is still to come after these receipts."""
    received = dict[int, Decimal]()
    for receipt in receipts:
        for line in receipt.lines:
            if line.order_line is not None:
                before = received.get(line.order_line, Decimal(0))
                received[line.order_line] = before + line.quantity.value
    missing = (
        OutstandingLine(
            line=line.line,
            quantity=Quantity(
                value=line.base_quantity.value - received.get(line.line, Decimal(0)),
                unit=line.base_quantity.unit,
            ),
        )
        for line in order.lines
    )
    return Outstanding(lines=tuple(line for line in missing if line.quantity.value > 0))
