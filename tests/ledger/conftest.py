"""A real PostgreSQL for the run, empty tables for each test, any number of ledgers on them."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded.cluster import postmaster
from gateway.embedded.place import place_of
from gateway.embedded.postgres import EmbeddedPostgres, start_postgres
from gateway.embedded.sharing import until
from ledger.audit.keys import AuditKeys
from ledger.database import fresh_database
from ledger.ledger import Ledger, open_ledger
from ledger.settings import LedgerSettings

SOON = LedgerSettings(call_seconds=0.5)
SECRET = b"a secret of these tests, 32 byte"

Opened = Callable[..., Awaitable[Ledger]]


class Server:
    """The PostgreSQL of this run, which a test may stop and start."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._uses: list[EmbeddedPostgres] = []
        self.dsn = ""

    async def start(self) -> None:
        self._uses.append(await start_postgres(self._home))
        self.dsn = self.dsn or await fresh_database(self._uses[-1].dsn, "ledger")

    async def crash(self) -> None:
        """End it as a fast shutdown does: every session is cut off at once."""
        place = place_of("postgres", self._home, "")
        running = postmaster(place)
        assert running is not None
        os.kill(running, signal.SIGINT)
        assert await until(lambda: postmaster(place) is None, 20)

    async def leave(self) -> None:
        for use in self._uses:
            await use.stop()
        shutil.rmtree(place_of("postgres", self._home, "").folder.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory):
    started = Server(tmp_path_factory.mktemp("ledger"))
    with asyncio.Runner() as runner:
        runner.run(started.start())
    yield started
    with asyncio.Runner() as runner:
        runner.run(started.leave())


async def emptied(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Take every row out: a new database for each test would take as long as all the rest."""
    tables = await connection.fetch(
        "select table_name from information_schema.tables"
        " where table_schema = 'suture' and table_name <> 'migration'"
    )
    empty = [f'delete from suture."{table[0]}"' for table in tables]
    told = ["set session_replication_role = replica", *empty]
    await connection.execute(";".join([*told, "set session_replication_role = origin"]))


@pytest.fixture
async def dsn(server: Server) -> str:
    """The database without a row."""
    connection = await asyncpg.connect(server.dsn)
    await emptied(connection)
    await connection.close()
    return server.dsn


@pytest.fixture
async def opened(dsn: str) -> AsyncGenerator[Opened]:
    """Open one more ledger on the test's database: another process, as far as it can tell."""
    async with AsyncExitStack() as stack:

        async def another(
            *, secret: bytes = SECRET, at: str = dsn, keys: Callable[[], AuditKeys] | None = None
        ) -> Ledger:
            ledger = await stack.enter_async_context(
                open_ledger(at, secret=secret, settings=SOON, audit_keys=keys)
            )
            stack.push_async_callback(ledger.worker.stop, grace=0)
            return ledger

        yield another


@pytest.fixture
async def ledger(opened: Opened) -> Ledger:
    return await opened()


@pytest.fixture
async def operator(dsn: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """A session of somebody else in the same database."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "suture"})
    yield connection
    await connection.close()
