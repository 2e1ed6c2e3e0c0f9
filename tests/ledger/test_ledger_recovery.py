"""What happens to a flow whose worker dies, whose supplier fails, or whose author erred."""

import asyncio

import pytest

from canonical.errors import InternalFault, UnknownItem, UpstreamRefused, UpstreamUnavailable
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Shipped,
    Supplier,
    count,
    ended,
    eventually,
    flow,
    hops,
    install,
    raised,
    retry,
    take_over,
    used,
)


def is_enough(on_hand: int) -> bool:
    return on_hand > 0


def reordering(first: Supplier, second: Supplier):
    async def run(story, need):
        on_hand = await story.ask("stock", first.stock, need.number)
        await story.decide("is it enough", is_enough, on_hand)
        await story.step("first shipment", first.ship, need)
        return await story.step("second shipment", second.ship, need)

    return flow(run)


async def test_a_dead_workers_flow_goes_on_where_it_was_interrupted(
    ledger: Ledger, opened: Opened
) -> None:
    first, second, heir = Supplier(), Supplier(), await opened()
    install(ledger, reordering(first, second))
    install(heir, reordering(first, second))
    second.answers.clear()
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await second.began.wait()

    await ledger.worker.stop(grace=0)  # the second shipment is out, and not written down
    second.answers.set()
    heir.worker.start()
    await take_over(ledger, heir)
    await ended(heir)

    assert first.asked == len(first.keys) == 1
    assert len(second.keys) == 2
    assert len(set(second.keys)) == len(second.shipped) == 1
    names = ["stock", "is it enough", "first shipment", "second shipment"]
    assert await hops(heir, "1") == ["ORU^R01 received", *names, "supply completed"]
    assert await count(heir, "flow", """result = '{"document": "S1 for 1"}'""") == 1


async def test_what_was_read_and_ruled_is_on_disk_before_an_effect_starts(
    ledger: Ledger,
) -> None:
    first, second = Supplier(), Supplier()
    first.answers.clear()
    install(ledger, reordering(first, second))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await first.began.wait()
    rows = await ledger.database.rows("select name, output from step order by number")
    assert [tuple(row) for row in rows] == [("stock", "5"), ("is it enough", "true")]


async def test_a_worker_that_stops_lets_its_flows_reach_their_record(ledger: Ledger) -> None:
    first, second = Supplier(), Supplier()
    second.answers.clear()
    install(ledger, reordering(first, second))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await second.began.wait()
    stopping = asyncio.create_task(ledger.worker.stop())
    await ledger.messages.receive(used("2"))
    second.answers.set()
    await stopping
    assert await count(ledger, "flow", "key = '1' and status = 'done'") == 1
    assert await count(ledger, "flow", "key = '2' and epoch = 0") == 1


def shipping(supplier: Supplier):
    async def run(story, need):
        return await story.step("shipment", supplier.ship, need)

    return flow(run)


async def test_a_passing_failure_waits_and_tries_again_while_others_go_on(ledger: Ledger) -> None:
    supplier = Supplier()
    supplier.failures = [UpstreamUnavailable("no route", retry_after=0.9)]
    install(ledger, shipping(supplier))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()

    async def waits() -> bool:
        return await count(ledger, "flow", "attempts = 1 and status = 'ready'") == 1

    await eventually(waits)
    await ledger.messages.receive(used("2"))
    await ended(ledger)
    assert await count(ledger, "flow", "key = '2' and status = 'done'") == 1
    await ended(ledger, 2)
    own = [key for key in supplier.keys if supplier.shipped[key].endswith("for 1")]
    assert len(own) == 2
    assert len(set(own)) == 1
    retried = await ledger.database.row(
        "select outcome, why, extract(epoch from (f.ended_at - e.at))::float as waited"
        " from entry e join flow f on f.id = e.flow_id where e.kind = 'retry'"
    )
    assert retried is not None
    assert retried["outcome"] == "upstream-unavailable"
    assert "try 2 of «shipment» in 0.9 s" in retried["why"]
    assert retried["waited"] >= 0.9
    assert await ledger.tasks.listed() == []


@pytest.mark.parametrize(
    ("failure", "owner"),
    [
        (UnknownItem("no item 4711", fix="add the item"), "supply-chain"),
        (UpstreamRefused("422 from the ERP"), "it-operations"),
    ],
)
async def test_a_final_failure_is_a_task_of_the_team_that_can_help(
    ledger: Ledger, failure: Exception, owner: str
) -> None:
    async def run(story, need):
        raise failure

    install(ledger, flow(run))
    accepted = await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger)
    assert (task.reason, task.owner, task.affected) == (failure.slug, owner, "Need 1")
    assert failure.detail in task.detail
    assert task.fix == failure.fix or "retry" in task.fix
    assert task.transaction == accepted.transactions[0]
    assert task.actions == ("retry", "correct", "abandon")
    trace = await ledger.traces.trace(task.transaction or "")
    assert (trace.status, trace.flows[0].status) == ("attention", "stuck")
    assert trace.hops[-1].outcome == failure.slug


async def test_a_stray_exception_is_a_task_that_does_not_quote_it(ledger: Ledger) -> None:
    async def run(story, need):
        raise KeyError("ZZ-TESTER^INVENTED")

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger)
    assert (task.reason, task.owner) == (InternalFault.slug, "it-operations")
    assert "KeyError in supply" in task.detail
    assert "TESTER" not in str(task)


async def test_a_flow_written_by_an_older_version_is_a_task_and_not_forgotten(
    ledger: Ledger,
) -> None:
    async def run(story, need):
        return None

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    await ledger.database.run("""update flow set facts = '{"amount": 3}'""")
    await ledger.messages.receive(used("2"))
    ledger.worker.start()
    assert (await raised(ledger)).reason == InternalFault.slug
    await ended(ledger)


async def told_with_nul(story, need):
    return Shipped(document="a\0b")


async def failed_with_nul(story, need):
    raise UpstreamRefused("the ERP says a\0b")


@pytest.mark.parametrize("run", [told_with_nul, failed_with_nul])
async def test_what_postgresql_cannot_keep_makes_a_task_and_not_an_endless_loop(
    ledger: Ledger, run
) -> None:
    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger)
    assert task.reason in ("internal-fault", "upstream-refused")
    assert await count(ledger, "flow", "status = 'stuck'") == 1


async def test_a_flow_waits_for_a_worker_that_has_its_version(
    ledger: Ledger, opened: Opened
) -> None:
    async def run(story, need):
        return None

    newer = await opened()
    install(ledger, flow(run))
    install(newer, flow(run, version="2"))
    await ledger.messages.receive(used("1"))
    newer.worker.start()
    await newer.messages.receive(used("2"))
    await ended(newer)
    assert await count(ledger, "flow", "version = '1' and epoch = 0") == 1
    ledger.worker.start()
    await ended(ledger, 2)


async def test_retry_reads_again_what_came_after_the_last_effect_and_nothing_before(
    ledger: Ledger,
) -> None:
    before, after = Supplier(), Supplier()

    async def run(story, need):
        await story.ask("stock before", before.stock, need.number)
        shipped = await story.step("shipment", before.ship, need)
        if not await story.decide(
            "is it enough", is_enough, await story.ask("stock after", after.stock, need.number)
        ):
            raise UnknownItem("nothing there")
        return shipped

    install(ledger, flow(run))
    after.on_hand = 0
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger)
    after.on_hand = 3
    await ledger.tasks.resolve(task.id, retry())
    await ended(ledger)
    assert (before.asked, len(before.keys), after.asked) == (1, 1, 2)
    assert "task resolved: retry" in await hops(ledger, "1")


async def test_retry_of_what_still_fails_is_a_new_task(ledger: Ledger) -> None:
    supplier = Supplier()
    supplier.failures = [UpstreamRefused("no"), UpstreamRefused("no")]
    install(ledger, shipping(supplier))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    first = await raised(ledger)
    await ledger.tasks.resolve(first.id, retry())
    second = await raised(ledger)
    assert second.id != first.id
    await ledger.tasks.resolve(second.id, retry())
    await ended(ledger)


async def test_a_worker_that_dies_of_a_flow_again_and_again_leaves_it_to_a_person(
    ledger: Ledger, opened: Opened
) -> None:
    supplier = Supplier()
    install(ledger, shipping(supplier))
    await ledger.messages.receive(used("1"))
    await ledger.database.run(
        "update flow set crashes = 7, owner = 'worker_dead', epoch = 7,"
        " run_at = now() - interval '1 s'"
    )
    ledger.worker.start()
    task = await raised(ledger)
    assert supplier.keys == []
    assert "ended in the middle of it" in task.detail
    await ledger.tasks.resolve(task.id, retry())
    await ended(ledger)
