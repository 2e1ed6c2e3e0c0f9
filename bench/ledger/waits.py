"""What it costs that very many flows wait, and how fast those wake whose fact has come."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from bench.ledger.engines import GONE, OURS, Engine, EngineFailed, flows_over, started
from bench.ledger.ground import Ground
from bench.ledger.history import fill_with_waits
from bench.ledger.turns import Opening, Order
from bench.meter import PostgresMeter
from bench.report import Bound, Row, Trial, judged, void
from bench.rounds import Settings

_SETTLES, _IDLES = 5.0, 20.0
_QUICK_IDLES = 1.5
_WOKEN = 1000
_WAITING, _WAKING = "waits idle", "waits woken"
_MEMORY, _CORE, _ITS_CORE = "MB more", "% of a core", "% of a core by PostgreSQL"

BOUNDS = (
    Bound(name="waitsMegabytes", of=_WAITING, figure=_MEMORY, limit=100),
    Bound(name="waitsCorePercent", of=_WAITING, figure=_CORE, limit=5),
    Bound(name="waitsCorePercentWithPostgres", of=_WAITING, figure="% of a core in all", limit=5),
)


class _Idle(NamedTuple):
    """A worker that has nothing to do: memory of its own and of the server, cores kept busy."""

    memory: float
    its_memory: float
    cores: float
    its_cores: float


async def rows_of_waits(ground: Ground, settings: Settings) -> list[Row]:
    """Measure a worker beside nothing, then beside the waits, then let some of them wake."""
    rows = _rows(settings)
    nobody, waits, server = ground.databases["nobody"], ground.databases["waits"], ground.meter
    try:
        settings.say(f"filling a ledger with {settings.waits} waiting flows")
        await fill_with_waits(waits, settings.waits)
        settings.say("an idle worker")
        async with _worker(nobody) as engine:
            alone = await _idle(engine, server, settings)
        settings.say(f"an idle worker beside {settings.waits} waiting flows")
        async with _worker(waits) as engine:
            beside = await _idle(engine, server, settings)
            woken = await _woken(engine, waits, server, settings)
    except EngineFailed as exc:
        return [void(row, str(exc)) for row in rows]
    except GONE as exc:
        return [void(row, f"PostgreSQL: {type(exc).__name__}") for row in rows]
    figures = {
        _MEMORY: beside.memory - alone.memory,
        _CORE: beside.cores * 100,
        _ITS_CORE: beside.its_cores * 100,
        "% of a core in all": (beside.cores + beside.its_cores) * 100,
        "MB more of PostgreSQL": beside.its_memory - alone.its_memory,
        "% of a core without waits": (alone.cores + alone.its_cores) * 100,
    }
    idle = Trial(settings.waits, 1.0, beside.cores, "", beside.its_cores, figures)
    return [judged(row, [trial]) for row, trial in zip(rows, (idle, woken), strict=True)]


def _rows(settings: Settings) -> list[Row]:
    idle = Row(
        name=_WAITING,
        what=f"{settings.waits:,} waiting flows, nothing comes",
        by="suture",
        unit="held",
        contains="an idle worker: poll, deadlines, leases; CPU of one second;",
        state="measured",
    )
    woken = Row(
        name=_WAKING,
        what=f"{_number_woken(settings):,} of them, at random, get what they wait for",
        by="suture",
        unit="flows",
        contains="document kept, fact joined to its story, flow woken, wait recorded, end",
        state="measured",
    )
    return [idle, woken]


def _number_woken(settings: Settings) -> int:
    return min(_WOKEN, settings.waits // 2)


@asynccontextmanager
async def _worker(dsn: str) -> AsyncGenerator[Engine]:
    async with started(OURS, Opening(dsn=dsn)) as engine:
        yield engine


async def _idle(engine: Engine, server: PostgresMeter, settings: Settings) -> _Idle:
    settles, idles = (0.2, _QUICK_IDLES) if settings.quick else (_SETTLES, _IDLES)
    await asyncio.sleep(settles)
    own, its, began = engine.cpu(), server.cpu(), time.monotonic()
    await asyncio.sleep(idles)
    seconds = time.monotonic() - began
    return _Idle(
        memory=engine.memory(),
        its_memory=server.memory(),
        cores=(engine.cpu() - own) / seconds,
        its_cores=(server.cpu() - its) / seconds,
    )


async def _woken(engine: Engine, dsn: str, server: PostgresMeter, settings: Settings) -> Trial:
    number = _number_woken(settings)
    connection = await asyncpg.connect(dsn)
    try:
        keys = await connection.fetch(
            "select key from suture.awaited order by random() limit $1", number
        )
        own, its, began = engine.cpu(), server.cpu(), time.monotonic()
        await engine.tell(Order(seconds=0.0, keys=tuple(str(row[0]) for row in keys)))
        tally = await flows_over([engine])
        own, its = engine.cpu() - own, server.cpu() - its
        ended = await connection.fetchval("select count(*) from suture.flow where status = 'done'")
    finally:
        await connection.close()
    fault = tally.fault
    if not fault and ended != number:
        fault = f"{number} were to be woken, {ended} are done in the database"
    return Trial(tally.ended, tally.last - began, own, fault, its)
