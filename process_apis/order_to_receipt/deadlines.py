"""By when a supplier's answers and goods are due, and who is affected when they are late."""

from datetime import datetime

import msgspec

from canonical.deadline import Deadline, DeadlineKind, Deadlines, Urgency
from canonical.order import PurchaseOrder

_ITEMS_NAMED = 5

_TERMS: dict[DeadlineKind, tuple[str, str]] = {
    "syntax-answer": (
        "it-operations",
        "find out whether the supplier's system took the 850; order by telephone if it is down",
    ),
    "acknowledgement": ("supply-chain", "have the supplier confirm the order"),
    "deviation": ("supply-chain", "accept the change, reject it, or give the order up"),
    "shipment": (
        "supply-chain",
        "ask the supplier where the goods are; look for them in other locations meanwhile",
    ),
    "replenishment": (
        "supply-chain",
        "bring the goods from another location or supplier, or tell those who are affected",
    ),
}
"""Who learns of each delay, and what would help."""


def order_due(order: PurchaseOrder, kind: DeadlineKind, deadlines: Deadlines) -> Deadline:
    """Return by when this is due, by the tier of the order."""
    tier = (order.urgency or Urgency()).tier
    owner, fix = _TERMS[kind]
    return Deadline(
        kind=kind,
        tier=tier,
        within=deadlines.within(tier, kind),
        affected=order_affected(order),
        owner=owner,
        fix=fix,
    )


def replenishment_due(order: PurchaseOrder, deadlines: Deadlines, moment: datetime) -> Deadline:
    """Return by when the goods have to be there: in the time of their tier, and before the case."""
    due = order_due(order, "replenishment", deadlines)
    need = order.urgency.need if order.urgency else None
    if need is None or need.scheduled_at is None:
        return due
    return msgspec.structs.replace(due, within=min(due.within, need.scheduled_at - moment))


def order_affected(order: PurchaseOrder) -> str:
    """Say who waits for this order: the case and its time, the place, and the goods."""
    goods = [
        f"{line.quantity.value} {line.quantity.unit} {line.description}" for line in order.lines
    ]
    more = len(goods) - _ITEMS_NAMED
    named = ", ".join(goods[:_ITEMS_NAMED]) + (f" and {more} more" if more > 0 else "")
    place = f"{order.location} in {order.facility}, needed on {order.needed_on}"
    return (order.urgency or Urgency()).affected(place, named)
