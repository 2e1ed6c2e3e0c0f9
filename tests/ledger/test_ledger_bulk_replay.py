"""Many flows are replayed in their original order, so many at a time, and whoever drives
may die.
"""

import asyncio
from typing import Any

import msgspec
import pytest

from canonical.errors import Failure, NotFound, StateConflict
from ledger.bulk_replay import ReplayJob, Selection
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Need,
    Shipped,
    Supplier,
    count,
    ended,
    fact,
    flow,
    install,
    used,
)

KEYS = ("a", "b", "c")


def supply(house: Supplier, order: list[str]) -> Any:
    async def run(story: Any, need: Need) -> Shipped:
        on_hand = await story.ask("stock", house.stock, need.number)
        order.append(need.number)
        assert on_hand
        return await story.step("ship", house.ship, need)

    return flow(run)


async def many(ledger: Ledger, house: Supplier, order: list[str], each: int = 4) -> None:
    """Let `each` flows of three keys run."""
    install(ledger, supply(house, order))
    ledger.worker.start()
    for number in range(each):
        for key in KEYS:
            name = f"{key}{number}"
            start = fact("item-used", key, Need(number=name))
            await ledger.messages.receive(used(name, announcements=(start,)))
    await ended(ledger, each * len(KEYS))


def quiet(_: ReplayJob) -> None:
    """Say nothing."""


async def test_flows_of_one_key_are_replayed_in_the_order_in_which_they_came(
    ledger: Ledger,
) -> None:
    house, order = Supplier(), list[str]()
    await many(ledger, house, order)
    order.clear()
    job = await ledger.bulk_replays.open(
        Selection(mapping="current"), by="pat", reason="a rule was wrong"
    )
    seen = list[int]()
    done = await ledger.bulk_replays.drive(
        job.id, in_flight=3, progress=lambda standing: seen.append(standing.running)
    )
    assert (done.state, done.begun, done.done, done.refused) == ("done", 12, 12, 0)
    for key in KEYS:
        assert [name for name in order if name[0] == key] == [f"{key}{n}" for n in range(4)]
    assert max(seen) <= 3
    assert len(house.keys) == 12
    assert await count(ledger, "flow", "replay_of is not null") == 12


async def test_a_bulk_replay_goes_on_where_its_driver_died(ledger: Ledger, opened: Opened) -> None:
    house, order = Supplier(), list[str]()
    await many(ledger, house, order)
    job = await ledger.bulk_replays.open(Selection(), by="pat", reason="to be sure")

    def dies(standing: ReplayJob) -> None:
        if standing.begun >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await ledger.bulk_replays.drive(job.id, in_flight=1, progress=dies)
    assert (await ledger.bulk_replays.job(job.id)).state == "open"
    heir = await opened()
    install(heir, supply(house, order))
    done = await heir.bulk_replays.drive(job.id, in_flight=20, progress=quiet)
    assert (done.begun, done.state) == (12, "done")
    assert await count(ledger, "flow", "replay_of is not null") == 12
    assert len(house.keys) == 12


async def test_of_two_drivers_one_stops_and_no_flow_is_replayed_twice(
    ledger: Ledger, opened: Opened
) -> None:
    house, order = Supplier(), list[str]()
    await many(ledger, house, order)
    other = await opened()
    install(other, supply(house, order))
    job = await ledger.bulk_replays.open(Selection(), by="pat", reason="to be sure")
    outcomes = await asyncio.gather(
        ledger.bulk_replays.drive(job.id, in_flight=9, progress=quiet),
        other.bulk_replays.drive(job.id, in_flight=9, progress=quiet),
        return_exceptions=True,
    )
    assert any(isinstance(outcome, ReplayJob) for outcome in outcomes)
    assert all(isinstance(outcome, ReplayJob | StateConflict) for outcome in outcomes)
    assert await count(ledger, "flow", "replay_of is not null") == 12


async def test_a_selection_names_a_flow_a_key_a_time_and_how_many(ledger: Ledger) -> None:
    house, order = Supplier(), list[str]()
    await many(ledger, house, order)
    chosen = ledger.bulk_replays.chosen
    assert await chosen(Selection()) == 12
    assert await chosen(Selection(limit=5)) == 5
    assert await chosen(Selection(query="a")) == 4
    assert await chosen(Selection(query="MSG-*3")) == 3
    assert await chosen(Selection(query="100%")) == 0
    assert await chosen(Selection(flow_name="supply")) == 12
    assert await chosen(Selection(flow_name="receiving")) == 0
    assert await chosen(Selection(status="abandoned")) == 0
    row = await ledger.database.row("select min(started_at) a, max(started_at) b from flow")
    assert row is not None
    assert await chosen(Selection(since=row["b"])) == 1
    assert await chosen(Selection(until=row["b"])) == 11
    with pytest.raises(NotFound, match="no finished flow"):
        await ledger.bulk_replays.open(Selection(query="nobody"), by="pat", reason="why")


async def test_what_is_refused_is_counted_and_the_rest_goes_on(ledger: Ledger) -> None:
    house, order = Supplier(), list[str]()
    await many(ledger, house, order, 2)
    await ledger.messages.receive(used("x"))
    await ended(ledger, 7)
    job = await ledger.bulk_replays.open(Selection(from_step="ship"), by="pat", reason="why")
    gone = await ledger.database.row("select id from flow where key = 'x'")
    assert gone is not None
    await ledger.database.run("delete from step where flow_id = $1", gone["id"])
    done = await ledger.bulk_replays.drive(job.id, in_flight=9, progress=quiet)
    assert (done.begun, done.refused, done.state) == (6, 1, "done")


async def test_a_bulk_preview_judges_every_flow_and_writes_nothing(ledger: Ledger) -> None:
    house, order = Supplier(), list[str]()
    await many(ledger, house, order)
    before = await count(ledger, "entry"), await count(ledger, "flow"), await count(ledger, "audit")
    seen = [each async for each in ledger.bulk_replays.previews(Selection(limit=7))]
    assert len(seen) == 7
    assert not any(isinstance(each, Failure) or each.changes for each in seen)
    after = await count(ledger, "entry"), await count(ledger, "flow"), await count(ledger, "audit")
    assert after == before


async def test_one_that_was_replayed_before_keeps_its_place_in_the_order(ledger: Ledger) -> None:
    house, order = Supplier(), list[str]()
    await many(ledger, house, order, 2)
    first = Selection(query="a", limit=1)
    job = await ledger.bulk_replays.open(first, by="pat", reason="the first alone")
    await ledger.bulk_replays.drive(job.id, in_flight=1, progress=quiet)
    order.clear()
    job = await ledger.bulk_replays.open(
        msgspec.structs.replace(first, limit=0), by="pat", reason="both"
    )
    await ledger.bulk_replays.drive(job.id, in_flight=5, progress=quiet)
    assert order == ["a0", "a1"]
