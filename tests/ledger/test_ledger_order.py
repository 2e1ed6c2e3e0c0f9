"""One at a time in arrival order for each key, under a lease that a dead worker loses."""

import asyncio

import asyncpg

from canonical.errors import UpstreamRefused
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Need,
    Shipped,
    abandon,
    answered,
    count,
    ended,
    eventually,
    fact,
    flow,
    install,
    raised,
    used,
)

Session = asyncpg.Connection


class Bench:
    """Where flows are at work: who began, who is there, how many of one key at once."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.now: list[str] = []
        self.most = 0
        self.open = asyncio.Event()

    async def work(self, need: Need, *, key: str) -> Shipped:
        name = need.number.split()[0]
        self.began.append(need.number)
        self.now.append(name)
        self.most = max(self.most, self.now.count(name))
        await self.open.wait()
        await asyncio.sleep(0.01)
        self.now.remove(name)
        return Shipped(document=key)

    def flow(self):
        async def run(story, need):
            await story.step("work", self.work, need)

        return flow(run)


def queued(key: str, number: str):
    named = fact("item-used", key, Need(number=number), references=())
    return used(number, announcements=(named,), references=())


async def test_flows_of_one_key_run_one_at_a_time_in_the_order_they_came(
    ledger: Ledger, opened: Opened
) -> None:
    bench, other = Bench(), await opened()
    for one in (ledger, other):
        install(one, bench.flow())
    for number in ("a 1", "a 2", "a 3", "b 1"):
        await ledger.messages.receive(queued(number[0], number))
    for one in (ledger, other):
        one.worker.start()

    async def both() -> bool:
        return len(bench.began) == 2

    await eventually(both)
    await asyncio.sleep(0.1)
    assert sorted(bench.began) == ["a 1", "b 1"]  # another key runs, a second of this one does not
    bench.open.set()
    await ended(ledger, 4)
    assert [number for number in bench.began if number[0] == "a"] == ["a 1", "a 2", "a 3"]
    assert bench.most == 1


async def test_an_arrival_whose_commit_is_late_does_not_run_beside_a_later_one(
    ledger: Ledger, opened: Opened, operator: Session
) -> None:
    bench, other = Bench(), await opened()
    for one in (ledger, other):
        install(one, bench.flow())
        one.worker.start()
    signal = fact("order-acknowledged", "x")
    early = queued("a", "a 1")
    slow = used("a 1", announcements=(*early.announcements, signal))
    async with operator.transaction():
        await operator.execute("lock table signal in exclusive mode")
        first = asyncio.create_task(ledger.messages.receive(slow))

        async def blocked() -> bool:
            return await count(other, "pg_locks", "not granted") == 1

        await eventually(blocked)
        second = asyncio.create_task(other.messages.receive(queued("a", "a 2")))
        await asyncio.wait([second], timeout=0.5)
        assert "a 1" not in bench.began
    await asyncio.gather(first, second)
    bench.open.set()
    await ended(ledger, 2)
    assert bench.began == ["a 1", "a 2"]
    assert bench.most == 1


async def test_a_stuck_key_holds_up_nobody_else_and_goes_on_when_it_is_resolved(
    ledger: Ledger,
) -> None:
    began: list[str] = []

    async def run(story, need):
        began.append(need.number)
        if need.number == "a 1":
            raise UpstreamRefused("no")

    install(ledger, flow(run))
    for number in ("a 1", "a 2", "b 1"):
        await ledger.messages.receive(queued(number[0], number))
    ledger.worker.start()
    task = await raised(ledger)
    await ended(ledger)
    assert sorted(began) == ["a 1", "b 1"]
    await ledger.tasks.resolve(task.id, abandon())
    await ended(ledger, 2)
    assert began[-1] == "a 2"


async def test_news_belongs_to_the_key_it_names(ledger: Ledger) -> None:
    install(ledger, Bench().flow())
    await ledger.messages.receive(used("1"))
    await ledger.messages.receive(used("2"))
    await ledger.messages.receive(answered("2"))
    assert await count(ledger, "signal", "key = '2'") == await count(ledger, "signal") == 1
