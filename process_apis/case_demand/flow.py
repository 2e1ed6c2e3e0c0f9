"""A case is scheduled, moved or cancelled: reserve what it needs, buy what would be short.

Scheduled   → preference card + stock + open demand → plan → reserve → requisition for what is short
Changed     → what was reserved before is released, then as above
Cancelled   → what was reserved before is released
"""

from canonical.case import SurgicalCase
from canonical.published import CaseScheduled
from canonical.published_trade import RequisitionRaised
from ledger.story import Story
from process_apis.case_demand.ports import MasterRecords, StockBook
from process_apis.case_demand.rules import CaseReadiness, case_plan, requisitions, shortage_news

VERSION = "1"


async def case_demand(
    story: Story, case: SurgicalCase, *, records: MasterRecords, stock: StockBook
) -> CaseReadiness:
    story.publish(CaseScheduled.of(case), subject=case.case)
    before = await story.outcome_of("what was planned before", "case-demand", CaseReadiness)
    if before is not None and before.reservation is not None:
        await story.step("release the earlier reservation", stock.release, before.reservation)
    if case.change == "cancelled":
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
    reservation = await story.step("reserve the items", stock.reserve, plan.reservation)

    units = {level.item: level.unit for level in levels}
    for requisition in requisitions(case, place, plan, units):
        key = f"{case.case}:{requisition.supplier}"
        story.publish(RequisitionRaised.of(requisition), subject=key)
        await story.announce("requisition-raised", requisition, key=key)
    return CaseReadiness(reservation=reservation, shortages=plan.shortages)
