"""A worker is told to stop under load: it ends soon and well, and leaves nothing half done."""

import asyncio
import signal

from bench.torture.arena import Arena
from ledger.ledger import Ledger
from tests.crash.acts import work
from tests.crash.conftest import Start
from tests.crash.seen import PATIENCE, done, effects, needed
from tests.ledger.outside import count


async def test_workers_that_are_told_to_stop_under_load_leave_nothing_behind(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    workers = [start(work, name) for name in ("a", "b")]
    for worker in workers:
        await worker.ready()

    async def load() -> None:
        for n in range(150):
            await ledger.messages.receive(needed(str(n)))

    loading = asyncio.create_task(load())
    for _ in range(3):
        for worker in workers:
            await worker.ready()
            worker.signal(signal.SIGTERM)
            assert await worker.ended(PATIENCE) == 0, worker.said()
            worker.start()
    await loading
    await done(ledger, 150)
    assert effects(arena, "ship") == {str(n): 1 for n in range(150)}
    assert await count(ledger, "step") == 300
    assert (await ledger.audit.verify())[1] == []
