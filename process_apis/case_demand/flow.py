"""A case is scheduled, moved or cancelled: reserve what it needs, buy what would be short.

Scheduled   → preference card + stock + open demand → plan → reserve → requisition for what is short
Changed     → what was reserved before is released, then as above
Cancelled   → what was reserved before is released, what was requested for it is withdrawn; an order
is cancelled or a buyer is asked, as the policy says
"""

import msgspec

from canonical.case import SurgicalCase
from canonical.published import CaseScheduled
from canonical.published_trade import RequisitionRaised
from ledger.neighbours import StartedFlow
from ledger.story import Story
from process_apis.case_demand.ports import MasterRecords, StockBook
from process_apis.case_demand.rules import (
    CancellationPolicy,
    CaseReadiness,
    case_plan,
    order_task,
    requisition_key,
    requisitions,
    shortage_news,
    suppliers_asked,
)

VERSION = "1"


class _Ordered(msgspec.Struct, frozen=True):
    """The order that a requisition became."""

    number: str


class _Requested(msgspec.Struct, frozen=True):
    """What became of a requisition."""

    order: _Ordered | None = None


async def case_demand(
    story: Story,
    case: SurgicalCase,
    *,
    records: MasterRecords,
    stock: StockBook,
    policy: CancellationPolicy,
) -> CaseReadiness:
    story.publish(CaseScheduled.of(case), subject=case.case)
    before = await story.outcome_of("what was planned before", "case-demand", CaseReadiness)
    if before is not None and before.reservation is not None:
        await story.step("release the earlier reservation", stock.release, before.reservation)
    if case.change == "cancelled":
        await _withdraw(story, case, policy)
        return CaseReadiness(reservation=None)

    place = await story.ask("operating room", records.location, case.facility, case.location)
    card = await story.ask("preference card", records.preference_card, case.procedure, case.surgeon)
    levels = [
        await story.ask(f"stock of {line.item}", stock.stock, line.item, case.facility, place.id)
        for line in card.lines
    ]
    pars = await story.ask("par levels", records.par_levels, case.facility, place.id)
    day = await story.ask("day of the case", records.day_at, case.facility, case.scheduled_at)

    needs = "what the case needs and what would be short"
    plan = await story.decide(needs, case_plan, case, day, place, card, levels, pars)
    if plan.shortages:
        story.publish(shortage_news(case, plan), subject=case.case)
    reservation = await story.step(
        "reserve the items", stock.reserve, plan.reservation, compensate=stock.unreserve
    )

    units = {level.item: level.unit for level in levels}
    for requisition in requisitions(case, place, plan, units):
        key = requisition_key(case, requisition.supplier)
        story.publish(RequisitionRaised.of(requisition), subject=key)
        await story.announce("requisition-raised", requisition, key=key, undo=True)
    return CaseReadiness(reservation=reservation, shortages=plan.shortages)


async def _withdraw(story: Story, case: SurgicalCase, policy: CancellationPolicy) -> None:
    """Take back what was requested for the case: nobody needs it any more."""
    plans = await story.outcomes_of("everything planned before", "case-demand", CaseReadiness)
    for supplier in suppliers_asked(plans):
        key = requisition_key(case, supplier)
        asked = await story.started(f"requested of {supplier}", "requisition-to-order", key)
        for each in asked:
            order = _order_of(each)
            if not (each.goes_on or order):
                continue  # declined, or taken back before
            if order and policy.orders == "ask":
                draft = order_task(case, order, supplier)
                answer = await story.decision(f"order {order} of a cancelled case", draft)
                if answer.action != "compensate":
                    continue
            await story.call_off(f"take back {each.flow}", each.flow, "the case is cancelled")


def _order_of(requested: StartedFlow) -> str:
    became = msgspec.json.decode(requested.result, type=_Requested | None)
    return became.order.number if requested.status == "done" and became and became.order else ""
