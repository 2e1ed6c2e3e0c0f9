"""How urgent a purchase is, and by when its approval is due: pure decisions."""

from datetime import datetime, timedelta

from canonical.deadline import Deadline, Deadlines, Urgency
from canonical.item import Item
from canonical.requisition import PricedRequisition, Requisition

VERSION = "tier-rules/1"


def urgency(
    requisition: Requisition,
    items: list[Item],
    moment: datetime,
    surgery_window: timedelta,
    urgent_groups: tuple[str, ...],
) -> Urgency:
    """Return the tier: critical for a case within the window; urgent for implants, items of an
    urgent group, or because the requester says so; else routine.
    """
    need = requisition.need
    at = need.scheduled_at if need else None
    if at is not None and at - moment <= surgery_window:
        left = max((at - moment) / timedelta(hours=1), 0.0)
        return Urgency(tier="critical", why=f"the case is in {left:.0f} hours", need=need)
    for item in items:
        if item.kind == "implant":
            return Urgency(tier="urgent", why=f"{item.id} is an implant", need=need)
        if item.group and item.group in urgent_groups:
            why = f"{item.id} is in the urgent group {item.group}"
            return Urgency(tier="urgent", why=why, need=need)
    if requisition.urgent:
        return Urgency(tier="urgent", why="the requester says so", need=need)
    return Urgency(tier="routine", why="no case is near, and no item is urgent", need=need)


def approval_due(
    requisition: PricedRequisition, urgent: Urgency, approvers: str, deadlines: Deadlines
) -> Deadline:
    """Return by when an approver has to decide."""
    return Deadline(
        kind="approval",
        tier=urgent.tier,
        within=deadlines.within(urgent.tier, "approval"),
        affected=approval_affected(requisition, urgent),
        owner=approvers,
        fix="approve, or decline with a reason; or have another approver decide",
    )


def approval_affected(requisition: PricedRequisition, urgent: Urgency) -> str:
    """Say who waits for the approval."""
    place = f"{requisition.location} in {requisition.facility}"
    return urgent.affected(f"{place}, needed on {requisition.needed_on}")
