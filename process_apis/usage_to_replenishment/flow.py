"""Something was used on a patient: stock goes down, the case bears the cost, the charge is
reviewed, and what fell below par is bought again.

usage → every line checked (item, unit, lot, serial) → consumption → cost → charge review
→ below par?
Nothing is posted before every line has passed. A serial counts once, whoever reports it.
Lines are judged by the day of use; documents are dated today.
"""

from datetime import date

import msgspec

from canonical.charge import PostedJournal, RecordedCharge
from canonical.deadline import Deadlines, Urgency
from canonical.errors import SerialAlreadyUsed
from canonical.inventory import Movement, PostedMovement, Reservation
from canonical.location import Location
from canonical.published import ChargeEligible, InventoryMoved, ItemConsumed, ProcedureUsage
from canonical.published_trade import RequisitionRaised
from canonical.requisition import Requisition
from canonical.usage import ResolvedUsage, UsageEvent, UsageLine
from ledger.effects import Claim
from ledger.story import Story
from process_apis.usage_to_replenishment.deadlines import posting_due, usage_urgency
from process_apis.usage_to_replenishment.ports import (
    ChargeDesk,
    CostBook,
    MasterRecords,
    StockBook,
)
from process_apis.usage_to_replenishment.rules import (
    case_cost,
    charge_review,
    consumption,
    postable_line,
    replenishment,
)

VERSION = "1"


class UsagePosted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of the usage. Without `movement` everything had been counted before; with it the
    lines are those of `consumption`, and `charge` has an id for each.
    """

    lines: tuple[ResolvedUsage, ...]
    consumption: Movement | None = None
    movement: PostedMovement | None = None
    cost: PostedJournal | None = None
    charge: RecordedCharge | None = None
    requisitions: int = 0


class EarlierCredit(msgspec.Struct, frozen=True, kw_only=True):
    """That a reversal has ended is all there is to know of it here."""


class EarlierPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What case demand left for us."""

    reservation: Reservation | None = None


async def usage_to_replenishment(  # noqa: PLR0913 - the facts, four ports and the deadlines
    story: Story,
    usage: UsageEvent,
    *,
    records: MasterRecords,
    stock: StockBook,
    costs: CostBook,
    charges: ChargeDesk,
    deadlines: Deadlines,
) -> UsagePosted:
    urgency = await story.decide("criticality tier", usage_urgency, usage)
    due = posting_due(usage, urgency, deadlines)
    story.promise("usage in the stock", due, until="post the consumption")
    if usage.corrects:
        await story.outcomes_of("what it corrects", "usage-reversal", EarlierCredit)
    place = await story.ask("place of use", records.location, usage.facility, usage.location)
    day = await story.ask("day of use", records.day_at, usage.facility, usage.occurred_at)
    reported = await _reported_once(story, usage)
    checked = [await _checked(story, line, day, place, records, stock) for line in reported]
    lines = await _counted_once(story, tuple(checked))
    if not lines:
        return UsagePosted(lines=())

    movement, posted = await _issued(story, usage, place, lines, records, stock)
    cost = await story.decide("cost of the case", case_cost, movement, posted)
    journal = await story.step(
        "post the cost", costs.post_cost, cost, compensate=costs.take_back_cost
    )

    recorded = await _charged(story, usage, day, lines, posted, charges)
    wanted = await _wanted(story, lines, place, records, stock)
    await _buy_again(story, wanted, urgency, posted)
    return UsagePosted(
        lines=lines,
        consumption=movement,
        movement=posted,
        cost=journal,
        charge=recorded,
        requisitions=len(wanted),
    )


async def _issued(
    story: Story,
    usage: UsageEvent,
    place: Location,
    lines: tuple[ResolvedUsage, ...],
    records: MasterRecords,
    stock: StockBook,
) -> tuple[Movement, PostedMovement]:
    """Take the goods out of stock, out of what was promised first; the rest of it is released."""
    plan = await story.outcome_of("reservation of the case", "case-demand", EarlierPlan)
    reserved = plan.reservation if plan else None
    today = await story.ask("today at the hospital", records.today, usage.facility)
    movement = await story.decide(
        "consumption", consumption, usage, place, lines, reserved.number if reserved else "", today
    )
    posted = await story.step(
        "post the consumption",
        stock.post_movement,
        movement,
        compensate=stock.take_back_movement,
    )
    _tell(story, usage, lines, movement, posted)
    if reserved is not None:
        await story.step("release what was not used", stock.release, reserved)
    return movement, posted


async def _reported_once(story: Story, usage: UsageEvent) -> list[UsageLine]:
    """Leave out lines that came before under the sender's own line number of the encounter."""
    fresh = list[UsageLine]()
    for line in usage.lines:
        name = f"{usage.source}/{usage.encounter or usage.case}/{line.reference}"
        if not line.reference or (await _claimed(story, "usage-line", name)).mine:
            fresh.append(line)
    return fresh


async def _claimed(story: Story, kind: str, value: str) -> Claim:
    """Claim a name; one that this story is about to give back is waited for."""
    owner = await story.claim(kind, value)
    if owner.mine or owner.transaction != story.transaction:
        return owner
    await story.outcomes_of("what was taken back", "usage-reversal", EarlierCredit)
    return await story.claim(kind, value)


async def _checked(
    story: Story,
    line: UsageLine,
    day: date,
    place: Location,
    records: MasterRecords,
    stock: StockBook,
) -> ResolvedUsage:
    found = await story.ask("item by crosswalk", records.resolve, line.codes)
    item = await story.ask(f"item {found}", stock.item, found)
    lot = None
    if item.lot_controlled and line.lot:
        lot = await story.ask(
            f"lot of {found}", stock.lot, found, place.facility, place.id, line.lot
        )
    return await story.decide(f"{found} may be posted", postable_line, line, item, lot, day)


async def _counted_once(
    story: Story, lines: tuple[ResolvedUsage, ...]
) -> tuple[ResolvedUsage, ...]:
    """Keep the lines nobody has counted; a serial that came in another report of the case is known,
    one that was used in another case is a mistake somebody must look at.
    """
    fresh = list[ResolvedUsage]()
    for line in lines:
        if not line.serial:
            fresh.append(line)
            continue
        owner = await _claimed(story, "serial", f"{line.item}/{line.serial}")
        if owner.mine:
            fresh.append(line)
        elif owner.transaction != story.transaction:
            raise SerialAlreadyUsed(
                f"serial {line.serial} of {line.item} was used in another case",
                where=owner.transaction,
                fix="find out which report is right; abandon this one or correct the other",
            )
    return tuple(fresh)


def _tell(
    story: Story,
    usage: UsageEvent,
    lines: tuple[ResolvedUsage, ...],
    movement: Movement,
    posted: PostedMovement,
) -> None:
    story.publish(
        ItemConsumed.of(usage, movement, posted, lines),
        ProcedureUsage.of(usage, lines),
        InventoryMoved.out(movement, posted, usage.occurred_at),
        subject=posted.document,
    )


async def _charged(
    story: Story,
    usage: UsageEvent,
    day: date,
    lines: tuple[ResolvedUsage, ...],
    posted: PostedMovement,
    charges: ChargeDesk,
) -> RecordedCharge:
    """Hand the charge to its reviewer: the one effect of this flow that may see the patient."""
    charge = await story.decide("charge to review", charge_review, usage, day, lines, posted)
    recorded = await story.disclose(
        "record the charge for review",
        charges.record_charge,
        charge,
        token=usage.context_token,
        purpose="charge capture",
        compensate=charges.take_back_charge,
    )
    story.publish(ChargeEligible.of(charge), subject=posted.document)
    await story.announce("charge-eligible", charge, key=posted.document)
    return recorded


async def _wanted(
    story: Story,
    lines: tuple[ResolvedUsage, ...],
    place: Location,
    records: MasterRecords,
    stock: StockBook,
) -> list[Requisition]:
    items = sorted({line.item for line in lines})
    levels = [
        await story.ask(f"stock of {item} now", stock.stock, item, place.facility, place.id)
        for item in items
    ]
    pars = await story.ask("par levels", records.par_levels, place.facility, place.id)
    today = await story.ask("today at the hospital", records.today, place.facility)
    return await story.decide("what fell below par", replenishment, place, levels, pars, today)


async def _buy_again(
    story: Story, wanted: list[Requisition], urgency: Urgency, posted: PostedMovement
) -> None:
    """Announce each requisition, with the case that used what is bought again."""
    for requisition in wanted:
        again = msgspec.structs.replace(requisition, need=urgency.need)
        key = f"{posted.document}:{requisition.supplier}"
        story.publish(RequisitionRaised.of(again), subject=key)
        await story.announce("requisition-raised", again, key=key)
