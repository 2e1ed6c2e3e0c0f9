"""News of what has changed: for this process at once, for the others after the commit.

NOTIFY inside a commit makes commits wait for each other; sent afterwards and many at a time it
costs little. What is missed is found by polling, nothing depends on it.
"""

import asyncio
import logging
from collections.abc import Callable

import asyncpg

from canonical.errors import StoreUnavailable
from ledger.batch import Batch
from ledger.database import Database, ended

log = logging.getLogger("suture.news")

_PAUSE_SECONDS = 0.02
_MOST_AT_ONCE = 500
_TELL = """
select pg_notify('suture_work', '') where $1 union all
select pg_notify('suture_live', t) from unnest($2::text[]) t"""


class News:
    """Collects what batches changed and tells it, at most every 20 ms."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wakes = False
        self._changed: set[str] = set()
        self._wanted = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self.on_work: Callable[[], None] = _nothing

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run(), name="ledger-news")

    async def stop(self) -> None:
        if self._loop is not None:
            await ended(self._loop)
        await self._tell()

    def of(self, batch: Batch) -> None:
        """Hear what a committed batch changed."""
        if batch.wakes:
            self.on_work()
            self._wakes = True
        self._changed |= batch.changed
        if batch.wakes or batch.changed:
            self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(_PAUSE_SECONDS)
            self._wanted.clear()
            await self._tell()

    async def _tell(self) -> None:
        wakes, changed = self._wakes, sorted(self._changed - {""})
        self._wakes, self._changed = False, set()
        if not wakes and not changed:
            return
        try:
            # Too many to be worth telling one by one: whoever watches reads again.
            await self._database.run(_TELL, wakes, changed[:_MOST_AT_ONCE])
        except (StoreUnavailable, asyncpg.PostgresError) as exc:
            log.info("news were not told: %s", type(exc).__name__)


def _nothing() -> None:
    return
