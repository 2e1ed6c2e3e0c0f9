"""What kills its workers, cannot be kept, or is of another version harms nobody else."""

import asyncio
import pickle
from functools import partial

import asyncpg
import msgspec
import pytest

from bench.torture.arena import Arena
from bench.torture.documents import Link, linked
from bench.torture.walk import Supervisor
from canonical.task import Resolution
from ledger.ledger import Ledger
from tests.crash.acts import Play, install, work
from tests.crash.conftest import Start
from tests.crash.seen import (
    PATIENCE,
    answered,
    bodies,
    done,
    effects,
    needed,
    rows,
    tell,
    untell,
)
from tests.ledger.outside import count, eventually, raised


async def test_a_flow_that_kills_every_worker_becomes_a_task_and_then_work_goes_on(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    weary = msgspec.structs.replace(arena, crashes=3)
    child = start(_work_wearily, "a", weary)
    async with Supervisor(child):
        await ledger.messages.receive(needed("poison"))
        task = await raised(ledger)
        for n in range(10):
            await ledger.messages.receive(needed(str(n)))
        await done(ledger, 10)
    assert (task.kind, task.owner, task.reason) == ("stuck", "it-operations", "internal-fault")
    assert {"retry", "abandon"} <= set(task.actions)
    assert bodies(arena)["poison"] == 3
    assert effects(arena, "ship") == {str(n): 1 for n in range(10)}


async def test_a_flow_beside_one_that_kills_every_worker_is_not_taken_for_it(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    weary = msgspec.structs.replace(arena, crashes=3)
    for n in range(5):
        await ledger.messages.receive(needed(str(n)))
    await ledger.messages.receive(needed("poison"))
    for n in range(5, 10):
        await ledger.messages.receive(needed(str(n)))
    child = start(_work_wearily, "a", weary)
    async with Supervisor(child):
        await eventually(partial(_all_settled, ledger), PATIENCE)
    stuck = await ledger.database.rows("select key from flow where status = 'stuck'")
    assert [row["key"] for row in stuck] == ["poison"]
    assert effects(arena, "ship") == {str(n): 1 for n in range(10)}


async def _all_settled(ledger: Ledger) -> bool:
    return await count(ledger, "flow", "status in ('done', 'stuck')") == 11


def _work_wearily(_arena: Arena, name: str, weary: Arena) -> None:
    work(weary, name)


async def test_a_stuck_key_holds_up_nobody_and_goes_on_in_its_order(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    tell(arena, "refuse k1#2")
    workers = [start(work, name) for name in ("a", "b")]
    for sequence in range(1, 7):
        for key in ("k1", "k2", "k3"):
            await ledger.messages.receive(linked(Link(chain=key, sequence=sequence)))
    task = await raised(ledger)
    await workers[0].kill()
    await done(ledger, 1 + 6 + 6)
    workers[0].start()
    untell(arena, "refuse k1#2")
    await ledger.tasks.resolve(task.id, Resolution(action="retry", by="pat"))
    await done(ledger, 18)
    order = [place for place in effects(arena, "append") if place.startswith("k1")]
    assert order == [f"k1#{n}" for n in range(1, 7)]
    assert set(effects(arena, "append").values()) == {1}


async def test_a_result_that_is_no_json_is_a_task_and_not_a_loop(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    start(work, "a")
    await ledger.messages.receive(needed("no json", "nothing-used"))
    await ledger.messages.receive(needed("1", "nothing-used"))
    task = await raised(ledger)
    await done(ledger, 1)
    assert task.reason == "internal-fault"
    assert bodies(arena) == effects(arena, "book") == {"1": 1}


async def test_a_record_of_an_older_shape_is_a_task_and_not_a_loop(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    worker = start(work, "a")
    await ledger.messages.receive(needed("1", "requisition-raised"))
    await ledger.messages.receive(needed("2", "requisition-raised"))
    await rows(ledger, "flow", "status = 'waiting'", many=2)
    await worker.kill()
    await ledger.database.run(
        "insert into step (flow_id, name, number, kind, output)"
        " select id, 'first', 1, 'effect', '{\"pages\": 3}' from flow where key = '1'"
    )
    worker.start()
    await ledger.messages.receive(answered("1"))
    await ledger.messages.receive(answered("2"))
    assert (await raised(ledger)).reason == "internal-fault"
    await done(ledger, 1)
    assert effects(arena, "reserve") == {"2": 1}


class _Shout:
    def __reduce__(self):
        return print, ("a pickle was opened",)


async def test_a_pickle_is_refused_where_it_would_be_kept_and_opened_by_nobody(
    arena: Arena, ledger: Ledger, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever can write the database must not run code: only JSON is kept, and only JSON read."""
    pickled = pickle.dumps(_Shout(), protocol=0).decode()
    worker = start(work, "a")
    await ledger.messages.receive(needed("1", "requisition-raised"))
    await rows(ledger, "flow", "status = 'waiting'", many=1)
    await worker.kill()
    plant = (
        "insert into step (flow_id, name, number, kind, output)"
        " select id, 'first', 1, 'effect', {} from flow"
    )
    with pytest.raises(asyncpg.DataError):
        await ledger.database.run(plant.format("$1::text::jsonb"), pickled)
    await ledger.database.run(plant.format("to_jsonb($1::text)"), pickled)
    worker.start()
    await ledger.messages.receive(answered("1"))
    assert (await raised(ledger)).reason == "internal-fault"
    assert "a pickle was opened" not in worker.said() + capfd.readouterr().out


async def test_a_new_version_leaves_old_flows_alone_and_may_be_rolled_back(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    old = start(work, "old")
    await ledger.messages.receive(needed("in flight", "requisition-raised"))
    await rows(ledger, "flow", "status = 'waiting'", many=1)
    await old.kill()

    new = start(work, "new", Play(version="2"))
    install(ledger, "2")
    await ledger.messages.receive(answered("in flight"))
    await ledger.messages.receive(needed("of the new", "requisition-raised"))
    await ledger.messages.receive(needed("new", "item-used"))
    await done(ledger, 1)
    await rows(ledger, "flow", "status = 'waiting' and version = '2'", many=1)
    assert await count(ledger, "flow", "version = '1' and status = 'ready'") == 1
    await new.kill()

    old.start()  # rolled back
    install(ledger, "1")
    await done(ledger, 2)
    await ledger.messages.receive(answered("of the new"))
    await asyncio.sleep(arena.lease)
    assert await count(ledger, "flow", "version = '2' and status = 'ready'") == 1
    new.start()  # and deployed again
    await done(ledger, 3)
    assert effects(arena, "reserve") == {"in flight": 1, "of the new": 1, "new": 1}
