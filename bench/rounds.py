"""How everything here is measured: all contenders in every round, in turn, there and back.

What one contender meets (a busy machine, a full cache) its peers meet in the same round, so that
the ratio of a round is sound where its absolute figures are not.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec

from bench.report import Bound, Comparison, Row, Trial, judged
from canonical.errors import Failure


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured. `home` is a folder that is thrown away, `kept` one that is not.

    `quick` takes a few operations only: it shows that everything runs, its figures mean nothing.
    `history` is how many finished transactions a ledger with a past has, `waits` how many flows
    wait in one that waits.
    """

    rounds: int
    quick: bool
    home: Path
    say: Callable[[str], None]
    kept: Path = Path(".suture/bench")
    history: int = 1_000_000
    waits: int = 100_000


class Contender(NamedTuple):
    """One row to be measured; without `measure` it was not run, and the row says why."""

    row: Row
    measure: Callable[[], Awaitable[Trial]] | None


class Measured(NamedTuple):
    """What came of it, and under which conditions."""

    rows: list[Row]
    conditions: dict[str, str]


class Bench(NamedTuple):
    """One bench by the name it is asked for."""

    name: str
    title: str
    comparisons: tuple[Comparison, ...]
    measure: Callable[[Settings], Awaitable[Measured]]
    bounds: tuple[Bound, ...] = ()


async def in_turn(contenders: list[Contender], settings: Settings) -> list[Row]:
    """Measure all contenders round by round, every other round in the opposite order.

    A first round warms everything up and does not count.
    """
    trials: dict[str, list[Trial]] = {each.row.name: [] for each in contenders}
    for number in range(1 if settings.quick else 0, settings.rounds + 1):
        for row, measure in contenders if number % 2 else reversed(contenders):
            done = trials[row.name]
            if measure is None or (done and done[-1].fault):  # void: nothing can mend it
                continue
            name = f"round {number} of {settings.rounds}" if number else "warming up"
            settings.say(f"{name}: {row.what}, {row.by}")
            trial = await measure()
            if number or trial.fault:
                done.append(trial)
    return [
        row if measure is None else judged(row, trials[row.name]) for row, measure in contenders
    ]


def repeated(call: Callable[[], object], passes: int, operations: int) -> Trial:
    """Time `passes` calls of `operations` each. What others left to collect is collected before."""
    gc.collect()
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(passes):
        call()
    spent = time.process_time() - cpu
    return Trial(passes * operations, time.perf_counter() - began, spent)


async def in_flight(call: Callable[[], Awaitable[object]], callers: int, seconds: float) -> Trial:
    """Let so many callers call again and again, each waiting for its answer; all must succeed."""
    done, fault = 0, ""
    gc.collect()
    began, cpu = time.perf_counter(), time.process_time()

    async def caller() -> None:
        nonlocal done, fault
        try:
            while not fault and time.perf_counter() - began < seconds:
                await call()
                done += 1
        except (Failure, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
            fault = fault or f"a call failed: {type(exc).__name__}"

    await asyncio.gather(*(caller() for _ in range(callers)))
    spent = time.process_time() - cpu
    return Trial(done, time.perf_counter() - began, spent, fault)
