"""Names that count no more, known to every process within a moment.

A withdrawal is a row, and is told by NOTIFY. Each process keeps all of them in memory, where asking
costs a look into a dictionary; it reads anew every half second, so that nothing depends on what is
told. A process that could not read for a while does not know any more, and says so.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from canonical.clock import Clock
from canonical.errors import StoreUnavailable
from ledger.database import Database, ended
from ledger.once import Once

log = logging.getLogger("suture.withdrawals")

_CHANNEL = "suture_withdrawn"
_POLL_SECONDS = 0.5
_TEND_SECONDS = 60.0
_STALE_SECONDS = 10.0
_OVERLAP_SECONDS = 15.0
"""A row may become visible after a later one: so far back is read again."""
_PUT = f"""
with put as (
    insert into withdrawn (name, given_before, until) values ($1, $2, $3)
    on conflict (name) do update set given_before = excluded.given_before,
        until = greatest(withdrawn.until, excluded.until), at = clock_timestamp())
select pg_notify('{_CHANNEL}', '')"""
_READ = """
select name, given_before, until, extract(epoch from at)::float8 as at
from withdrawn where at > to_timestamp($1)"""


class _Withdrawal(NamedTuple):
    given_before: float
    until: float


class Withdrawals:
    """What was withdrawn. Nothing is known before `start`."""

    def __init__(self, database: Database, once: Once, clock: Clock) -> None:
        self._database = database
        self._once = once
        self._clock = clock
        self._known: dict[str, _Withdrawal] = {}
        self._read_until = _OVERLAP_SECONDS
        self._told = asyncio.Event()
        self._read_at = -math.inf
        self._tended = 0.0
        self._loops: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        await self._read()
        listening = self._database.listen(_CHANNEL, self._heard)
        self._loops = (
            asyncio.create_task(listening, name="ledger-withdrawn"),
            asyncio.create_task(self._run(), name="ledger-withdrawals"),
        )

    async def stop(self) -> None:
        await ended(*self._loops)

    async def withdraw(self, name: str, *, until: float, given_before: float = math.inf) -> None:
        """Withdraw what carries this name and was given out before a time; kept until `until`.

        A later withdrawal of the same name takes the place of the earlier one.
        """
        await self._database.run(_PUT, name, given_before, until)
        self._known[name] = _Withdrawal(given_before, until)

    def any_of(self, names: Iterable[str], given: float) -> bool:
        """Return whether one of these names, given out at this time, was withdrawn.

        Raises `StoreUnavailable` where nobody could be asked for ten seconds.
        """
        if time.monotonic() - self._read_at > _STALE_SECONDS:
            raise StoreUnavailable(
                "it is not known what was withdrawn lately",
                fix="check the database; calls are taken again by themselves",
                retry_after=1,
            )
        if not self._known:
            return False
        for name in names:
            found = self._known.get(name)
            if found is not None and given < found.given_before:
                return True
        return False

    def _heard(self, _payload: str) -> None:
        self._told.set()

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._told.wait()
            except TimeoutError:
                pass
            self._told.clear()
            try:
                await self._read()
                await self._tend()
            except (StoreUnavailable, asyncpg.PostgresError) as exc:
                log.warning("withdrawals were not read: %s", type(exc).__name__)

    async def _read(self) -> None:
        asked_at = time.monotonic()
        rows = await self._database.rows(_READ, self._read_until - _OVERLAP_SECONDS)
        for row in rows:
            self._known[row["name"]] = _Withdrawal(row["given_before"], row["until"])
            self._read_until = max(self._read_until, row["at"])
        self._read_at = asked_at

    async def _tend(self) -> None:
        now = self._clock().timestamp()
        if 0 <= now - self._tended < _TEND_SECONDS:
            return
        self._tended = now
        for name in [name for name, each in self._known.items() if each.until <= now]:
            del self._known[name]
        await self._database.run("delete from withdrawn where until <= $1", now)
        await self._once.forget(now)
