"""Waiting for days: for news from outside, for a person, and for what does not come."""

import asyncio
from datetime import timedelta

import pytest

from canonical.task import Resolution
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Answer,
    answered,
    count,
    ended,
    eventually,
    fact,
    flow,
    hops,
    install,
    raised,
    used,
)

A_DAY = timedelta(days=1)
AT_ONCE = timedelta(seconds=-1)


def waiting(times: int = 1, within: timedelta = A_DAY):
    async def run(story, need):
        for _ in range(times):
            news = await story.wait(
                "answer", Answer, event="order-acknowledged", key=need.number, within=within
            )
        return news

    return flow(run)


async def words(ledger: Ledger, name: str = "supply") -> list[str]:
    """Return what each finished flow of that name was told."""
    rows = await ledger.database.rows(
        "select result ->> 'words' from flow where status = 'done' and name = $1", name
    )
    return [str(row[0]) for row in rows]


async def test_news_that_came_before_anybody_waited_is_not_lost(ledger: Ledger) -> None:
    install(ledger, waiting())
    await ledger.messages.receive(used("1"))
    await ledger.messages.receive(answered("1"))
    ledger.worker.start()
    await ended(ledger)
    assert await words(ledger) == ["yes"]
    assert await hops(ledger, "1") == [
        "ORU^R01 received",
        "855 received",
        "answer",
        "supply completed",
    ]


async def test_news_from_another_process_wakes_who_waits(ledger: Ledger, opened: Opened) -> None:
    install(ledger, waiting())
    other = await opened()
    install(other, waiting())
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status="waiting")
    trace = await ledger.traces.trace(await ledger.traces.find("1"))
    assert (trace.status, trace.flows[0].waits_for) == ("open", "answer")
    await other.messages.receive(answered("1"))
    await ended(ledger)
    assert await words(ledger) == ["yes"]
    assert await count(ledger, "awaited") == 0


async def test_news_that_comes_while_no_worker_lives_is_found_by_the_next(
    ledger: Ledger, opened: Opened
) -> None:
    install(ledger, waiting())
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status="waiting")
    await ledger.worker.stop(grace=0)
    await ledger.messages.receive(answered("1"))
    heir = await opened()
    install(heir, waiting())
    heir.worker.start()
    await ended(heir)
    assert await words(heir) == ["yes"]


async def test_each_wait_takes_its_own_news_in_the_order_they_came(ledger: Ledger) -> None:
    install(ledger, waiting(times=2))
    await ledger.messages.receive(used("1"))
    await ledger.messages.receive(answered("1", "first"))
    ledger.worker.start()
    await ended(ledger, status="waiting")
    await ledger.messages.receive(answered("1", "first"))  # a redelivery is no second answer
    assert await count(ledger, "flow", "status = 'waiting'") == 1
    await ledger.messages.receive(answered("1", "second"))
    await ended(ledger)
    assert await words(ledger) == ["second"]
    assert await count(ledger, "taken") == 2


async def test_news_that_comes_twice_is_taken_once_and_does_no_harm(ledger: Ledger) -> None:
    install(ledger, waiting())
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status="waiting")
    for said in ("first", "second"):
        await ledger.messages.receive(answered("1", said))
    await ended(ledger)
    assert await words(ledger) == ["first"]


async def test_all_flows_that_wait_for_one_fact_get_it(ledger: Ledger) -> None:
    install(ledger, waiting(), flow(waiting().run, "billing"), case_scheduled="billing")
    both = (fact("item-used", "1"), fact("case-scheduled", "1"))
    await ledger.messages.receive(used("1", announcements=both))
    ledger.worker.start()
    await ended(ledger, 2, status="waiting")
    await ledger.messages.receive(answered("1"))
    await ended(ledger, 2)
    assert (await words(ledger), await words(ledger, "billing")) == (["yes"], ["yes"])
    later = fact("item-used", "1")  # news is not used up by those who took it
    await ledger.messages.receive(used("2", announcements=(later,)))
    await ended(ledger, 3)


async def test_an_answer_that_comes_while_its_flow_falls_asleep_is_never_missed(
    ledger: Ledger, opened: Opened
) -> None:
    partner = await opened()
    for one in (ledger, partner):
        install(one, waiting())
    numbers = [str(number) for number in range(60)]
    for number in numbers:
        await ledger.messages.receive(used(number))
    ledger.worker.start()
    await asyncio.gather(*(partner.messages.receive(answered(number)) for number in numbers))
    await ended(ledger, len(numbers))


def either(within: timedelta = A_DAY):
    async def run(story, need):
        kinds = {"order-acknowledged": Answer, "shipment-notified": Answer}
        return await story.wait_any("855 or 856", kinds, key=need.number, within=within)

    return flow(run)


async def test_of_several_facts_whichever_comes_is_taken(ledger: Ledger) -> None:
    install(ledger, either())
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status="waiting")
    notice = fact("shipment-notified", "1", Answer(number="1", words="under way"))
    await ledger.messages.receive(answered("1", announcements=(notice,)))
    await ended(ledger)
    assert await words(ledger) == ["under way"]
    assert await count(ledger, "awaited") == 0


@pytest.mark.parametrize("told", [waiting(within=AT_ONCE), either(within=AT_ONCE)])
async def test_what_does_not_come_in_time_is_one_task_and_the_flow_goes_on_waiting(
    ledger: Ledger, opened: Opened, told
) -> None:
    other = await opened()
    for one in (ledger, other):
        install(one, told)
        one.worker.start()
    accepted = await ledger.messages.receive(used("1"))
    task = await raised(ledger, "overdue")
    await asyncio.sleep(1.1)  # each worker has looked at the clock once more
    [still] = await ledger.tasks.listed()
    assert still == task
    assert (task.affected, task.transaction) == ("Need 1", accepted.transactions[0])
    assert [hop for hop in await hops(ledger, "1") if hop.startswith("Overdue")] == [task.title]
    assert await count(ledger, "flow", "status = 'waiting'") == 1

    await ledger.tasks.resolve(task.id, Resolution(action="acknowledge", by="pat"))
    await ledger.messages.receive(answered("1"))
    await ended(ledger)
    assert await words(ledger) == ["yes"]


async def test_a_deadline_survives_its_worker(ledger: Ledger, opened: Opened) -> None:
    install(ledger, waiting())
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status="waiting")
    assert await ledger.tasks.listed() == []
    await ledger.worker.stop(grace=0)
    await ledger.database.run("update awaited set due_at = now() - interval '1 day'")
    heir = await opened()
    install(heir, waiting())
    heir.worker.start()
    assert (await raised(heir, "overdue")).title == "Overdue: answer"


async def test_watchers_hear_of_each_change_from_any_process(
    ledger: Ledger, opened: Opened
) -> None:
    other = await opened()
    install(other, waiting())

    async def heard() -> str:
        async with ledger.live.watch() as changed:
            while True:
                accepted = await other.messages.receive(used("1", identity=""))
                try:
                    return (await asyncio.wait_for(changed.get(), 0.2), accepted)[0]
                except TimeoutError:
                    continue

    assert await asyncio.wait_for(heard(), 10)


async def test_a_flow_told_twice_to_wake_runs_once(ledger: Ledger) -> None:
    install(ledger, waiting())
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status="waiting")
    await asyncio.gather(
        *(ledger.messages.receive(answered("1", f"{n}", identity="")) for n in range(20))
    )

    async def still() -> bool:
        return await count(ledger, "flow", "status = 'done'") == 1

    await eventually(still)
    assert await count(ledger, "step") == 1
