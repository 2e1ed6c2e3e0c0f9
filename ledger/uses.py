"""Who used what, and when last: counted in memory, added up in PostgreSQL every few seconds.

A count is worth no wait of a caller. A process that is killed loses what it counted since the last
time; one that stops loses nothing.
"""

import asyncio
import logging
from collections import Counter
from datetime import date, datetime

import asyncpg
import msgspec

from canonical.clock import Clock
from canonical.errors import StoreUnavailable
from ledger.database import Database, ended

log = logging.getLogger("suture.uses")

_EVERY_SECONDS = 5.0
_MOST_KEPT = 100_000
"""How many counts are held while PostgreSQL is away; then the oldest are let go."""
_ADD = """
insert into use_count (who, what, day, calls, last_at)
select * from unnest($1::text[], $2::text[], $3::date[], $4::bigint[], $5::timestamptz[])
on conflict (who, what, day) do update
set calls = use_count.calls + excluded.calls,
    last_at = greatest(use_count.last_at, excluded.last_at)"""
_LISTED = """
select who, what, sum(calls)::bigint as calls, max(last_at) as last_at from use_count
where day >= $1 group by who, what order by what, calls desc, who"""

_Key = tuple[str, str, date]


class Use(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How often somebody used something, and when last."""

    who: str
    what: str
    calls: int
    last_at: datetime


class Uses:
    """Counts the uses of this process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._calls: Counter[_Key] = Counter()
        self._last: dict[_Key, datetime] = {}
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run(), name="ledger-uses")

    async def stop(self) -> None:
        """Write what is counted, then stop."""
        if self._loop is not None:
            await ended(self._loop)
        await self._try_to_flush()

    def count(self, who: str, what: str) -> None:
        """Count one use."""
        now = self._clock()
        key = (who, what, now.date())
        self._calls[key] += 1
        self._last[key] = now

    async def flush(self) -> None:
        """Add what was counted to what is kept; raises `StoreUnavailable` and forgets nothing."""
        calls, last = self._calls, self._last
        if not calls:
            return
        self._calls, self._last = Counter(), {}
        keys = sorted(calls)  # in one order, so that two processes do not wait for each other
        columns = [list(column) for column in zip(*keys, strict=True)]
        numbers, moments = [calls[key] for key in keys], [last[key] for key in keys]
        try:
            await self._database.run(_ADD, *columns, numbers, moments)
        except BaseException:
            if len(calls) < _MOST_KEPT:
                self._calls.update(calls)
                self._last = {**last, **self._last}
            raise

    async def listed(self, since: date) -> list[Use]:
        """Return who used what since that day, of all processes."""
        return [Use(**dict(row)) for row in await self._database.rows(_LISTED, since)]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self._try_to_flush()

    async def _try_to_flush(self) -> None:
        try:
            await self.flush()
        except (StoreUnavailable, asyncpg.PostgresError) as exc:
            log.info("uses are kept for later: %s", type(exc).__name__)
