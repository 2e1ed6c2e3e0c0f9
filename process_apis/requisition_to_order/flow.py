"""Somebody wants something bought: checked, priced, approved, ordered.

cost centre, supplier, items, contract prices → priced and within budget → requisition in the ERP
→ approval (by rule, or above the threshold by a person) → purchase order in the ERP → announced
→ declined: withdrawn in the ERP, so that it no longer counts as coming
Cancelled, it takes the order back from the supplier, then from the ERP, then the requisition.
"""

import msgspec

from canonical.deadline import Deadlines, Urgency
from canonical.item import Item
from canonical.order import PurchaseOrder
from canonical.published_trade import ApprovalDecided, OrderPlaced
from canonical.requisition import Approval, PricedRequisition, Requisition
from ledger.story import Story
from process_apis.requisition_to_order.deadlines import (
    approval_affected,
    approval_due,
    urgency,
)
from process_apis.requisition_to_order.ports import ContractBook, Purchasing
from process_apis.requisition_to_order.rules import (
    ApprovalPolicy,
    approval_task,
    approval_verdict,
    priced_requisition,
)

VERSION = "1"


class RequisitionOutcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of the requisition; without an order it was declined."""

    requisition: str
    approval: Approval
    order: PurchaseOrder | None = None


async def requisition_to_order(
    story: Story,
    requisition: Requisition,
    *,
    erp: Purchasing,
    contracts: ContractBook,
    policy: ApprovalPolicy,
    deadlines: Deadlines,
) -> RequisitionOutcome:
    priced, items = await _priced(story, requisition, erp, contracts)
    window, groups = deadlines.surgery_window, deadlines.urgent_groups
    urgent = await story.decide(
        "criticality tier", urgency, requisition, items, story.now(), window, groups
    )
    raised = await story.step(
        "requisition in the ERP",
        erp.raise_requisition,
        priced,
        compensate=erp.take_back_requisition,
    )
    story.identify("requisition", raised.number)

    approval = await _approval(story, raised, urgent, policy, deadlines)
    story.publish(ApprovalDecided.of(raised, approval), subject=raised.number)
    if not approval.approved:
        await story.step("withdraw the requisition in the ERP", erp.withdraw_requisition, raised)
        return RequisitionOutcome(requisition=raised.number, approval=approval)

    order = await story.step(
        "purchase order in the ERP", erp.place_order, raised, compensate=erp.cancel_order
    )
    order = msgspec.structs.replace(order, urgency=urgent)  # no ERP carries it on
    story.identify("order", order.number)
    story.publish(OrderPlaced.of(order), subject=order.number)
    await story.announce("order-placed", order, key=order.number, undo=True)
    return RequisitionOutcome(requisition=raised.number, approval=approval, order=order)


async def _priced(
    story: Story, requisition: Requisition, erp: Purchasing, contracts: ContractBook
) -> tuple[PricedRequisition, list[Item]]:
    """Ask for everything that can forbid the purchase, then price it by the contract of the day."""
    await story.ask(
        "where it is needed", contracts.location, requisition.facility, requisition.location
    )
    center = await story.ask("cost centre and budget", erp.cost_center, requisition.cost_center)
    supplier = await story.ask("supplier", erp.supplier, requisition.supplier)
    items = [
        await story.ask(f"item {line.item}", erp.item, line.item) for line in requisition.lines
    ]
    prices = [
        await story.ask(f"contracts for {item.id}", contracts.prices, supplier.id, item.id)
        for item in items
    ]
    today = await story.ask("today at the hospital", contracts.today, requisition.facility)
    priced = await story.decide(
        "eligible, priced and within budget",
        priced_requisition,
        requisition,
        items,
        prices,
        center,
        supplier,
        today,
    )
    return priced, items


async def _approval(
    story: Story,
    raised: PricedRequisition,
    urgent: Urgency,
    policy: ApprovalPolicy,
    deadlines: Deadlines,
) -> Approval:
    """Return the rule's word where the amount is within it, else a person's."""
    verdict = await story.decide("approval rule", approval_verdict, raised, policy)
    if not verdict.needs_person:
        return Approval(approved=True, by="approval rule", at=story.now(), reason=verdict.why)
    draft = msgspec.structs.replace(
        approval_task(raised, verdict, policy), affected=approval_affected(raised, urgent)
    )
    due = approval_due(raised, urgent, policy.approvers, deadlines)
    answer = await story.decision("approval", draft, due)
    approved = answer.action == "approve"
    return Approval(approved=approved, by=answer.by, at=story.now(), reason=answer.reason)
