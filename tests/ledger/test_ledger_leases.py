"""Who holds a flow may write; who lost it may not; who lives keeps what it has in hand."""

import asyncio

import asyncpg
import pytest

from canonical.errors import StoreUnavailable
from ledger.batch import FlowWrite
from ledger.ledger import Ledger
from ledger.rows import StepRow
from ledger.step_journal import StepJournal
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Supplier,
    count,
    ended,
    eventually,
    flow,
    install,
    take_over,
    used,
)

Session = asyncpg.Connection


def idle():
    async def run(story, need):
        return None

    return flow(run)


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


async def test_a_lease_that_was_taken_anew_does_not_revive_what_was_said_under_the_old(
    ledger: Ledger,
) -> None:
    install(ledger, idle())
    await ledger.messages.receive(used("1"))
    journal = StepJournal(ledger.database, 5.0)
    [old] = await journal.claim("worker_x", 1, ["supply/1"])
    await ledger.database.run("update flow set run_at = now() - interval '1 s'")
    [new] = await journal.claim("worker_x", 1, ["supply/1"])
    told = [
        FlowWrite(flow=flow, rows=[StepRow(old.id, name, 1, "ask", "1")])
        for flow, name in ((old, "late"), (new, "in time"))
    ]
    assert [await ledger.writer.submit(write) for write in told] == ["lease-lost", "kept"]
    assert [row["name"] for row in await journal.recorded(old.id)] == ["in time"]


async def test_two_workers_never_hold_one_flow(ledger: Ledger) -> None:
    async def run(story, need):
        return None

    install(ledger, flow(run))
    for n in range(30):
        await ledger.messages.receive(used(str(n)))
    journal = StepJournal(ledger.database, 5.0)
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
        rows = await ledger.database.rows("select key, run_at from flow")
        return {row["key"]: row["run_at"] for row in rows}

    before = await leases()

    async def renewed() -> bool:
        return (await leases())["stays"] != before["stays"]

    await eventually(renewed)
    assert (await leases())["falls"] == before["falls"]
    await ledger.database.run("update flow set run_at = now() where key = 'falls'")
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
    journal = StepJournal(ledger.database, 5.0)
    flows = [one.id for one in await journal.claim("worker_x", 2, ["supply/1"])]
    await ledger.database.run("update flow set run_at = now()")
    async with operator.transaction():
        await operator.execute("select 1 from flow where id = $1 for update", flows[0])
        await asyncio.wait_for(journal.renew("worker_x", flows), 2)
    rows = await ledger.database.rows("select id from flow where run_at > now()")
    assert [row["id"] for row in rows] == flows[1:]


@pytest.mark.parametrize("cancel", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_worker_whose_query_was_ended_goes_on(
    ledger: Ledger, operator: Session, cancel: str
) -> None:
    install(ledger, idle())
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
    await ledger.database.run("update flow set run_at = now() - interval '1 s'")
    await ledger.messages.receive(used("2"))  # it looks for work, and sees that lease

    async def both() -> bool:
        return len(supplier.keys) > 1

    await eventually(both)
    supplier.answers.set()
    await ended(ledger, 2)
    assert len(supplier.keys) == len(set(supplier.keys)) == 2
