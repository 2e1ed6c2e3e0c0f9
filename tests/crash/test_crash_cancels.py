"""A flow is cancelled while it runs, waits, ends, or while nobody lives: it is undone, once."""

import asyncio
import signal
from functools import partial

import pytest

from bench.torture.arena import Arena
from bench.torture.documents import delivered, noticed
from bench.torture.flows import STARTS, flows
from bench.torture.nursery import Child
from bench.torture.outside import reached
from bench.torture.outside_server import account
from bench.torture.worker import work
from ledger.cancelling import Cancellation
from ledger.ledger import Ledger
from tests.crash import acts
from tests.crash.conftest import Start
from tests.crash.seen import PATIENCE, bodies, effects, rows, tell, untell
from tests.ledger.outside import count, eventually

WHY = Cancellation(by="pat", reason="not wanted any more")


@pytest.fixture
async def door(arena: Arena, ledger: Ledger) -> Ledger:
    """A ledger at which deliveries arrive."""
    async with reached(arena.outside, "door") as outside:
        ledger.catalogue.install(flows(outside), STARTS)
    return ledger


async def delivery(ledger: Ledger, number: str) -> str:
    await ledger.messages.receive(delivered(number))
    [row] = await ledger.database.rows(
        "select id from flow where name = 'delivery' and key = $1", number
    )
    return str(row["id"])


def taken_back(arena: Arena) -> list[tuple[str, str]]:
    """What the outside took back, in order; a second request for the same is none."""
    return [
        (deed.order.kind, deed.order.number)
        for deed in account(arena.folder)
        if deed.order.undo and not deed.repeated and deed.document
    ]


async def cancelled(ledger: Ledger, many: int) -> None:
    await rows(ledger, "flow", "status = 'cancelled'", many=many)


async def test_a_flow_that_waits_is_cancelled_and_what_it_told_others_too(
    arena: Arena, door: Ledger, start: Start
) -> None:
    start(work, "a")
    flow = await delivery(door, "1")
    await rows(door, "flow", "status = 'waiting'", many=1)
    await rows(door, "flow", "status = 'done'", many=1)
    await door.cancel(flow, WHY)
    await cancelled(door, 2)
    assert taken_back(arena) == [("account", "1"), ("deliver", "1")]
    assert await count(door, "awaited") == 0


async def test_a_flow_that_is_cancelled_while_no_worker_lives_is_undone_by_the_next(
    arena: Arena, door: Ledger, start: Start
) -> None:
    worker = start(work, "a")
    flow = await delivery(door, "1")
    await rows(door, "flow", "status = 'waiting'", many=1)
    await worker.kill()
    await door.cancel(flow, WHY)
    await door.cancel(flow, WHY)  # said twice, undone once
    await door.messages.receive(noticed("1"))  # and what it waited for comes too late
    worker.start()
    await cancelled(door, 2)
    assert taken_back(arena) == [("account", "1"), ("deliver", "1")]


async def test_cancelling_and_ending_at_once_leave_all_or_nothing(
    arena: Arena, door: Ledger, start: Start
) -> None:
    children = [start(work, name) for name in ("a", "b")]
    numbers = [str(n) for n in range(16)]
    found = [await delivery(door, number) for number in numbers]

    async def end(place: int) -> None:
        await asyncio.sleep(0.03 * place)
        await asyncio.gather(
            door.messages.receive(noticed(numbers[place])), door.cancel(found[place], WHY)
        )

    await asyncio.gather(*(end(place) for place in range(len(numbers))), _kill_one(children))
    await rows(door, "flow", "status not in ('done', 'cancelled')", many=0)
    await rows(door, "flow", "name = 'delivery' and status = 'cancelled'", many=len(numbers))
    back = taken_back(arena)
    assert len(back) == len(set(back))
    assert {number for kind, number in back if kind == "deliver"} == set(effects(arena, "deliver"))
    assert {number for kind, number in back if kind == "account"} == set(effects(arena, "account"))
    assert (await door.audit.verify())[1] == []


@pytest.mark.xfail(reason="who sleeps inside a call, longer than one may last, still sends it")
async def test_what_a_paused_worker_sends_after_it_was_undone_does_not_remain(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    tell(arena, "hold a")
    sleeper = start(acts.work, "a")
    await ledger.messages.receive(delivered("1"))
    await eventually(partial(_began, arena), PATIENCE)
    sleeper.signal(signal.SIGSTOP)
    start(acts.work, "b")
    [flow] = await ledger.database.rows("select id from flow")
    await ledger.cancel(flow["id"], WHY)
    await cancelled(ledger, 1)
    untell(arena, "hold a")
    sleeper.signal(signal.SIGCONT)
    tell(arena, "hold b")
    await ledger.messages.receive(delivered("2"))
    await eventually(partial(_began, arena, "2"), PATIENCE)  # it is awake, or its peer is
    await asyncio.sleep(2 * arena.lease)
    assert effects(arena, "deliver")["1"] == len(taken_back(arena))


async def _began(arena: Arena, number: str = "1") -> bool:
    return bodies(arena)[number] > 0


async def _kill_one(children: list[Child]) -> None:
    await asyncio.sleep(0.2)
    children[0].signal(signal.SIGKILL)
