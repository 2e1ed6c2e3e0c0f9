"""The PostgreSQL of a run, and the ways to hurt it."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from canonical.errors import Failure, StoreUnavailable
from gateway.embedded.cluster import postmaster
from gateway.embedded.place import place_of
from gateway.embedded.postgres import EmbeddedPostgres, start_postgres
from gateway.embedded.sharing import until
from ledger.database import fresh_database, store_errors

_OTHERS = (
    "select pid from pg_stat_activity where datname = current_database()"
    " and backend_type = 'client backend' and pid <> pg_backend_pid() order by pid"
)
_ENDS_WITHIN = 20.0


@asynccontextmanager
async def session(dsn: str) -> "AsyncGenerator[asyncpg.Connection[asyncpg.Record]]":
    """Open a session of one's own; `StoreUnavailable` when it cannot be, or is cut off."""
    with store_errors():
        connection = await asyncpg.connect(
            dsn, timeout=15, server_settings={"search_path": "suture"}
        )
        try:
            yield connection
        finally:
            connection.terminate()


class Store:
    """An embedded PostgreSQL of one's own, and one database on it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._uses: list[EmbeddedPostgres] = []
        self.dsn = ""

    async def start(self) -> None:
        """Start it, or start it again."""
        self._uses.append(await start_postgres(self._home))
        self.dsn = self.dsn or await fresh_database(self._uses[-1].dsn, "torture")

    async def end(self, how: signal.Signals) -> None:
        """End the server: SIGKILL, SIGQUIT (immediate shutdown) or SIGINT (fast shutdown)."""
        place = place_of("postgres", self._home, "")
        running = postmaster(place)
        if running is None:
            return
        os.kill(running, how)
        # PostgreSQL 18 may never end when it is told to while it recovers from a killed session.
        if not await until(lambda: postmaster(place) is None, _ENDS_WITHIN):
            os.kill(running, signal.SIGQUIT)
        if not await until(lambda: postmaster(place) is None, _ENDS_WITHIN):
            raise TimeoutError("PostgreSQL does not end")

    async def kill_one_session(self, chosen: float) -> None:
        """Kill -9 one session's process: PostgreSQL ends all others and recovers by itself."""
        async with session(self.dsn) as connection:
            others = [int(row[0]) for row in await connection.fetch(_OTHERS)]
        if others:
            os.kill(others[int(chosen * len(others))], signal.SIGKILL)

    async def cut_sessions(self, chosen: float) -> None:
        """Cut off about `chosen` of all sessions, as an administrator would."""
        async with session(self.dsn) as connection:
            others = [int(row[0]) for row in await connection.fetch(_OTHERS)]
            cut = others[: max(1, int(chosen * len(others)))]
            await connection.execute(
                "select pg_terminate_backend(pid) from unnest($1::int[]) pid", cut
            )

    async def ready(self, within: float = 120) -> None:
        """Wait until it takes connections again."""
        async with asyncio.timeout(within):
            while True:
                try:
                    async with session(self.dsn):
                        return
                except StoreUnavailable:
                    await asyncio.sleep(0.05)

    async def leave(self) -> None:
        """Stop it and remove all that it wrote: nothing of it needs to be kept any more."""
        await self.end(signal.SIGQUIT)
        for use in self._uses:
            try:
                await use.stop()
            except Failure:
                continue
        shutil.rmtree(place_of("postgres", self._home, "").folder.parent, ignore_errors=True)
