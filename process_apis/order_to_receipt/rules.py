"""Does the supplier's answer fit the order, and what is still to come: pure decisions."""

from collections.abc import Iterator
from decimal import Decimal
from typing import get_args

import msgspec

from canonical.item import Quantity
from canonical.order import (
    AcknowledgedLine,
    AcknowledgedStatus,
    Acknowledgement,
    OrderLine,
    PurchaseOrder,
)
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


class Agreement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the supplier has promised so far: the order as it will come, and of it the lines and
    amounts that are still to be confirmed.
    """

    order: PurchaseOrder
    unconfirmed: tuple[OrderLine, ...]


def acknowledgement_review(
    order: PurchaseOrder, acknowledgement: Acknowledgement
) -> AcknowledgementReview:
    """Compare what was ordered with what is promised, line by line. A line may be answered in
    parts: so much accepted, so much backordered.
    """
    ordered = {line.line: line for line in order.lines}
    answered = _by_line(acknowledgement)
    found = list[Deviation]()
    for number, parts in answered.items():
        line = ordered.get(number)
        if line is None:
            found.append(Deviation(line=number, what="the order has no such line"))
        else:
            found += (Deviation(line=number, what=what) for what in _deviations(line, parts))
    if acknowledgement.lines:
        found += [
            Deviation(line=number, what="not acknowledged")
            for number in ordered
            if number not in answered
        ]
    if not acknowledgement.accepted and not found:
        found.append(Deviation(line=0, what="the supplier rejects the order"))
    return AcknowledgementReview(accepted=not found, deviations=tuple(found))


def later_review(
    order: PurchaseOrder, agreement: Agreement, acknowledgement: Acknowledgement
) -> AcknowledgementReview:
    """Compare a further acknowledgement with the whole order, or with what was left open by the
    ones before: it is accepted where it fits either.
    """
    whole = acknowledgement_review(order, acknowledgement)
    rest = msgspec.structs.replace(order, lines=agreement.unconfirmed)
    if whole.accepted or not rest.lines:
        return whole
    left = acknowledgement_review(rest, acknowledgement)
    return left if len(left.deviations) < len(whole.deviations) else whole


def agreed(
    order: PurchaseOrder, agreement: Agreement, acknowledgement: Acknowledgement
) -> Agreement:
    """Return what holds once this acknowledgement is accepted: what is rejected will not come, what
    is backordered will, and is still to be confirmed.
    """
    answered = _by_line(acknowledgement)
    if not acknowledgement.lines:
        kept = order.lines if acknowledgement.accepted else ()
        return Agreement(order=msgspec.structs.replace(order, lines=kept), unconfirmed=())
    before = {line.line: line for line in agreement.order.lines}
    rest = {line.line: line for line in agreement.unconfirmed}
    lines, unconfirmed = list[OrderLine](), list[OrderLine]()
    for line in order.lines:
        parts = answered.get(line.line)
        if parts is None:
            lines += [before[line.line]] if line.line in before else []
            unconfirmed += [rest[line.line]] if line.line in rest else []
            continue
        promised = _amount(parts, _COMING)
        settled = _settled(before.get(line.line), rest.get(line.line), promised)
        lines.append(_resized(line, parts, settled + promised))
        unconfirmed.append(_resized(line, parts, _amount(parts, _BACKORDERED)))
    return Agreement(
        order=msgspec.structs.replace(order, lines=_present(lines)),
        unconfirmed=_present(unconfirmed),
    )


_BACKORDERED: frozenset[AcknowledgedStatus] = frozenset({"backordered"})
_COMING: frozenset[AcknowledgedStatus] = frozenset(get_args(AcknowledgedStatus)) - {"rejected"}


def _by_line(acknowledgement: Acknowledgement) -> dict[int, list[AcknowledgedLine]]:
    answered = dict[int, list[AcknowledgedLine]]()
    for promised in acknowledgement.lines:
        answered.setdefault(promised.line, []).append(promised)
    return answered


def _amount(parts: list[AcknowledgedLine], statuses: frozenset[AcknowledgedStatus]) -> Decimal:
    return sum((part.quantity.value for part in parts if part.status in statuses), Decimal(0))


def _settled(before: OrderLine | None, rest: OrderLine | None, promised: Decimal) -> Decimal:
    """Return what earlier answers have promised for good, where this one only adds the rest."""
    if before is None or rest is None or promised > rest.quantity.value:
        return Decimal(0)
    return before.quantity.value - rest.quantity.value


def _resized(line: OrderLine, parts: list[AcknowledgedLine], value: Decimal) -> OrderLine:
    """Return the line with another amount. Promised in another unit, it stays what was ordered:
    what comes is counted in base units.
    """
    if any(part.quantity.unit != line.quantity.unit for part in parts):
        return line if value else _none_of(line)
    per_unit = line.base_quantity.value / line.quantity.value
    return msgspec.structs.replace(
        line,
        quantity=msgspec.structs.replace(line.quantity, value=value),
        base_quantity=msgspec.structs.replace(line.base_quantity, value=value * per_unit),
    )


def _none_of(line: OrderLine) -> OrderLine:
    nothing = msgspec.structs.replace(line.quantity, value=Decimal(0))
    return msgspec.structs.replace(line, quantity=nothing)


def _present(lines: list[OrderLine]) -> tuple[OrderLine, ...]:
    return tuple(line for line in lines if line.quantity.value > 0)


def _deviations(ordered: OrderLine, parts: list[AcknowledgedLine]) -> Iterator[str]:
    yield from (_spoken(part, parts) for part in parts if part.status not in _ACCEPTED)
    yield from dict.fromkeys(what for part in parts for what in _changes(ordered, part))
    units = {part.quantity.unit for part in parts}
    if units != {ordered.quantity.unit}:
        yield f"unit {', '.join(sorted(units))} instead of {ordered.quantity.unit}"
        return
    total = sum((part.quantity.value for part in parts), Decimal(0))
    if total != ordered.quantity.value:
        yield f"quantity {total} instead of {ordered.quantity.value}"


_ACCEPTED: frozenset[AcknowledgedStatus] = frozenset({"accepted", "accepted-with-changes"})


def _spoken(part: AcknowledgedLine, parts: list[AcknowledgedLine]) -> str:
    amount = f"{part.quantity.value} {part.quantity.unit} " if len(parts) > 1 else ""
    instead = f"part {part.supplier_sku}" if part.supplier_sku else ""
    notes = ", ".join(note for note in (part.note, instead) if note)
    return f"{amount}{part.status}" + (f": {notes}" if notes else "")


def _changes(ordered: OrderLine, part: AcknowledgedLine) -> Iterator[str]:
    if part.supplier_sku and part.status in _ACCEPTED:
        yield f"part {part.supplier_sku} instead of {ordered.supplier_sku or ordered.item}"
    price, asked = part.unit_price, ordered.unit_price
    if price is not None and price != asked:
        yield f"price {price.amount} {price.currency} instead of {asked.amount} {asked.currency}"


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


def rejected_since(before: Agreement, after: Agreement) -> tuple[OrderLine, ...]:
    """Return the lines that were to come and now will not."""
    coming = {line.line for line in after.order.lines}
    return tuple(line for line in before.order.lines if line.line not in coming)


def never_came(
    order: PurchaseOrder, agreement: Agreement, receipts: list[PostedReceipt]
) -> tuple[OrderLine, ...]:
    """Return the lines of an order that has ended for which the ERP still expects goods."""
    left = {line.line for line in outstanding(order, receipts).lines}
    return tuple(line for line in agreement.order.lines if line.line in left)
