"""The whole bench: by hand, beside DBOS, with a long past, with many waits; on one PostgreSQL."""

import contextlib
import fcntl
import shutil
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec

from bench.conditions import conditions
from bench.ledger.by_hand import COMPARISONS as BY_HAND
from bench.ledger.by_hand import rows_by_hand
from bench.ledger.engines import DBOS, OURS, Kind, Lengths, Plan, dbos_is_missing, round_of
from bench.ledger.history import ledger_with_past
from bench.ledger.naive import SESSIONS
from bench.ledger.six_steps import STEPS
from bench.ledger.waits import BOUNDS, rows_of_waits
from bench.meter import PostgresMeter
from bench.report import Comparison, Row, Trial
from bench.rounds import Bench, Contender, Measured, Settings, in_turn
from canonical.errors import StoreUnavailable
from gateway.embedded.cluster import postmaster
from gateway.embedded.place import place_of
from gateway.embedded.postgres import start_postgres
from ledger.database import fresh_database

_LENGTHS, _QUICK_LENGTHS = Lengths(2.0, 0.3), Lengths(0.1, 0.0)
_IN_FLIGHT, _IN_FLIGHT_OUTSIDE = (1, 50, 200), (1, 50)
_WORKERS = (1, 2)
_LATENCY = 0.005
_BUSY = 50
_MILLION = 1_000_000
_QUICK_HISTORY, _QUICK_WAITS = 500, 40
_BYTES_OF_A_PAST = 16_000
"""Of one finished transaction on disk, with its indexes and the log that is written with it."""

_EMPTY, _PAST, _SHRUNK = "flows empty ledger", "flows one million", "flows shrunk past"
_CONTAINS = {
    "suture": "document kept, flow claimed by any worker; step fenced, with hop and chained audit",
    "DBOS": "no document; async workflow run where it began; pool 20, uvloop, no logs",
}


def _name(by: str, callers: int, workers: int = 1, latency: float = 0.0) -> str:
    return f"flows {by} {callers}x{workers}{' outside' if latency else ''}"


def _comparisons() -> tuple[Comparison, ...]:
    def against_dbos(callers: int, workers: int = 1, latency: float = 0.0) -> Comparison:
        two = "ByTwo" if workers == 2 else ""
        return Comparison(
            name=f"flowsVsDbosAt{callers}{two}{'Outside' if latency else ''}",
            of=_name("suture", callers, workers, latency),
            against=_name("DBOS", callers, workers, latency),
            by="rate",
            target=25 if (callers, workers, latency) == (_BUSY, 1, 0.0) else None,
        )

    return (
        *(against_dbos(callers, workers) for workers in _WORKERS for callers in _IN_FLIGHT),
        *(against_dbos(callers, latency=_LATENCY) for callers in _IN_FLIGHT_OUTSIDE),
        Comparison(
            name="cpuVsDbosAt50", of=_name("suture", _BUSY), against=_name("DBOS", _BUSY), by="cpu"
        ),
        *(
            Comparison(
                name=f"twoWorkersVsOneAt{callers}",
                of=_name("suture", callers, 2),
                against=_name("suture", callers),
                by="rate",
                target=1.3,
            )
            for callers in _IN_FLIGHT[1:]
        ),
        Comparison(name="cpuAtOneMillionVsEmpty", of=_PAST, against=_EMPTY, by="cost", limit=1.1),
        Comparison(name="flowsAtOneMillionVsEmpty", of=_PAST, against=_EMPTY, by="rate"),
        *BY_HAND,
    )


class _Server(NamedTuple):
    dsn: str
    meter: PostgresMeter
    room: int


async def measure(settings: Settings) -> Measured:
    """Measure everything, on a server that is kept for the ledger with a past (`quick`: is not)."""
    if settings.quick:
        history, waits = (
            min(settings.history, _QUICK_HISTORY),
            min(settings.waits, _QUICK_WAITS),
        )
        settings = msgspec.structs.replace(settings, history=history, waits=waits)
    async with _server(settings) as server:
        by_hand = await rows_by_hand(server.dsn, server.meter, settings)
        past, told = await _past(server, settings)
        contenders = await _beside_dbos(server, settings)
        contenders += await _with_past(server, past, told, settings)
        engines = await in_turn(contenders, settings)
        waiting = await rows_of_waits(server.dsn, server.meter, settings)
        return Measured([*engines, *waiting, *by_hand], await _conditions(server, told))


@asynccontextmanager
async def _server(settings: Settings) -> AsyncGenerator[_Server]:
    home = settings.home if settings.quick else settings.kept
    home.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone(home))
        server = await start_postgres(home)
        stack.push_async_callback(server.stop)
        await fresh_database(server.dsn, "bench_nothing", drop_like="bench_%")
        place = place_of("postgres", home, "")
        pid = postmaster(place)
        if pid is None:
            raise StoreUnavailable("the embedded PostgreSQL has ended")
        yield _Server(server.dsn, PostgresMeter(pid), shutil.disk_usage(place.folder).free)


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


async def _past(server: _Server, settings: Settings) -> tuple[str, str]:
    """Return the database with a past, or why there is none; and what is to be said of it."""
    wanted = settings.history * _BYTES_OF_A_PAST
    if server.room < wanted and settings.history > _QUICK_HISTORY:
        return "", f"{wanted / 1e9:.0f} GB are needed on disk, {server.room / 1e9:.0f} are free"
    settings.say(f"filling a ledger with {settings.history:,} finished transactions, once")
    began = time.monotonic()
    dsn = await ledger_with_past(server.dsn, settings.history)
    connection = await asyncpg.connect(dsn)
    try:
        size = await connection.fetchval("select pg_database_size(current_database())")
    finally:
        await connection.close()
    seconds = time.monotonic() - began
    told = f"{settings.history:,} transactions, {size / 1e9:.1f} GB, {STEPS} steps each"
    return dsn, f"{told}; ready after {seconds:.0f} s (kept for the next run)"


async def _beside_dbos(server: _Server, settings: Settings) -> list[Contender]:
    missing = {"suture": "", "DBOS": dbos_is_missing()}
    if settings.quick:
        missing["DBOS"] = "--quick starts no engine of others"
    cases = [(callers, workers, 0.0) for workers in _WORKERS for callers in _IN_FLIGHT]
    cases += [(callers, 1, _LATENCY) for callers in _IN_FLIGHT_OUTSIDE]
    dsns = {
        kind.name: await fresh_database(server.dsn, f"bench_{kind.name.lower()}")
        for kind in (OURS, DBOS)
    }
    return [
        _contender(
            _row(kind, callers, workers, latency, why=missing[kind.name]),
            Plan(kind, dsns[kind.name], callers, workers, latency),
            (server.meter, settings),
        )
        for callers, workers, latency in cases
        for kind in (OURS, DBOS)
    ]


async def _with_past(server: _Server, past: str, why: str, settings: Settings) -> list[Contender]:
    """Two ledgers, one of them empty in the beginning, measured in turn."""
    empty = await fresh_database(server.dsn, "bench_empty")
    million = missing = "" if past else why
    rows = {_EMPTY: ("an empty ledger", empty, "")}
    if settings.history < _MILLION:
        million = f"the past was shrunk to {settings.history:,} (HISTORY)"
        rows[_SHRUNK] = (f"a ledger with {settings.history:,} finished transactions", past, missing)
    rows[_PAST] = ("a ledger with 1,000,000 finished transactions", past, million)
    return [
        _contender(
            msgspec.structs.replace(
                _row(OURS, _BUSY, 1, 0.0, why=absent), name=name, by=f"suture, {what}"
            ),
            Plan(OURS, dsn, _BUSY, 1),
            (server.meter, settings),
        )
        for name, (what, dsn, absent) in rows.items()
    ]


def _row(kind: Kind, callers: int, workers: int, latency: float, *, why: str) -> Row:
    told = [f"flows of {STEPS} recorded steps", f"{callers} in flight"]
    told += [f"{workers} workers"] if workers > 1 else []
    told += [f"each step {latency * 1e3:g} ms outside"] if latency else []
    return Row(
        name=_name(kind.name, callers, workers, latency),
        what=", ".join(told),
        by=kind.name,
        unit="flows",
        contains=_CONTAINS[kind.name],
        state="not run" if why else "measured",
        why=why,
    )


def _contender(row: Row, plan: Plan, means: tuple[PostgresMeter, Settings]) -> Contender:
    meter, settings = means

    async def measured() -> Trial:
        return await round_of(plan, _QUICK_LENGTHS if settings.quick else _LENGTHS, meter)

    return Contender(row, None if row.state == "not run" else measured)


async def _conditions(server: _Server, past: str) -> dict[str, str]:
    connection = await asyncpg.connect(server.dsn)
    try:
        version = await connection.fetchval("show server_version")
    finally:
        await connection.close()
    return conditions(
        *("asyncpg", "uvloop", "msgspec"),
        postgresql=f"{version}, embedded, unix socket, fsync and synchronous_commit on",
        past=past or "none",
        sessions=f"suture 8 and one writer, DBOS 20 a worker, by hand {SESSIONS}",
        measured="closed loop until all that began has ended, after a checkpoint; every round"
        " starts the engines anew and warms them up; rows are counted in the database afterwards",
        cpu="of the engine's processes; PostgreSQL's, all its processes, is told beside it",
    )


BENCH = Bench("ledger", "Keeping records on PostgreSQL", _comparisons(), measure, BOUNDS)
