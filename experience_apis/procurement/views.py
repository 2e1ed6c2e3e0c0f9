"""What a buyer sees of an order."""

from datetime import date, datetime

import msgspec

from canonical.money import Money
from canonical.order import PurchaseOrder


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


def order_row(
    order: PurchaseOrder, transaction: str, open_tasks: int, changed_at: datetime
) -> OrderRow:
    """Return an order as one line."""
    return OrderRow(
        number=order.number,
        supplier=order.supplier,
        status=order.status,
        ordered_on=order.ordered_on,
        needed_on=order.needed_on,
        total=order.total,
        lines=len(order.lines),
        transaction=transaction,
        open_tasks=open_tasks,
        changed_at=changed_at,
    )
