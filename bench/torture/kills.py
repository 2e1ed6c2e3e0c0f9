"""What is done to a run, drawn from a seed: who is killed, paused or cut off, and when."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from bench.torture.arena import Arena
from bench.torture.nursery import Child
from bench.torture.store import Store
from bench.torture.takeover import Takeovers
from bench.torture.worker import identity
from canonical.errors import StoreUnavailable

_WEIGHTS = {
    "worker killed": 40,
    "workers killed together": 8,
    "worker paused beyond its lease": 12,
    "worker told to stop": 5,
    "sender killed": 15,
    "PostgreSQL killed": 4,
    "PostgreSQL shut down at once": 3,
    "PostgreSQL restarted": 3,
    "session killed": 4,
    "sessions cut off": 6,
}
KINDS = tuple(_WEIGHTS)
_WANTED_ENDS = (None, 0, -signal.SIGKILL, -signal.SIGTERM)
_LONGEST_PAUSE = 0.6
"""Seconds between two kills at most: most of them meet what the last one left."""


class Killer:
    """Kills, and starts again what it killed."""

    def __init__(
        self, arena: Arena, store: Store, workers: list[Child], senders: list[Child]
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.latest = ""
        self.fallen: list[str] = []
        self.takeovers = Takeovers(arena.dsn)
        self._arena = arena
        self._store = store
        self._workers = workers
        self._senders = senders
        self._chance = random.Random(arena.seed)
        self._least = min(2, len(workers))
        self._ways: dict[str, Callable[[], Awaitable[None]]] = {
            "worker killed": self._one_worker,
            "workers killed together": self._several_workers,
            "worker paused beyond its lease": self._pause,
            "worker told to stop": self._stop,
            "sender killed": self._sender,
            "PostgreSQL killed": lambda: self._postgres(signal.SIGKILL),
            "PostgreSQL shut down at once": lambda: self._postgres(signal.SIGQUIT),
            "PostgreSQL restarted": lambda: self._postgres(signal.SIGINT),
            "session killed": self._session,
            "sessions cut off": self._sessions,
        }

    @property
    def kills(self) -> int:
        return self.counts.total()

    async def once(self) -> str:
        """Do the next thing; return what it was."""
        await asyncio.sleep(self._chance.uniform(0.02, _LONGEST_PAUSE))
        self._mourn()
        [kind] = self._chance.choices(KINDS, list(_WEIGHTS.values()))
        began = time.time()
        await self._ways[kind]()
        with (self._arena.folder / "kills").open("a") as file:
            file.write(f"{began:.3f} {time.time():.3f} {kind} {self.latest}\n")
        self.counts[kind] += 1
        self._as_many_as_wanted()
        return kind

    def _as_many_as_wanted(self) -> None:
        """Have between two and all workers alive, now these, now those; and every sender."""
        alive = [child for child in self._workers if child.is_alive]
        wanted = self._chance.randint(self._least, len(self._workers))
        for child in [child for child in self._workers if not child.is_alive]:
            if len(alive) < wanted:
                child.start()
                alive.append(child)
        for child in self._senders:
            if not child.is_alive:
                child.start()

    def _mourn(self) -> None:
        """Note whoever ended although nobody killed it: nothing here may end by itself."""
        for child in (*self._workers, *self._senders):
            if not child.is_alive and child.exit_code not in _WANTED_ENDS:
                last = child.said().strip().rpartition("\n")[2]
                self.fallen.append(f"{child.name} ended with {child.exit_code}: {last}")

    def _living(self, children: list[Child]) -> Child:
        child = self._chance.choice([child for child in children if child.is_alive] or children)
        self.latest = child.name
        return child

    async def _one_worker(self) -> None:
        child = self._living(self._workers)
        dead = identity(self._arena, child.name)
        await child.kill()
        self.takeovers.watch(dead)

    async def _several_workers(self) -> None:
        chosen = [child for child in self._workers if self._chance.random() < 0.7]
        for child in chosen:
            child.signal(signal.SIGKILL)
        for child in chosen:
            await child.ended()
            self.takeovers.watch(identity(self._arena, child.name))

    async def _pause(self) -> None:
        child = self._living(self._workers)
        child.signal(signal.SIGSTOP)
        self.takeovers.watch(identity(self._arena, child.name))
        await asyncio.sleep(self._arena.lease * self._chance.uniform(1.2, 2.5))
        child.signal(signal.SIGCONT)

    async def _stop(self) -> None:
        child = self._living(self._workers)
        child.signal(signal.SIGTERM)
        if await child.ended(20) is None:
            await child.kill()
            raise TimeoutError(f"{child.name} was told to stop and did not")

    async def _sender(self) -> None:
        await self._living(self._senders).kill()

    async def _postgres(self, how: signal.Signals) -> None:
        await self._store.end(how)
        await asyncio.sleep(self._chance.uniform(0.0, 0.5))
        await self._store.start()

    async def _session(self) -> None:
        await self._on_the_store(self._store.kill_one_session)

    async def _sessions(self) -> None:
        await self._on_the_store(self._store.cut_sessions)

    async def _on_the_store(self, act: Callable[[float], Awaitable[None]]) -> None:
        """Act on a server that may be recovering from what was done to it before."""
        chosen = self._chance.random()
        while True:
            await self._store.ready()
            try:
                return await act(chosen)
            except (StoreUnavailable, ProcessLookupError):
                continue
