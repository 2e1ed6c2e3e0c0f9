"""What a flow knows of the others in its story, what it gives back, how its tries are counted."""

from typing import Any

import msgspec

from canonical.errors import UpstreamUnavailable
from canonical.order import ChangeAnswer
from canonical.request import Reference
from canonical.task import Resolution
from ledger.cancelling import Cancellation
from ledger.catalogue import Retry
from ledger.ledger import Ledger
from tests.ledger.outside import (
    Need,
    Shipped,
    Supplier,
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

WHY = Cancellation(by="pat", reason="not wanted")
SOON = Retry(first=0.01, longest=0.02)


class Found(msgspec.Struct, frozen=True):
    documents: tuple[str, ...]


def receipt(number: str, nth: int, event: Any = "item-used") -> Any:
    """A further document of the story of `number`."""
    joins = {"joins": (Reference("order", number),)}
    body = f"{event} {number} {nth}"
    return used(
        body,
        body=body.encode(),
        announcements=(fact(event, f"{number}/{nth}", Need(number=number), **joins),),
    )


async def test_a_flow_waits_for_what_began_before_it_and_sees_what_it_came_to(
    ledger: Ledger,
) -> None:
    supplier = Supplier()
    supplier.answers.clear()

    async def ships(story: Any, need: Need) -> Shipped:
        return await story.step("ship", supplier.ship, need)

    async def looks(story: Any, need: Need) -> Found:
        del need
        found = await story.outcomes_of("shipped before", "supply", Shipped)
        return Found(tuple(one.document for one in found))

    install(ledger, flow(ships), flow(looks, "look", retry=SOON), usage_reversed="look")
    await ledger.messages.receive(used("1"))
    await ledger.messages.receive(receipt("1", 2))
    await ledger.messages.receive(receipt("1", 3, "usage-reversed"))
    ledger.worker.start()
    await eventually(lambda: told(ledger, "waiting to try again"))
    assert await count(ledger, "flow", "name = 'look' and status = 'done'") == 0
    supplier.answers.set()
    await ended(ledger, 3)
    row = await ledger.database.row("select result from flow where name = 'look'")
    assert row is not None
    assert len(msgspec.json.decode(str(row["result"]), type=Found).documents) == 2


async def told(ledger: Ledger, hop: str) -> bool:
    return hop in await hops(ledger, "1")


async def test_a_cancelled_flow_lets_go_of_what_it_had_claimed(ledger: Ledger) -> None:
    supplier, mine = Supplier(), list[bool]()

    async def run(story: Any, need: Need) -> Shipped:
        mine.append((await story.claim("serial", "S1")).mine)
        return await story.step("ship", supplier.ship, need)

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger)
    row = await ledger.database.row("select id from flow")
    assert row is not None
    await ledger.cancel(row["id"], WHY)
    await ended(ledger, status="cancelled")
    assert await count(ledger, "claim") == 0
    assert "undo: claim serial S1" in await hops(ledger, "1")
    await ledger.messages.receive(used("2"))
    await ended(ledger)
    assert mine[-1] is True


async def test_a_step_that_keeps_failing_becomes_a_task_whatever_is_said_before_it(
    ledger: Ledger,
) -> None:
    supplier = Supplier()
    supplier.failures = [UpstreamUnavailable("away") for _ in range(9)]

    async def run(story: Any, need: Need) -> Shipped:
        story.identify("order", "4500000001")
        return await story.step("ship", supplier.ship, need)

    install(ledger, flow(run, retry=Retry(attempts=3, first=0.01, longest=0.02)))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger)
    assert (task.reason, len(supplier.keys)) == ("upstream-unavailable", 3)
    supplier.failures.clear()
    await ledger.tasks.resolve(task.id, Resolution(action="retry", by="pat"))
    await ended(ledger)


async def test_what_was_heard_last_of_a_name_is_known(ledger: Ledger) -> None:
    async def run(story: Any, need: Need) -> None:
        del story, need

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    assert await ledger.messages.heard("order-change-answered", "1") is None
    for accepted in (False, True):
        said = ChangeAnswer(order="1", supplier="S", accepted=accepted)
        joins = {"joins": (Reference("order", "1"),), "must_join": True}
        news = fact("order-change-answered", "1", said, **joins)
        await ledger.messages.receive(answered("1", str(accepted), announcements=(news,)))
        heard = await ledger.messages.heard("order-change-answered", "1")
        assert heard is not None
        assert msgspec.json.decode(heard, type=ChangeAnswer).accepted is accepted
