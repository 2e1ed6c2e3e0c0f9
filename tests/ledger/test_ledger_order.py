"""One at a time in arrival order for each key, under a lease that a dead worker loses."""

import asyncio

import asyncpg
import pytest

from canonical.errors import StoreUnavailable, UpstreamRefused
from ledger.ledger import Ledger
from ledger.step_journal import StepJournal
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Need,
    Shipped,
    Supplier,
    abandon,
    answered,
    count,
    ended,
    eventually,
    fact,
    flow,
    install,
    raised,
    take_over,
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
    return used(number, announcements=(fact("item-used", key, Need(number=number)),))


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


async def test_a_fenced_worker_records_nothing(ledger: Ledger, opened: Opened) -> None:
    old, new, heir = Supplier(), Supplier(), await opened()
    for one, supplier in ((ledger, old), (heir, new)):
        supplier.answers.clear()

        async def run(story, need, supplier=supplier):
            return await story.step("shipment", supplier.ship, need)

        install(one, flow(run))
    new.shipped = {"": ""}  # so that the two tell different document numbers
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await old.began.wait()
    heir.worker.start()
    await take_over(ledger, heir)
    await new.began.wait()

    refused = ledger.writer.records
    old.answers.set()  # the old owner wakes up and wants to write down what it did

    async def was_refused() -> bool:
        return ledger.writer.records > refused

    await eventually(was_refused)
    assert await count(ledger, "step") == 0
    assert await count(ledger, "entry", "kind = 'effect'") == 0
    assert await count(ledger, "flow", "status = 'ready' and owner = $1", heir.worker.identity) == 1

    new.answers.set()
    await ended(heir)
    assert old.keys == new.keys
    rows = await heir.database.rows("select output ->> 'document' from step")
    assert [row[0] for row in rows] == ["S2 for 1"]
    assert (await heir.audit.verify())[1] == []


async def test_two_workers_never_hold_one_flow(ledger: Ledger) -> None:
    async def run(story, need):
        return None

    install(ledger, flow(run))
    for n in range(30):
        await ledger.messages.receive(used(str(n)))
    journal = StepJournal(ledger.database)
    claims = [journal.claim(f"worker_{n}", 10, ["supply/1"]) for n in range(6)]
    claimed = [one.id for many in await asyncio.gather(*claims) for one in many]
    assert len(claimed) == len(set(claimed)) == 30


async def test_a_flow_that_was_let_go_is_not_held_by_the_worker_that_let_it_go(
    ledger: Ledger,
) -> None:
    supplier = Supplier()
    supplier.answers.clear()
    fell = asyncio.Event()

    async def run(story, need):
        if need.number == "falls" and not fell.is_set():
            fell.set()
            raise StoreUnavailable("the registry went away")
        await story.step("shipment", supplier.ship, need)

    install(ledger, flow(run))
    await ledger.messages.receive(used("falls"))
    await ledger.messages.receive(used("stays"))
    ledger.worker.start()
    await asyncio.gather(fell.wait(), supplier.began.wait())

    async def leases() -> dict[str, object]:
        rows = await ledger.database.rows("select key, lease_until from flow")
        return {row["key"]: row["lease_until"] for row in rows}

    before = await leases()

    async def renewed() -> bool:
        return (await leases())["stays"] != before["stays"]

    await eventually(renewed)
    assert (await leases())["falls"] == before["falls"]
    await ledger.database.run("update flow set lease_until = now() where key = 'falls'")
    supplier.answers.set()
    await ended(ledger, 2)


async def test_leases_are_renewed_although_one_flow_is_being_written(
    ledger: Ledger, operator: Session
) -> None:
    async def run(story, need):
        return None

    install(ledger, flow(run))
    for number in ("1", "2"):
        await ledger.messages.receive(used(number))
    journal = StepJournal(ledger.database)
    flows = [one.id for one in await journal.claim("worker_x", 2, ["supply/1"])]
    await ledger.database.run("update flow set lease_until = now()")
    async with operator.transaction():
        await operator.execute("select 1 from flow where id = $1 for update", flows[0])
        await asyncio.wait_for(journal.renew("worker_x", flows), 2)
    rows = await ledger.database.rows("select id from flow where lease_until > now()")
    assert [row["id"] for row in rows] == flows[1:]


@pytest.mark.parametrize("cancel", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_worker_whose_query_was_ended_goes_on(
    ledger: Ledger, operator: Session, cancel: str
) -> None:
    bench = Bench()
    bench.open.set()
    install(ledger, bench.flow())
    ledger.worker.start()
    await ledger.messages.receive(used("1"))
    await ended(ledger)
    async with operator.transaction():
        await operator.execute("lock table flow in access exclusive mode")

        async def ends() -> bool:
            await operator.execute("select pg_stat_clear_snapshot()")
            return bool(
                await operator.fetch(
                    f"select {cancel}(pid) from pg_stat_activity where datname = current_database()"
                    " and wait_event_type = 'Lock' and query like '%epoch = epoch + 1%'"
                )
            )

        await eventually(ends)
    await ledger.messages.receive(used("2"))
    await ended(ledger, 2)


async def test_a_worker_does_not_begin_again_what_it_has_in_hand(ledger: Ledger) -> None:
    supplier = Supplier()
    supplier.answers.clear()

    async def run(story, need):
        await story.step("shipment", supplier.ship, need)

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await supplier.began.wait()
    await ledger.database.run("update flow set lease_until = now() - interval '1 s'")
    await ledger.messages.receive(used("2"))  # it looks for work, and sees that lease

    async def both() -> bool:
        return len(supplier.keys) > 1

    await eventually(both)
    assert len(set(supplier.keys)) == 2
    supplier.answers.set()
    await ended(ledger, 2)


async def test_news_belongs_to_the_key_it_names(ledger: Ledger) -> None:
    install(ledger, Bench().flow())
    await ledger.messages.receive(used("1"))
    await ledger.messages.receive(used("2"))
    await ledger.messages.receive(answered("2"))
    assert await count(ledger, "signal", "key = '2'") == await count(ledger, "signal") == 1
