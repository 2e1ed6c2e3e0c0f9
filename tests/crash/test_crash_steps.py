"""A worker dies around a step: bodies may begin twice, what they do outside happens once."""

import signal

import pytest

from bench.torture.arena import Arena
from ledger.ledger import Ledger
from tests.crash.acts import Play, work
from tests.crash.conftest import Start
from tests.crash.seen import (
    PATIENCE,
    bodies,
    calls,
    done,
    effects,
    needed,
    rows,
    tell,
    untell,
)
from tests.ledger.outside import count, eventually


@pytest.mark.parametrize(
    ("moment", "begun", "called"),
    [
        ("before the effect", 2, {1}),
        ("inside the effect", 2, {1, 2}),
        ("after the effect", 2, {2}),
        ("after the record", 1, {1}),
    ],
)
async def test_a_step_is_done_once_whenever_its_worker_dies(
    arena: Arena, ledger: Ledger, start: Start, moment: str, begun: int, called: set[int]
) -> None:
    tell(arena, moment)
    await ledger.messages.receive(needed("1"))
    worker = start(work, "a")
    assert await worker.ended(PATIENCE) == -signal.SIGKILL
    worker.start()
    await done(ledger, 1)
    assert bodies(arena) == {"1": begun}
    assert len(calls(arena, "ship")) in called
    assert len(set(calls(arena, "ship"))) == 1
    assert effects(arena, "reserve") == effects(arena, "ship") == {"1": 1}
    assert await count(ledger, "step") == 2
    assert await count(ledger, "entry", "kind = 'effect'") == 2
    assert (await ledger.audit.verify())[1] == []


async def test_a_peer_goes_on_with_what_a_killed_worker_held(
    arena: Arena, ledger: Ledger, start: Start, record_property
) -> None:
    tell(arena, "hold a")
    await ledger.messages.receive(needed("1"))
    owner = start(work, "a")
    await eventually(lambda: _called(arena, "ship", 1), PATIENCE)
    peer = start(work, "b")
    await peer.ready()
    [was] = await ledger.database.rows("select owner, epoch from flow")
    await owner.kill()
    await ledger.database.run("create table died as select now() as at")
    await done(ledger, 1)
    [flow] = await ledger.database.rows(
        "select epoch, result, extract(epoch from ended_at - died.at)::float as seconds"
        " from flow, died"
    )
    record_property("takeover_seconds", flow["seconds"])
    assert flow["epoch"] == was["epoch"] + 1
    assert calls(arena, "ship") == calls(arena, "ship")[:1] * 2
    assert effects(arena, "ship") == {"1": 1}
    assert await count(ledger, "step") == 2
    assert await count(ledger, "entry", "kind = 'end'") == 1


async def test_all_that_a_busy_worker_held_is_taken_over_at_once(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    tell(arena, "hold a")
    tell(arena, "hold b")
    for n in range(40):
        await ledger.messages.receive(needed(str(n)))
    owner = start(work, "a")
    await eventually(lambda: _called(arena, "ship", 40), PATIENCE)
    await owner.kill()
    start(work, "b")
    await eventually(lambda: _called(arena, "ship", 80), PATIENCE)  # nobody waits for another one
    untell(arena, "hold b")
    await done(ledger, 40)
    assert effects(arena, "ship") == {str(n): 1 for n in range(40)}


async def _called(arena: Arena, kind: str, many: int) -> bool:
    return len(calls(arena, kind)) >= many


async def test_a_worker_that_was_paused_beyond_its_lease_writes_nothing_when_it_wakes(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    tell(arena, "hold a")
    await ledger.messages.receive(needed("1"))
    paused = start(work, "a")
    await eventually(lambda: _called(arena, "ship", 1), PATIENCE)
    paused.signal(signal.SIGSTOP)
    heir = start(work, "b")
    await done(ledger, 1)
    before = await _everything(ledger)
    await heir.kill()
    untell(arena, "hold a")
    paused.signal(signal.SIGCONT)
    await ledger.messages.receive(needed("2"))  # it is well, and works on
    await done(ledger, 2)
    assert await _everything(ledger) == before
    assert effects(arena, "ship") == {"1": 1, "2": 1}
    assert (await ledger.audit.verify())[1] == []


async def _everything(ledger: Ledger) -> list[object]:
    """All that is recorded about the first flow."""
    of = "where flow_id = (select id from flow where key = '1')"
    told = [
        await ledger.database.rows("select owner, epoch, status, result from flow where key = '1'"),
        await ledger.database.rows(f"select name, number, at from step {of} order by number"),
        await ledger.database.rows(f"select seq, hop from entry {of} order by seq"),
    ]
    return [tuple(row) for some in told for row in some]


async def test_two_workers_of_one_name_do_each_thing_once_and_outlive_each_other(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    play = Play(identity="worker_same")
    one, other = start(work, "a", play), start(work, "b", play)
    for child in (one, other):
        await child.ready()
    for n in range(20):
        await ledger.messages.receive(needed(str(n)))
    await one.kill()
    for n in range(20, 30):
        await ledger.messages.receive(needed(str(n)))
    await done(ledger, 30)
    assert set(effects(arena, "ship").values()) == {1}
    assert await count(ledger, "step") == 60
    assert other.is_alive


async def test_a_worker_that_comes_back_under_a_new_name_goes_on_with_its_old_flows(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    tell(arena, "hold a")
    await ledger.messages.receive(needed("1"))
    worker = start(work, "a")
    await eventually(lambda: _called(arena, "ship", 1), PATIENCE)
    [before] = await ledger.database.rows("select owner from flow")
    await worker.kill()
    worker.start()
    await rows(ledger, "flow", "owner <> $1", before["owner"], many=1)
    untell(arena, "hold a")
    await done(ledger, 1)
    assert effects(arena, "ship") == {"1": 1}
