"""The connection to PostgreSQL: pool, migrations under an advisory lock, foreign errors made
ours.
"""

import asyncio
import importlib.resources
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from canonical.errors import StoreUnavailable

_MIGRATION_LOCK = 7_405_160_113
_RETRY_AFTER = 2.0
Connection = asyncpg.pool.PoolConnectionProxy

_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the session was cut off in the middle of a statement
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
)


@contextmanager
def store_errors() -> Generator[None]:
    """Turn a lost or full PostgreSQL into `StoreUnavailable`; everything else is our own fault."""
    try:
        yield
    except _LOST as exc:
        raise StoreUnavailable(
            f"PostgreSQL: {type(exc).__name__}",
            fix="check the database; work resumes by itself",
            retry_after=_RETRY_AFTER,
        ) from exc


class Database:
    """A pool on one PostgreSQL; `search_path` is the schema `suture`."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        dsn: str,
        hasty: "asyncpg.Pool[asyncpg.Record]",
    ) -> None:
        self.pool = pool
        self.dsn = dsn
        self._hasty = hasty

    async def claimed(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """Return what a statement gave whose loss in a crash of PostgreSQL would harm nobody.

        It goes by index, however new the table is, and does not wait for the disk.
        """
        with store_errors():
            async with self._hasty.acquire() as connection:
                return await connection.fetch(sql, *values)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator["Connection[asyncpg.Record]"]:
        with store_errors():
            async with self.pool.acquire() as connection:
                yield connection

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(sql, *values)

    async def row(self, sql: str, *values: object) -> asyncpg.Record | None:
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *values)

    async def run(self, sql: str, *values: object) -> str:
        async with self.connection() as connection:
            return await connection.execute(sql, *values)

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call `heard` with each payload until cancelled; reconnect when PostgreSQL goes away."""
        while True:
            try:
                await self._listen_once(channel, heard)
            except StoreUnavailable:
                await asyncio.sleep(1)

    async def _listen_once(self, channel: str, heard: Callable[[str], None]) -> None:
        closed = asyncio.Event()

        def note(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            heard(str(payload))

        def end(_connection: object) -> None:
            closed.set()

        async with self.connection() as connection:
            await connection.add_listener(channel, note)
            connection.add_termination_listener(end)
            try:
                await closed.wait()
            finally:
                if not connection.is_closed():
                    connection.remove_termination_listener(end)
                    await connection.remove_listener(channel, note)

    async def ping(self) -> None:
        await self.row("select 1")

    async def close(self) -> None:
        for pool in (self.pool, self._hasty):
            try:
                await asyncio.wait_for(pool.close(), 5)
            except TimeoutError:
                pool.terminate()


async def open_database(dsn: str, *, size: int = 8) -> Database:
    """Connect, bring the schema up to date, and return the pool."""
    with store_errors():
        first = await asyncpg.connect(dsn, timeout=15)
        try:
            await _migrate(first)
        finally:
            await first.close()
        pool = await _pool(dsn, 2, size)
        hasty = await _pool(dsn, 0, 1, synchronous_commit="off", enable_seqscan="off")
    return Database(pool, dsn, hasty)


async def _pool(dsn: str, least: int, most: int, **settings: str) -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(
        dsn,
        min_size=least,
        max_size=most,
        command_timeout=30,
        reset=_as_it_is,
        server_settings={"search_path": "suture", "application_name": "suture", **settings},
    )


async def _as_it_is(_connection: object) -> None:
    """Reset nothing on release: no code here leaves anything behind on a connection.

    Locks are those of a transaction, settings are the server's, listeners are taken off by hand.
    """


async def ended(*tasks: "asyncio.Task[None]") -> None:
    """Cancel tasks until they have ended: a connection that breaks may swallow a cancellation."""
    while going := [task for task in tasks if not task.done()]:
        for task in going:
            task.cancel()
        await asyncio.wait(going, timeout=1)
    await asyncio.gather(*tasks, return_exceptions=True)


async def fresh_database(dsn: str, name: str, *, drop_like: str = "") -> str:
    """Make an empty database beside that of `dsn`, drop older ones like `drop_like`."""
    with store_errors():
        connection = await asyncpg.connect(dsn, timeout=15)
        try:
            for row in await connection.fetch(
                "select datname from pg_database where datname like $1", drop_like
            ):
                await connection.execute(f'drop database if exists "{row["datname"]}" with (force)')
            await connection.execute(f'create database "{name}"')
        finally:
            await connection.close()
    return named_database(dsn, name)


def named_database(dsn: str, name: str) -> str:
    """Return the DSN of another database on the same server ('' keeps the one it names)."""
    head, _, query = dsn.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}?{query}" if name else dsn


async def _migrate(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    folder = importlib.resources.files("ledger") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    await connection.execute("select pg_advisory_lock($1)", _MIGRATION_LOCK)
    try:
        await connection.execute("create schema if not exists suture")
        await connection.execute("set search_path to suture")
        await connection.execute(
            "create table if not exists migration"
            " (name text primary key, at timestamptz not null default now())"
        )
        done = {row["name"] for row in await connection.fetch("select name from migration")}
        for file in files:
            if file.name not in done:
                async with connection.transaction():
                    await connection.execute(file.read_text())
                    await connection.execute("insert into migration values ($1)", file.name)
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _MIGRATION_LOCK)
