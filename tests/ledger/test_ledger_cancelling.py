"""A cancelled flow goes no further, and what it did is taken back in reverse order, once."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from canonical.errors import Declined, NotFound, UnknownItem, UpstreamUnavailable
from canonical.task import Resolution
from ledger.cancelling import Cancellation
from ledger.ledger import Ledger
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
    eventually,
    fact,
    flow,
    hops,
    install,
    raised,
    retry,
    take_over,
    used,
)

WHY = Cancellation(by="pat", reason="the case is off")
COMPENSATE = Resolution(action="compensate", by="pat", reason="the order is not wanted")


class Returning(Supplier):
    """A supplier that takes back; it remembers in which order, and what it was told."""

    def __init__(self, returns: list[str] | None = None, system: str = "supplier") -> None:
        super().__init__()
        self.system = system
        self.returns = [] if returns is None else returns
        self.told: list[Shipped | None] = []
        self.refusals: list[Any] = []

    async def take_back(self, need: Need, done: Shipped | None, /, *, key: str) -> bool:
        if self.refusals:
            raise self.refusals.pop(0)
        self.told.append(done)
        known = self.shipped.pop(key, None)
        if known is not None:
            self.returns.append(self.system)
        return known is not None


def two_steps(first: Returning, second: Returning, then: Any = None) -> Any:
    async def run(story: Any, need: Need) -> Shipped:
        await story.step("first", first.ship, need, compensate=first.take_back)
        shipped: Shipped = await story.step(
            "second", second.ship, need, compensate=second.take_back
        )
        if then is not None:
            await then(story, need)
        return shipped

    return flow(run)


async def fails(story: Any, need: Need) -> None:
    await story.decide("is it known", unknown, need.number)


def unknown(number: str) -> bool:
    raise UnknownItem(f"no item {number}")


async def waits(story: Any, need: Need) -> None:
    await story.wait(
        "answer", Answer, event="order-acknowledged", key=need.number, within=timedelta(days=1)
    )


async def flow_id(ledger: Ledger, name: str = "supply") -> str:
    row = await ledger.database.row("select id from flow where name = $1", name)
    assert row is not None
    return str(row["id"])


def pair() -> tuple[Returning, Returning, list[str]]:
    order: list[str] = []
    return Returning(order, "first"), Returning(order, "second"), order


async def test_a_person_may_have_undone_what_a_stuck_flow_did(ledger: Ledger) -> None:
    first, second, order = pair()
    install(ledger, two_steps(first, second, fails))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger)
    assert task.actions == ("retry", "compensate", "abandon")
    await ledger.tasks.resolve(task.id, COMPENSATE)
    await ended(ledger, status="cancelled")
    assert order == ["second", "first"]
    assert first.shipped == second.shipped == {}
    told = await hops(ledger, "1")
    assert told[-4:] == ["cancel supply", "undo: second", "undo: first", "supply cancelled"]
    assert (await ledger.traces.trace(await ledger.traces.find("1"))).status == "done"
    assert await ledger.tasks.listed() == []


async def test_an_effect_of_which_nobody_knows_is_looked_up_and_taken_back(
    ledger: Ledger, opened: Opened
) -> None:
    first, second, order = pair()
    heir = await opened()
    second.answers.clear()
    for one in (ledger, heir):
        install(one, two_steps(first, second))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await second.began.wait()  # it has shipped, and nobody has written it down
    await ledger.worker.stop(grace=0)
    await ledger.cancel(await flow_id(ledger), WHY)
    heir.worker.start()
    await take_over(ledger, heir)
    await ended(heir, status="cancelled")
    assert second.told == [None]
    assert order == ["second", "first"]


async def test_a_running_flow_stops_at_its_next_record(ledger: Ledger) -> None:
    first, second, order = pair()
    first.answers.clear()
    install(ledger, two_steps(first, second))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await first.began.wait()
    await ledger.cancel(await flow_id(ledger), WHY)
    first.answers.set()
    await ended(ledger, status="cancelled")
    assert second.keys == []
    assert order == ["first"]


@pytest.mark.parametrize("then", [waits, None], ids=["waiting", "done"])
async def test_a_flow_that_sleeps_or_has_ended_is_woken_to_be_undone(
    ledger: Ledger, then: Any
) -> None:
    first, second, order = pair()
    install(ledger, two_steps(first, second, then))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status="waiting" if then else "done")
    own = await flow_id(ledger)
    await asyncio.gather(*(ledger.cancel(own, WHY) for _ in range(3)))
    await ended(ledger, status="cancelled")
    await ledger.cancel(own, WHY)  # and once more, when it is over
    assert order == ["second", "first"]
    assert await count(ledger, "awaited") == 0
    await ledger.messages.receive(answered("1"))  # comes too late, and finds nobody
    assert await count(ledger, "flow", "status = 'cancelled'") == 1


async def test_a_flow_that_nobody_has_begun_is_cancelled_without_a_trace_outside(
    ledger: Ledger,
) -> None:
    first, second, order = pair()
    install(ledger, two_steps(first, second))
    await ledger.messages.receive(used("1"))
    await ledger.cancel(await flow_id(ledger), WHY)
    ledger.worker.start()
    await ended(ledger, status="cancelled")
    assert (first.keys, second.keys, order) == ([], [], [])
    assert first.told == [None]  # it asked, for a try might have been made


async def test_an_undoing_that_fails_is_tried_again_and_then_a_persons_task(
    ledger: Ledger,
) -> None:
    first, second, order = pair()
    first.refusals = [UpstreamUnavailable("no route"), Declined("it is on its way")]
    install(ledger, two_steps(first, second))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger)
    await ledger.cancel(await flow_id(ledger), WHY)
    task = await raised(ledger)
    assert "undoing" in task.title
    assert task.actions == ("retry", "abandon")
    assert order == ["second"]
    await ledger.tasks.resolve(task.id, retry())
    await ended(ledger, status="cancelled")
    assert order == ["second", "first"]


def chained(parent: Returning, child: Returning) -> tuple[Any, Any]:
    async def order(story: Any, need: Need) -> None:
        await story.step("reserve", parent.ship, need, compensate=parent.take_back)
        await story.announce("order-placed", need, key=need.number, undo=True)

    async def send(story: Any, need: Need) -> None:
        await story.step("send", child.ship, need, compensate=child.take_back)

    return flow(order, name="ordering"), flow(send, name="sending")


async def test_the_flow_that_an_announcement_began_is_undone_first(ledger: Ledger) -> None:
    parent, child, order = pair()
    install(ledger, *chained(parent, child), order_placed="sending")
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, 2)
    await ledger.cancel(await flow_id(ledger, "ordering"), WHY)
    await ended(ledger, 2, status="cancelled")
    assert order == ["second", "first"]


async def test_what_a_person_leaves_standing_below_stands_above(ledger: Ledger) -> None:
    parent, child, order = pair()
    child.refusals = [Declined("it is on its way")]
    install(ledger, *chained(parent, child), order_placed="sending")
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, 2)
    await ledger.cancel(await flow_id(ledger, "ordering"), WHY)
    await ledger.tasks.resolve((await raised(ledger)).id, abandon())

    async def asks_again() -> bool:
        tasks = await ledger.tasks.listed()
        return [task.title for task in tasks] == ["Declined: undoing ordering"]

    await eventually(asks_again)
    assert order == []


async def test_a_flow_behind_a_cancelled_one_takes_its_turn(ledger: Ledger) -> None:
    first, second, order = pair()
    install(ledger, two_steps(first, second, waits))
    one, two = used("1"), used("2", announcements=(fact("item-used", "1"),))
    await ledger.messages.receive(one)
    await ledger.messages.receive(two)
    ledger.worker.start()
    await ended(ledger, status="waiting")
    assert await count(ledger, "flow", "status = 'queued'") == 1
    row = await ledger.database.row("select id from flow where status = 'waiting'")
    assert row is not None
    await ledger.cancel(row["id"], WHY)
    await ended(ledger, status="cancelled")
    await ended(ledger, status="waiting")
    assert len(first.shipped) == 1
    assert order == ["second", "first"]


async def test_nobody_cancels_what_is_not_there(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        await ledger.cancel("flow_nowhere", WHY)


async def test_wrong_facts_are_corrected_before_anything_has_been_done(ledger: Ledger) -> None:
    supplier = Supplier()

    async def run(story: Any, need: Need) -> Shipped:
        await story.decide("is it known", known, need.number)
        shipped: Shipped = await story.step("shipment", supplier.ship, need)
        return shipped

    install(ledger, flow(run))
    await ledger.messages.receive(used("wrong"))
    ledger.worker.start()
    task = await raised(ledger)
    assert task.actions == ("retry", "correct", "abandon")
    right = {"number": msgspec.Raw(b'"7"')}
    fix = Resolution(action="correct", by="pat", reason="a typing error", correction=right)
    await ledger.tasks.resolve(task.id, fix)
    await ended(ledger)
    assert list(supplier.shipped.values()) == ["S1 for 7"]


def known(number: str) -> bool:
    if number == "wrong":
        raise UnknownItem(f"no item {number}")
    return True


async def test_who_queues_to_be_undone_does_not_run_beside_who_runs(ledger: Ledger) -> None:
    first, second, _ = pair()
    install(ledger, two_steps(first, second))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger)
    done = await flow_id(ledger)
    same = (fact("item-used", "1"),)
    second.failures = [Declined("no")]
    await ledger.messages.receive(used("2", announcements=same))
    await ended(ledger, status="stuck")
    await ledger.cancel(done, WHY)  # it comes after the one that is stuck
    await ledger.messages.receive(used("3", announcements=same * 2))
    assert await count(ledger, "flow", "status = 'queued'") == 3
    assert await count(ledger, "flow", "status = 'stuck'") == 1


async def test_what_fails_while_it_is_being_cancelled_asks_nobody(ledger: Ledger) -> None:
    first, _, _ = pair()
    first.answers.clear()

    async def asks(story: Any, need: Need) -> None:
        await story.ask("stock", slow, need)

    async def slow(need: Need) -> int:
        first.began.set()
        await first.answers.wait()
        raise UnknownItem(f"no item {need.number}")

    install(ledger, flow(asks))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await first.began.wait()
    await ledger.cancel(await flow_id(ledger), WHY)
    first.answers.set()
    await ended(ledger, status="cancelled")
    assert await ledger.tasks.listed() == []


async def test_cancelling_again_goes_on_and_withdraws_the_question(ledger: Ledger) -> None:
    first, second, order = pair()
    first.refusals = [Declined("it is on its way")]
    install(ledger, two_steps(first, second))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger)
    own = await flow_id(ledger)
    await ledger.cancel(own, WHY)
    await raised(ledger)
    await ledger.cancel(own, WHY)
    await ended(ledger, status="cancelled")
    assert await ledger.tasks.listed() == []
    assert order == ["second", "first"]
