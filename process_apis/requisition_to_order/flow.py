"""Somebody wants something bought: checked, priced, approved, ordered.

cost centre, supplier, items, contract prices → priced and within budget → requisition in the ERP
→ approval (by rule, or above the threshold by a person) → purchase order in the ERP → announced
→ declined: withdrawn in the ERP, so that it no longer counts as coming
Cancelled, it takes the order back from the supplier, then from the ERP, then the requisition.
"""

import msgspec

from canonical.order import PurchaseOrder
from canonical.published_trade import ApprovalDecided, OrderPlaced
from canonical.requisition import Approval, PricedRequisition, Requisition
from ledger.story import Story
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
) -> RequisitionOutcome:
    priced = await _priced(story, requisition, erp, contracts)
    raised = await story.step(
        "requisition in the ERP",
        erp.raise_requisition,
        priced,
        compensate=erp.take_back_requisition,
    )
    story.identify("requisition", raised.number)

    approval = await _approval(story, raised, policy)
    story.publish(ApprovalDecided.of(raised, approval), subject=raised.number)
    if not approval.approved:
        await story.step("withdraw the requisition in the ERP", erp.withdraw_requisition, raised)
        return RequisitionOutcome(requisition=raised.number, approval=approval)

    order = await story.step(
        "purchase order in the ERP", erp.place_order, raised, compensate=erp.cancel_order
    )
    story.identify("order", order.number)
    story.publish(OrderPlaced.of(order), subject=order.number)
    await story.announce("order-placed", order, key=order.number, undo=True)
    return RequisitionOutcome(requisition=raised.number, approval=approval, order=order)


async def _priced(
    story: Story, requisition: Requisition, erp: Purchasing, contracts: ContractBook
) -> PricedRequisition:
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
    return await story.decide(
        "eligible, priced and within budget",
        priced_requisition,
        requisition,
        items,
        prices,
        center,
        supplier,
        today,
    )


async def _approval(story: Story, raised: PricedRequisition, policy: ApprovalPolicy) -> Approval:
    """Return the rule's word where the amount is within it, else a person's."""
    verdict = await story.decide("approval rule", approval_verdict, raised, policy)
    if not verdict.needs_person:
        return Approval(approved=True, by="approval rule", at=story.now(), reason=verdict.why)
    answer = await story.decision("approval", approval_task(raised, verdict, policy))
    approved = answer.action == "approve"
    return Approval(approved=approved, by=answer.by, at=story.now(), reason=answer.reason)
