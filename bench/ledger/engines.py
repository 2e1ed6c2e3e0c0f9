"""Engines in processes of their own, and what one round of them comes to.

Each round starts them anew, so that nothing idles beside what is measured; they warm up first. CPU
is read from outside: of their processes, and of all of PostgreSQL's.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec

from bench.ledger.six_steps import STEPS
from bench.ledger.turns import Opening, Order, Tally
from bench.meter import PostgresMeter, cpu_of, memory_of
from bench.report import Trial
from canonical.errors import Failure
from ledger.ids import new_id

ROOT = Path(__file__).resolve().parent.parent.parent
PEERS = ROOT / ".suture/bench/venv"
"""Where `make bench` installs the engines of others."""

GONE = (Failure, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What is raised where PostgreSQL is away, or does not do what is asked."""

_STARTS_WITHIN = 60.0
_ENDS_WITHIN = 15.0
_GIVES_UP_AFTER = 60.0
"""Seconds after which flows that were begun are given up."""
_LOOKS_EVERY = 0.02


class EngineFailed(Exception):
    """An engine did not start or died; the text says why."""


class Kind(NamedTuple):
    """How an engine is called, and how it is asked what it has kept."""

    name: str
    command: tuple[str, ...]
    kept: Callable[[asyncpg.Connection, str], Awaitable[int]]


class Plan(NamedTuple):
    """What one round does."""

    kind: Kind
    dsn: str
    callers: int
    workers: int
    latency: float = 0.0


class Lengths(NamedTuple):
    """Seconds for which flows are begun, and before that to warm up."""

    measured: float
    warming: float


class Engine:
    """One process. Every order is answered by one line."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    def cpu(self) -> float:
        return self._measured(cpu_of)

    def memory(self) -> float:
        return self._measured(memory_of)

    def _measured(self, measure: Callable[[int], float]) -> float:
        try:
            return measure(self._process.pid)
        except OSError as exc:
            raise EngineFailed(f"{self.name} died while it was measured") from exc

    async def tell(self, order: Order) -> Tally:
        if self._process.stdin is not None:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        return await self.heard()

    async def heard(self) -> Tally:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = await self._process.stdout.readline()
        if line:
            return msgspec.json.decode(line, type=Tally)
        said = (await self._process.stderr.read()).decode(errors="replace").strip().splitlines()
        raise EngineFailed(f"{self.name} died: {said[-1] if said else 'no word'}")


@asynccontextmanager
async def started(kind: Kind, opening: Opening) -> AsyncGenerator[Engine]:
    """Start an engine and wait until it is ready; end it on leaving."""
    process = await asyncio.create_subprocess_exec(
        *kind.command,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("SUTURE_")},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    engine = Engine(kind.name, process)
    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(opening) + b"\n")
        async with asyncio.timeout(_STARTS_WITHIN):
            await engine.heard()
        yield engine
    except TimeoutError as exc:
        raise EngineFailed(f"{kind.name} did not answer in time") from exc
    finally:
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.communicate(), _ENDS_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()


async def round_of(plan: Plan, lengths: Lengths, server: PostgresMeter) -> Trial:
    """Run one round; whatever goes wrong is its fault."""
    try:
        async with AsyncExitStack() as stack:
            connection = await asyncpg.connect(plan.dsn, timeout=15)
            stack.push_async_callback(connection.close)
            engines = [
                await stack.enter_async_context(
                    started(
                        plan.kind, Opening(dsn=plan.dsn, name=f"bench-{n}", latency=plan.latency)
                    )
                )
                for n in range(plan.workers)
            ]
            if lengths.warming:
                await _flows(engines, plan.callers, lengths.warming)
            await connection.execute("checkpoint")
            return await _measured(engines, plan, lengths.measured, (connection, server))
    except EngineFailed as exc:
        return Trial(0, 0, 0, str(exc))
    except GONE as exc:
        return Trial(0, 0, 0, f"PostgreSQL: {type(exc).__name__}")


async def _measured(
    engines: list[Engine],
    plan: Plan,
    seconds: float,
    outside: tuple[asyncpg.Connection, PostgresMeter],
) -> Trial:
    connection, server = outside
    mark = new_id("flow")
    before = await plan.kind.kept(connection, mark)
    own, its, began = sum(each.cpu() for each in engines), server.cpu(), time.monotonic()
    tally = await _flows(engines, plan.callers, seconds)
    own, its = sum(each.cpu() for each in engines) - own, server.cpu() - its
    kept = await plan.kind.kept(connection, mark) - before
    fault = tally.fault
    if not fault and kept != tally.ended:
        fault = f"{tally.ended} flows ended, {kept} are in the database with all their steps"
    return Trial(tally.ended, tally.last - began, own, fault, its)


async def _flows(engines: list[Engine], callers: int, seconds: float) -> Tally:
    """Keep so many flows going for so long, then wait for the last of them."""
    share, rest = divmod(callers, len(engines))
    for engine in engines:  # all of them count before the first flow begins
        await engine.tell(Order(seconds=seconds))
    for number, engine in enumerate(engines):
        await engine.tell(Order(callers=share + (number < rest)))
    await asyncio.sleep(seconds)
    return await flows_over(engines)


async def flows_over(engines: list[Engine]) -> Tally:
    """Wait until all flows that were begun have ended; say what that came to."""
    until = time.monotonic() + _GIVES_UP_AFTER
    while True:
        tallies = [await engine.tell(Order()) for engine in engines]
        whole = Tally(
            started=sum(each.started for each in tallies),
            ended=sum(each.ended for each in tallies),
            last=max(each.last for each in tallies),
            fault=next((each.fault for each in tallies if each.fault), ""),
        )
        if whole.fault or whole.started == whole.ended:
            return whole
        if time.monotonic() > until:
            left = whole.started - whole.ended
            return msgspec.structs.replace(whole, fault=f"{left} flows did not come to their end")
        await asyncio.sleep(_LOOKS_EVERY)


async def _kept_by_us(connection: asyncpg.Connection, mark: str) -> int:
    """Count the flows that are done, with all their steps: of those begun after `mark`, since
    identifiers begin with the time; the past of a long ledger is not read.
    """
    kept: int = await connection.fetchval(
        "select count(*) from suture.flow where id > $1 and status = 'done' and"
        " (select count(*) from suture.step where flow_id = flow.id) = $2",
        mark,
        STEPS,
    )
    return kept


async def _kept_by_dbos(connection: asyncpg.Connection, _mark: str) -> int:
    kept: int = await connection.fetchval(
        "select count(*) from dbos.workflow_status w where status = 'SUCCESS' and"
        " (select count(*) from dbos.operation_outputs where workflow_uuid = w.workflow_uuid) = $1",
        STEPS,
    )
    return kept


OURS = Kind("suture", (sys.executable, "-m", "bench.ledger.ours"), _kept_by_us)
DBOS = Kind("DBOS", (str(PEERS / "bin/python"), "-m", "bench.peers.dbos_flows"), _kept_by_dbos)


def dbos_is_missing() -> str:
    """Return why DBOS cannot be run, or nothing where it can."""
    if any(PEERS.glob("locked-*")):
        return ""
    place = PEERS.relative_to(ROOT)
    if (PEERS / "install.log").exists():
        return f"the installation of DBOS failed, see {place}/install.log"
    return f"DBOS is not installed in {place}: make bench does it"
