"""What a buyer sees of an order: as it is told now, and as version 1 told it."""

from datetime import date, datetime

import msgspec

from canonical.money import Money
from canonical.order import PurchaseOrder


class OrderSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One order, without its lines: `lineCount` says how many there are."""

    number: str
    supplier: str
    facility: str
    status: str
    ordered_on: date
    needed_on: date
    total: Money
    line_count: int
    transaction: str
    open_tasks: int
    changed_at: datetime


class OrderPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Orders, newest first; `next` goes into `after` of the next call, and is null at the end."""

    items: tuple[OrderSummary, ...]
    next: str | None = None


class OrderRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of the list of orders."""

    number: str
    supplier: str
    status: str
    ordered_on: date
    needed_on: date
    total: Money
    lines: int
    transaction: str
    open_tasks: int
    changed_at: datetime


class OrderList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    items: tuple[OrderRow, ...]


def order_summary(
    order: PurchaseOrder, transaction: str, open_tasks: int, changed_at: datetime
) -> OrderSummary:
    """Return an order as a page shows it."""
    return OrderSummary(
        number=order.number,
        supplier=order.supplier,
        facility=order.facility,
        status=order.status,
        ordered_on=order.ordered_on,
        needed_on=order.needed_on,
        total=order.total,
        line_count=len(order.lines),
        transaction=transaction,
        open_tasks=open_tasks,
        changed_at=changed_at,
    )


def order_row(order: OrderSummary) -> OrderRow:
    """Return an order as version 1 shows it: its number of lines is called `lines` there."""
    fields = msgspec.structs.asdict(order)
    lines = fields.pop("line_count")
    del fields["facility"]
    return OrderRow(lines=lines, **fields)
