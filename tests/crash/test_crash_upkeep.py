"""Removing by rule and signing checkpoints go on while work is done, whoever dies over it."""

from functools import partial

from bench.torture.arena import Arena
from ledger.ledger import Ledger
from tests.crash.acts import work
from tests.crash.conftest import Start
from tests.crash.seen import PATIENCE, effects, needed, rows
from tests.crash.upkeep import keep_up, make_keys
from tests.ledger.outside import count, eventually

_MANY = 90


async def test_upkeep_that_is_killed_under_load_removes_what_is_over_and_nothing_else(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    make_keys(arena.folder)
    for n in range(3):
        await ledger.messages.receive(needed(f"open {n}", "requisition-raised"))
    workers = [start(work, name) for name in ("a", "b")]
    keepers = [start(keep_up, name) for name in ("c", "d")]
    for n in range(_MANY):
        await ledger.messages.receive(needed(str(n)))
        if n % 10 == 5:
            signed = await count(ledger, "checkpoint")
            await eventually(partial(_more_signed, ledger, signed), PATIENCE)
            dead = (*keepers, *workers)[n // 10 % 4]
            await dead.kill()
            dead.start()
    await rows(ledger, "flow", many=3)  # all that ended has gone
    assert effects(arena, "ship") == {str(n): 1 for n in range(_MANY)}
    await rows(ledger, "body", many=3)
    assert await count(ledger, "awaited") == 3
    assert await count(ledger, "step", "flow_id not in (select id from flow)") == 0
    await rows(ledger, "removal", "what in ('bodies', 'stories') and told = rows", many=2)
    gone = await ledger.database.rows("select what, rows from removal")
    counted = {row["what"]: row["rows"] for row in gone}
    assert (counted["bodies"], counted["stories"]) == (_MANY, _MANY)
    numbers = await ledger.database.rows("select number from checkpoint order by number")
    assert [row["number"] for row in numbers] == list(range(1, len(numbers) + 1))
    for child in (*keepers, *workers):
        await child.kill()
    assert (await ledger.audit.verify())[1] == []
    again = await ledger.messages.receive(needed("7"))
    assert again.duplicate  # its body has gone; that it came is known


async def _more_signed(ledger: Ledger, before: int) -> bool:
    return await count(ledger, "checkpoint") > before
