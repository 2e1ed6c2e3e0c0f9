"""A worker dies while something sleeps, or its clock lies: what is due is due by the database."""

import pytest

from bench.torture.arena import Arena
from ledger.ledger import Ledger
from tests.crash.acts import Play, work
from tests.crash.conftest import Start
from tests.crash.seen import bodies, done, effects, needed, rows, tell, untell
from tests.ledger.outside import count

_A_DAY = 86400.0


async def test_what_was_to_be_tried_again_is_tried_after_the_worker_died(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    tell(arena, "fail")
    worker = start(work, "a")
    await ledger.messages.receive(needed("1", "nothing-used"))
    await rows(ledger, "entry", "kind = 'retry'", many=1)
    await worker.kill()
    untell(arena, "fail")
    worker.start()
    await done(ledger, 1)
    assert bodies(arena) == {"1": 2}
    assert effects(arena, "book") == {"1": 1}
    [told] = await ledger.database.rows(
        "select extract(epoch from flow.ended_at - entry.at)::float as waited"
        " from flow join entry on entry.flow_id = flow.id and entry.kind = 'retry'"
    )
    assert told["waited"] >= 1.0  # not before its time, although the worker is a new one


@pytest.mark.parametrize("ahead", [_A_DAY, -_A_DAY], ids=["a day ahead", "a day behind"])
async def test_a_worker_whose_clock_is_wrong_steals_no_lease_and_keeps_its_own(
    arena: Arena, ledger: Ledger, start: Start, ahead: float
) -> None:
    for name in ("right", "wrong"):
        tell(arena, f"hold {name}")
    start(work, "right")
    start(work, "wrong", Play(clock_ahead=ahead))
    for n in range(6):
        await ledger.messages.receive(needed(str(n)))
    await rows(ledger, "step", "name = 'first'", many=6)
    for _ in range(8):  # four leases and more
        await ledger.database.row("select pg_sleep($1)", arena.lease / 2)
    assert await count(ledger, "flow", "epoch = 1") == 6
    for name in ("right", "wrong"):
        untell(arena, f"hold {name}")
    await done(ledger, 6)
    assert set(bodies(arena).values()) == set(effects(arena, "ship").values()) == {1}


@pytest.mark.parametrize("ahead", [_A_DAY, -_A_DAY], ids=["a day ahead", "a day behind"])
async def test_a_worker_whose_clock_is_wrong_tries_again_in_time(
    arena: Arena, ledger: Ledger, start: Start, ahead: float
) -> None:
    tell(arena, "fail")
    start(work, "a", Play(clock_ahead=ahead))
    await ledger.messages.receive(needed("1", "nothing-used"))
    await rows(ledger, "entry", "kind = 'retry'", many=1)
    untell(arena, "fail")
    await done(ledger, 1)
    [told] = await ledger.database.rows(
        "select extract(epoch from ended_at - started_at)::float as took from flow"
    )
    assert told["took"] >= 1.0


async def test_a_worker_whose_clock_is_behind_gives_others_their_time(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    start(work, "a", Play(clock_ahead=-_A_DAY, within=3600))
    await ledger.messages.receive(needed("1", "requisition-raised"))
    await rows(ledger, "flow", "status = 'waiting'", many=1)
    due = "due_at between now() + interval '59 minutes' and now() + interval '61 minutes'"
    assert await count(ledger, "awaited", due) == 1
