"""What flows tell each other: claims, outcomes, announcements."""

from datetime import UTC, datetime

import pytest

from canonical.errors import NotFound, UpstreamRefused
from canonical.published import Ping, SupplyShortage
from canonical.request import Reference
from ledger.ledger import Ledger
from ledger.outbox import Position, Wanted
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Answer,
    Need,
    Shipped,
    Supplier,
    abandon,
    answered,
    count,
    ended,
    fact,
    flow,
    install,
    raised,
    take_over,
    used,
)


@pytest.mark.parametrize("done_outside", [False, True])
async def test_abandoning_frees_what_was_claimed_only_if_nothing_was_done_outside(
    ledger: Ledger, done_outside: bool
) -> None:
    supplier = Supplier()
    owners: dict[str, bool] = {}

    async def run(story, need):
        claim = await story.claim("serial", "SN-1")
        owners[need.number] = claim.mine
        if claim.mine and done_outside:
            await story.step("shipment", supplier.ship, need)
        if need.number == "1":
            raise UpstreamRefused("no")

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger)
    await ledger.tasks.resolve(task.id, abandon())
    assert await count(ledger, "flow", "status = 'abandoned' and ended_at is not null") == 1
    await ledger.messages.receive(used("2"))
    await ended(ledger)
    assert owners == {"1": True, "2": not done_outside}


async def test_of_two_that_claim_one_thing_the_second_learns_whose_it_is(ledger: Ledger) -> None:
    told: dict[str, tuple[bool, str]] = {}

    async def run(story, need):
        for _ in range(2):
            claim = await story.claim("serial", "SN-1")
        told[need.number] = (claim.mine, claim.transaction)

    install(ledger, flow(run))
    first = await ledger.messages.receive(used("1"))
    await ledger.messages.receive(used("2"))
    ledger.worker.start()
    await ended(ledger, 2)
    assert sorted(mine for mine, _ in told.values()) == [False, True]
    assert len({transaction for _, transaction in told.values()}) == 1
    assert first.transactions


async def test_a_later_flow_learns_what_an_earlier_one_of_the_story_came_to(
    ledger: Ledger,
) -> None:
    told: list[Shipped | None] = []

    async def ship(story, need):
        return Shipped(document=f"S for {need.number}")

    async def bill(story, need):
        told.append(await story.outcome_of("what was shipped", "supply", Shipped))
        told.append(await story.outcome_of("what was paid", "payment", Shipped))

    install(ledger, flow(ship), flow(bill, "billing"), case_scheduled="billing")
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger)
    order = (Reference("order", "1"),)
    await ledger.messages.receive(
        used("b", announcements=(fact("case-scheduled", "b", joins=order),))
    )
    await ended(ledger, 2)
    assert told == [Shipped(document="S for 1"), None]


async def test_an_announcement_starts_its_flow_once_although_the_announcer_dies(
    ledger: Ledger, opened: Opened
) -> None:
    supplier, heir, begun = Supplier(), await opened(), list[str]()
    supplier.answers.clear()

    async def announcing(story, need):
        await story.announce("order-placed", Need(number=f"order of {need.number}"), key="o1")
        await story.step("shipment", supplier.ship, need)

    async def ordering(story, need):
        begun.append(need.number)

    for one in (ledger, heir):
        install(one, flow(announcing), flow(ordering, "order"), order_placed="order")
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await supplier.began.wait()
    await ended(ledger)
    await ledger.worker.stop(grace=0)
    supplier.answers.set()
    heir.worker.start()
    await take_over(ledger, heir)
    await ended(heir, 2)
    assert begun == ["order of 1"]
    assert await count(heir, "outbox") == 0, "what flows tell each other stays inside"
    assert await count(heir, "transaction") == 1


async def test_two_announcements_of_one_kind_are_two_facts(ledger: Ledger) -> None:
    begun: list[str] = []

    async def announcing(story, need):
        for n in (1, 2):
            await story.announce("order-placed", Need(number=f"part {n}"), key="o1")

    async def ordering(story, need):
        begun.append(need.number)

    install(ledger, flow(announcing), flow(ordering, "order"), order_placed="order")
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, 3)
    assert begun == ["part 1", "part 2"]


async def test_what_a_flow_announces_wakes_whoever_waits_for_it(ledger: Ledger) -> None:
    async def waiting(story, need):
        within = {"within": __import__("datetime").timedelta(days=1)}
        return await story.wait("answer", Answer, event="order-acknowledged", key="1", **within)

    async def saying(story, need):
        await story.announce("order-acknowledged", Answer(number="1", words="by us"), key="1")

    install(ledger, flow(waiting), flow(saying, "other"), case_scheduled="other")
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status="waiting")
    await ledger.messages.receive(used("2", announcements=(fact("case-scheduled", "2"),)))
    await ended(ledger, 2)
    assert await count(ledger, "flow", "result ->> 'words' = 'by us'") == 1


async def test_a_story_is_found_by_the_names_its_flows_give_it(ledger: Ledger) -> None:
    async def run(story, need):
        story.identify("invoice", f"INV-{need.number}")

    install(ledger, flow(run))
    accepted = await ledger.messages.receive(used("1"))
    with pytest.raises(NotFound):
        await ledger.traces.find("INV-1")
    ledger.worker.start()
    await ended(ledger)
    assert await ledger.traces.find("INV-1") == accepted.transactions[0]
    assert (await ledger.messages.receive(answered("1"))).transactions == accepted.transactions


async def test_what_a_flow_publishes_is_told_once_whoever_ends_it(opened: Opened) -> None:
    ledger, heir, supplier = await opened(), await opened(), Supplier()
    supplier.answers.clear()

    async def publishing(story, need):
        alert = {"needed_on": datetime(2026, 11, 20, tzinfo=UTC).date(), "items": ()}
        story.publish(SupplyShortage(facility="1710", location="OR01", **alert), subject="c1")
        await story.step("shipment", supplier.ship, need)
        story.publish(Ping(text="done"), subject="c1")

    for one in (ledger, heir):
        install(one, flow(publishing))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await supplier.began.wait()
    assert await count(ledger, "outbox") == 1, "committed before the next effect begins"
    await ledger.worker.stop(grace=0)
    supplier.answers.set()
    heir.worker.start()
    await take_over(ledger, heir)
    await ended(heir)
    page = await heir.outbox.after(Position(0, 0), Wanted(types=("org.suture.*",)), limit=9)
    short, ping = page.events
    assert (short.type, short.facility, short.data_class, short.subject) == (
        "org.suture.supply.short.v1",
        "1710",
        "supply",
        "c1",
    )
    assert ping.transaction == short.transaction
    assert await count(heir, "message", f"id = '{short.cause}'") == 1
