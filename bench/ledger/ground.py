"""The PostgreSQL that the bench of the ledger runs on, and the databases on it."""

import contextlib
import fcntl
import shutil
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from bench.ledger.history import kept_past, made_past
from bench.ledger.six_steps import STEPS
from bench.meter import PostgresMeter
from bench.rounds import Settings
from canonical.errors import StoreUnavailable
from gateway.embedded.cluster import postmaster
from gateway.embedded.place import place_of
from gateway.embedded.postgres import start_postgres
from ledger.database import fresh_database

_BYTES_OF_A_PAST = 16_000
"""Of one finished transaction on disk, with its indexes and the log that is written with it."""


class Ground(NamedTuple):
    """The server, and an empty database for each who needs one; `room` is bytes free on disk."""

    dsn: str
    version: str
    meter: PostgresMeter
    room: int
    databases: dict[str, str]


class Past(NamedTuple):
    """A database with a past; without one `missing` says why."""

    dsn: str
    told: str
    missing: str = ""


@asynccontextmanager
async def prepared(settings: Settings, names: tuple[str, ...]) -> AsyncGenerator[Ground]:
    """Start a server of the bench's own, which is kept with its past (`quick`: is not)."""
    home = settings.home if settings.quick else settings.kept
    home.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone(home))
        server = await start_postgres(home)
        stack.push_async_callback(server.stop)
        await fresh_database(server.dsn, "bench_nothing", drop_like="bench_%")
        databases = {name: await fresh_database(server.dsn, f"bench_{name}") for name in names}
        place = place_of("postgres", home, "")
        pid = postmaster(place)
        if pid is None:
            raise StoreUnavailable("the embedded PostgreSQL has ended")
        version = await _told(server.dsn, "show server_version")
        room = shutil.disk_usage(place.folder).free
        yield Ground(server.dsn, version, PostgresMeter(pid), room, databases)


@contextlib.contextmanager
def _alone(home: Path) -> Generator[None]:
    """Two benches on one server would measure each other."""
    with (home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise StoreUnavailable(
                "another bench of the ledger is running here",
                where=str(home),
                fix="wait for its end, or measure elsewhere with --out",
            ) from exc
        yield


async def past_of(ground: Ground, settings: Settings) -> Past:
    """Return the past that an earlier run made, or make it."""
    began = time.monotonic()
    dsn = await kept_past(ground.dsn, settings.history)
    source = "kept from an earlier run"
    if not dsn:
        wanted = settings.history * _BYTES_OF_A_PAST
        if ground.room < wanted:
            why = f"{wanted / 1e9:.0f} GB are needed on disk, {ground.room / 1e9:.0f} are free"
            return Past("", "none", why)
        settings.say(f"making {settings.history:,} finished transactions, once")
        dsn = await made_past(ground.dsn, settings.history)
        source = f"made in {time.monotonic() - began:.0f} s"
    size = int(await _told(dsn, "select pg_database_size(current_database())"))
    told = f"{settings.history:,} transactions of {STEPS} steps, {size / 1e9:.1f} GB, {source}"
    return Past(dsn, told)


async def _told(dsn: str, sql: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval(sql))
    finally:
        await connection.close()
