"""Removing what is older than its rule: in small batches beside the traffic, with evidence.

One process at a time removes, a batch a transaction. What went is counted in the same transaction
(`removal`), and from there it is told to the audit trail: at least once, whatever stops in between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import asyncpg
import msgspec

from canonical.clock import Clock
from canonical.errors import Failure, StoreUnavailable
from ledger.audit_trail import Evidence
from ledger.database import Database
from ledger.months import MONTHLY, Month, Months
from ledger.removals import REMOVALS, Removal
from ledger.settings import RetentionRules
from ledger.writer import Writer

log = logging.getLogger("suture.retention")

BATCH = 500
_ALONE = "select pg_try_advisory_xact_lock(7405160140)"
_TURNS = 20
_PAUSE_SECONDS = 0.05
_TEND_SECONDS = 30.0
_DAY_SECONDS = 86_400.0
_MONTHLY_WHAT = {"body": "bodies", "entry": "hops"}

_COUNT = """
insert into removal (what, days, until, rows) values ($1, $2, $3, $4)
on conflict (what, day) do update set rows = removal.rows + excluded.rows, days = excluded.days,
    until = greatest(removal.until, excluded.until)"""
_UNTOLD = "select what, day, days, until, rows, rows - told as new from removal where told < rows"
_TOLD = "update removal set told = greatest(told, $3) where what = $1 and day = $2"

Progress = Callable[[str, int], None]
RemoveAudit = Callable[[datetime], Awaitable[int]]
"""Removes what the audit trail has from before a time, so that the rest stays provable."""


class Due(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a rule would remove now: rows of `what`, and months that are over whole."""

    what: str
    days: int
    before: datetime
    rows: int
    months: tuple[str, ...] = ()


class Retention:
    """Removes by `rules`, which are given before it starts; without them it removes nothing.

    `remove_audit` is the audit trail's own way; None leaves it whole.
    """

    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self.rules = RetentionRules()
        self.remove_audit: RemoveAudit | None = None
        self._database = database
        self._writer = writer
        self._clock = clock
        self._months = Months(database)
        self._made = 0.0
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look after the tables until stopped."""
        self._loop = asyncio.create_task(self._tend_loop(), name="ledger-retention")

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def tend(self) -> None:
        """Make the months ahead once a day, and take a few turns at what is due."""
        now = asyncio.get_running_loop().time()
        if now >= self._made:
            await self._months.make()
            self._made = now + _DAY_SECONDS
            await self._remove_audit()
        await self.run(turns=_TURNS)

    async def run(self, *, turns: int = 0, progress: Progress | None = None) -> dict[str, int]:
        """Remove what is due, `turns` batches of each kind at most (0 is all of it); return how
        many rows of what.
        """
        removed = dict[str, int]()

        def count(what: str, rows: int) -> None:
            removed[what] = removed.get(what, 0) + rows
            if progress is not None and rows:
                progress(what, removed[what])

        if not turns:
            await self._remove_audit()
        for table in MONTHLY:
            await self._drop_months(table, count)
        for removal in REMOVALS:
            if self._days(removal.rule):
                await self._remove(removal, turns, count)
        await self._tell()
        return {what: rows for what, rows in removed.items() if rows}

    async def preview(self) -> list[Due]:
        """Return what would go now, and change nothing."""
        found = list[Due]()
        for removal in REMOVALS:
            days = self._days(removal.rule)
            if not days:
                continue
            before = self._before(days)
            row = await self._database.row(f"select count(*) {removal.due}", before)
            months = await self._past(removal.table, before) if removal.table in MONTHLY else []
            found.append(
                Due(
                    what=removal.what,
                    days=days,
                    before=before,
                    rows=max(int(row[0]) if row else 0, sum(month.rows for month in months)),
                    months=tuple(month.name for month in months),
                )
            )
        return found

    def _days(self, rule: str) -> int:
        days: int = getattr(self.rules, rule)
        return days

    def _before(self, days: int) -> datetime:
        return self._clock() - timedelta(days=days)

    async def _past(self, table: str, before: datetime) -> list[Month]:
        return await self._months.past(table, before)

    async def _remove(self, removal: Removal, turns: int, count: Progress) -> None:
        turn = 0
        while not turns or turn < turns:
            turn += 1
            rows = await self._batch(removal)
            count(removal.what, rows)
            if rows < BATCH:
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _batch(self, removal: Removal) -> int:
        days = self._days(removal.rule)
        before = self._before(days)
        async with self._database.connection() as connection, connection.transaction():
            if not await connection.fetchval(_ALONE):
                return 0
            said = (f"{removal.rule}: {days} days",) if "$3" in removal.batch else ()
            rows: int = await connection.fetchval(removal.batch, before, BATCH, *said)
            if rows:
                await connection.execute(_COUNT, removal.what, days, before, rows)
        return rows

    async def _drop_months(self, table: str, count: Progress) -> None:
        what = _MONTHLY_WHAT[table]
        days = self._days(what)
        if not days:
            return
        for month in await self._past(table, self._before(days)):
            if await self._months.drop(table, month):
                rows = max(month.rows, 1)
                await self._database.run(_COUNT, what, days, month.until, rows)
                count(what, rows)

    async def _remove_audit(self) -> None:
        days = self.rules.audit
        if not days or self.remove_audit is None:
            return
        before = self._before(days)
        rows = await self.remove_audit(before)
        if rows:
            await self._database.run(_COUNT, "audit", days, before, rows)

    async def _tell(self) -> None:
        """Put into the audit trail what went since it was told last."""
        for row in await self._database.rows(_UNTOLD):
            await self._writer.submit(
                Evidence(
                    kind="retention",
                    actor="suture",
                    action=f"remove {row['what']}",
                    outcome="removed",
                    detail={
                        "rows": str(row["new"]),
                        "rule": f"{row['days']} days",
                        "until": row["until"].isoformat(),
                    },
                )
            )
            await self._database.run(_TOLD, row["what"], row["day"], row["rows"])

    async def _tend_loop(self) -> None:
        while True:
            try:
                await self.tend()
            except (StoreUnavailable, asyncpg.PostgresError) as exc:
                log.warning("retention has to wait: %s", type(exc).__name__)
            except Failure as failure:
                log.warning("retention has to wait: %s", failure)
            await asyncio.sleep(_TEND_SECONDS)
