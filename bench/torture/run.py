"""One run: everything is started, hurt, left to finish, and judged."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from bench.torture import outside_server, sender, worker
from bench.torture.arena import Arena
from bench.torture.judge import Verdict, judge
from bench.torture.kills import Killer
from bench.torture.nursery import Child
from bench.torture.store import Store, session
from bench.torture.takeover import Times, times
from gateway.embedded.sharing import until

_SENDERS = 2
_NO_PROGRESS_SECONDS = 60.0
_LEFT = """
select (select count(*) from flow where ended_at is null),
       (select count(*) from step) + (select coalesce(sum(epoch), 0) from flow)"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to be."""

    kills: int
    workers: int = 4
    seed: int = 1
    lease: float = 1.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run came to."""

    verdict: Verdict
    kinds: dict[str, int]
    takeovers: Times
    lease: float
    seconds: float
    starts: int
    seed: int
    drained_in: float


@asynccontextmanager
async def started(folder: Path, *, seed: int, lease: float) -> AsyncGenerator[tuple[Arena, Store]]:
    """Start a PostgreSQL and an outside; take them down on leaving."""
    store = Store(folder / "store")
    outside: Child | None = None
    try:
        await store.start()
        arena = Arena(folder=folder, dsn=store.dsn, seed=seed, lease=lease)
        outside = Child("outside", folder, outside_server.serve, arena)
        outside.start()
        address = folder / "outside.url"
        if not await until(address.exists, 30):
            raise ChildProcessError(f"the outside does not start: {outside.said()}")
        yield msgspec.structs.replace(arena, outside=outside_server.address(folder)), store
    finally:
        if outside is not None:
            await outside.kill()
        await store.leave()


async def run(wanted: Wanted, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Run it from the first start to the verdict."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        arena, store = await stack.enter_async_context(
            started(folder, seed=wanted.seed, lease=wanted.lease)
        )
        workers = [
            Child(f"worker{n}", folder, worker.work, arena, f"worker{n}")
            for n in range(wanted.workers)
        ]
        senders = [
            Child(f"sender{n}", folder, sender.send, arena, f"sender{n}") for n in range(_SENDERS)
        ]
        for child in (*workers, *senders):
            child.start()
            stack.push_async_callback(child.kill)
        killer = Killer(arena, store, workers, senders)
        while killer.kills < wanted.kills:
            kind = await killer.once()
            say(f"{killer.kills} of {wanted.kills} kills, {time.monotonic() - began:.0f} s: {kind}")
        drain_began = time.monotonic()
        await _drain(arena, store, workers, senders, say)
        await killer.takeovers.settled()
        drained = time.monotonic() - drain_began
        say("judging")
        verdict = await judge(arena)
        verdict.stuck += killer.fallen
        return Outcome(
            verdict=verdict,
            kinds=dict(killer.counts),
            takeovers=times(killer.takeovers),
            lease=wanted.lease,
            seconds=round(time.monotonic() - began, 1),
            starts=sum(child.starts for child in (*workers, *senders)),
            seed=wanted.seed,
            drained_in=round(drained, 1),
        )


async def _drain(
    arena: Arena,
    store: Store,
    workers: list[Child],
    senders: list[Child],
    say: Callable[[str], None],
) -> None:
    """Let senders end their sentence, then let workers finish as long as anything moves."""
    await store.ready()
    for child in workers:
        if not child.is_alive:
            child.start()
    for child in senders:
        await child.ready()
        child.signal(signal.SIGTERM)
    for child in senders:
        code = await child.ended(120)
        if code != 0:
            raise ChildProcessError(f"{child.name} ended with {code}: {child.said()}")
    # The last questions need somebody to answer them.
    clerk = Child("clerk", arena.folder, sender.decide, arena)
    clerk.start()
    try:
        await _until_still(arena, say)
    finally:
        await clerk.kill()


async def _until_still(arena: Arena, say: Callable[[str], None]) -> None:
    async with session(arena.dsn) as connection:
        before, since = (-1, -1), time.monotonic()
        while time.monotonic() - since < _NO_PROGRESS_SECONDS:
            row = await connection.fetchrow(_LEFT)
            now = (int(row[0]), int(row[1])) if row is not None else (0, 0)
            if not now[0]:
                return
            if now != before:
                before, since = now, time.monotonic()
                say(f"draining: {now[0]} flows are unfinished")
            await asyncio.sleep(0.1)
