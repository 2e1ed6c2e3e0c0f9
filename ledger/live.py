"""Live news: which transaction has just changed. What is missed is read again, nothing depends on
it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ledger.database import Database, ended

_MOST_WAITING = 256


class Live:
    """One LISTEN connection for all watchers of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: set[asyncio.Queue[str]] = set()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        listening = self._database.listen("suture_live", self._heard)
        self._loop = asyncio.create_task(listening, name="ledger-live")

    async def stop(self) -> None:
        if self._loop is not None:
            await ended(self._loop)

    @asynccontextmanager
    async def watch(self) -> AsyncGenerator["asyncio.Queue[str]"]:
        """Give a queue of transaction ids as they change; a slow watcher misses some."""
        queue: asyncio.Queue[str] = asyncio.Queue(_MOST_WAITING)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)

    def _heard(self, transaction: str) -> None:
        for queue in self._watchers:
            if not queue.full():
                queue.put_nowait(transaction)
