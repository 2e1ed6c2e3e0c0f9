"""How long what a killed worker held stays without an owner who works on it."""

import asyncio
import statistics

import msgspec

from bench.torture.store import session
from canonical.errors import StoreUnavailable

_HELD = "select id, epoch from suture.flow where owner = $1 and ended_at is null"
_STILL = """
select count(*) from suture.flow join unnest($1::text[], $2::int[]) held(id, epoch)
    on flow.id = held.id and flow.epoch = held.epoch where flow.owner is not null"""
_LOOK_SECONDS = 0.03
_GIVE_UP_SECONDS = 60.0


class Takeovers:
    """Watches the flows of dead workers until others hold them."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._watches: set[asyncio.Task[None]] = set()
        self.seconds: list[float] = []
        self.disturbed = 0

    def watch(self, dead: str) -> None:
        """Begin to watch, now that this worker has been killed or stopped."""
        task = asyncio.create_task(self._watch(dead))
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    async def settled(self) -> None:
        """Wait for all that is still watched."""
        await asyncio.gather(*self._watches)

    async def _watch(self, dead: str) -> None:
        """Measure one; where PostgreSQL itself went away meanwhile, there is nothing to measure."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with session(self._dsn) as connection:
                held = await connection.fetch(_HELD, dead)
                flows, epochs = [row["id"] for row in held], [row["epoch"] for row in held]
                while held and loop.time() < began + _GIVE_UP_SECONDS:
                    await asyncio.sleep(_LOOK_SECONDS)
                    if not await connection.fetchval(_STILL, flows, epochs):
                        self.seconds.append(loop.time() - began)
                        return
        except StoreUnavailable:
            self.disturbed += 1


class Times(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Takeovers in seconds; `disturbed` were not measured because PostgreSQL was away."""

    count: int
    median: float | None
    longest: float | None
    disturbed: int


def times(takeovers: Takeovers) -> Times:
    seconds = takeovers.seconds
    return Times(
        count=len(seconds),
        median=round(statistics.median(seconds), 3) if seconds else None,
        longest=round(max(seconds), 3) if seconds else None,
        disturbed=takeovers.disturbed,
    )
