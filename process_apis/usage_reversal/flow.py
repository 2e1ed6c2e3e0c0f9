"""Usage that was no usage is taken back: stock comes back, the case no longer bears the cost, the
charge is credited, and a serial number may be used again.

credit → what was posted, less what was taken back before → goods back → cost back → charge credited
Nothing is posted before every line has been found. The same credit twice takes back once.
"""

from datetime import date

import msgspec

from canonical.charge import PostedJournal, RecordedCharge
from canonical.inventory import PostedMovement
from canonical.published import InventoryMoved
from canonical.usage import UsageReversal
from ledger.story import Story
from process_apis.usage_reversal.ports import ChargeDesk, CostBook, MasterRecords, StockBook
from process_apis.usage_reversal.rules import (
    Credit,
    EarlierReversal,
    PostedUsage,
    TakenBack,
    charge_back,
    cost_back,
    credit_of,
    free_again,
    goods_back,
    taken_back,
)

VERSION = "1"


class UsageReversed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came back. Without lines everything had been taken back before."""

    lines: tuple[TakenBack, ...]
    movements: tuple[PostedMovement, ...] = ()
    costs: tuple[PostedJournal, ...] = ()
    charge: RecordedCharge | None = None


async def usage_reversal(
    story: Story,
    reversal: UsageReversal,
    *,
    records: MasterRecords,
    stock: StockBook,
    costs: CostBook,
    charges: ChargeDesk,
) -> UsageReversed:
    posted = await story.outcomes_of("what was used", "usage-to-replenishment", PostedUsage)
    before = await story.outcomes_of("what was taken back", "usage-reversal", EarlierReversal)
    wanted = await _wanted(story, reversal, records, stock)
    lines = await story.decide("what is taken back", taken_back, reversal, wanted, posted, before)
    if not lines:
        return UsageReversed(lines=())

    today = await story.ask("today at the hospital", records.today, reversal.facility)
    movements, journals = await _back_in_the_books(story, posted, lines, today, stock, costs)
    credited = await _credited(story, reversal, lines, today, charges)
    for kind, value in free_again(reversal, lines):
        story.release_claim(kind, value)  # written together with the end, and so once
    return UsageReversed(lines=lines, movements=movements, costs=journals, charge=credited)


async def _wanted(
    story: Story, reversal: UsageReversal, records: MasterRecords, stock: StockBook
) -> list[Credit]:
    wanted = list[Credit]()
    for line in reversal.lines:
        found = await story.ask("item by crosswalk", records.resolve, line.codes)
        item = await story.ask(f"item {found}", stock.item, found)
        wanted.append(await story.decide(f"{found} is taken back", credit_of, line, item))
    return wanted


async def _back_in_the_books(
    story: Story,
    posted: tuple[PostedUsage, ...],
    lines: tuple[TakenBack, ...],
    today: date,
    stock: StockBook,
    costs: CostBook,
) -> tuple[tuple[PostedMovement, ...], tuple[PostedJournal, ...]]:
    """Reverse each goods movement that is concerned, and its cost."""
    movements, journals = list[PostedMovement](), list[PostedJournal]()
    for usage in posted:
        document = usage.movement.document if usage.movement else ""
        mine = tuple(line for line in lines if line.document == document)
        if not mine:
            continue
        movement = await story.decide("goods that come back", goods_back, usage, mine, today)
        back = await story.step("take the goods back", stock.post_movement, movement)
        story.publish(InventoryMoved.out(movement, back, story.now()), subject=back.document)
        movements.append(back)
        if back.value.amount:
            cost = await story.decide("cost that comes back", cost_back, movement, back)
            journals.append(await story.step("take the cost back", costs.post_cost, cost))
    return tuple(movements), tuple(journals)


async def _credited(
    story: Story,
    reversal: UsageReversal,
    lines: tuple[TakenBack, ...],
    today: date,
    charges: ChargeDesk,
) -> RecordedCharge | None:
    """Tell the charge reviewer: the one effect of this flow that may see the patient."""
    charge = await story.decide("charge to credit", charge_back, reversal, lines, today)
    if not charge.credits:
        return None
    credited = await story.disclose(
        "credit the charge",
        charges.credit_charge,
        charge,
        token=reversal.context_token,
        purpose="charge correction",
    )
    await story.announce("charge-credited", charge, key=lines[0].document)
    return credited
