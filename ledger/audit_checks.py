"""Verifying the trail as a job: asked for by a person, done by a worker, followed by its progress.

A check is a row. A worker takes it under a lease of database time and says now and then how far it
has read; where it dies, another begins anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from canonical.errors import Failure, NotFound
from ledger.alerts import Alert
from ledger.audit.verdict import Verdict
from ledger.audit_trail import AuditTrail, Evidence
from ledger.checkpoints import Checkpoints
from ledger.database import Database, ended
from ledger.ids import new_id
from ledger.writer import Writer

if TYPE_CHECKING:
    from asyncpg import Record

log = logging.getLogger("suture.audit")

_LEASE_SECONDS = 30.0
_TELL_SECONDS = 0.5
_POLL_SECONDS = 1.0
_OPEN = """
insert into audit_check (id, asked_by, total)
values ($1, $2, (select coalesce(sum(covered), 0) from audit_chain))"""
_CLAIM = """
update audit_check set status = 'running', owner = $1, read = 0,
    run_at = now() + make_interval(secs => $2)
where id = (select id from audit_check where status in ('queued', 'running') and run_at <= now()
            order by run_at limit 1 for update skip locked)
returning id, asked_by"""
_TELL = """
update audit_check set read = $3, run_at = now() + make_interval(secs => $4)
where id = $1 and owner = $2"""
_END = """
update audit_check set status = $3, read = $4, verdict = $5, ended_at = now()
where id = $1 and owner = $2 and status = 'running'"""


class AuditCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How far a verification has come: `read` of about `total` records; `verdict` when it is done.

    `status` is queued, running, done or failed (the trail could not be read: ask again).
    """

    id: str
    asked_by: str
    asked_at: datetime
    status: str
    read: int
    total: int
    ended_at: datetime | None = None
    verdict: Verdict | None = None


class AuditChecks:
    """Opens checks, tells how they stand, and does them where it was started."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        trail: AuditTrail,
        checkpoints: Checkpoints,
        tell: Callable[[Alert], Awaitable[bool]],
    ) -> None:
        self.identity = new_id("checker")
        self._database = database
        self._writer = writer
        self._trail = trail
        self._checkpoints = checkpoints
        self._alert = tell
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._check_loop(), name="ledger-audit-checks")

    async def stop(self) -> None:
        if self._loop is not None:
            await ended(self._loop)

    async def open(self, by: str) -> AuditCheck:
        """Ask for a verification of everything there is."""
        check = new_id("check")
        await self._database.run(_OPEN, check, by)
        return await self.one(check)

    async def one(self, check: str) -> AuditCheck:
        row = await self._database.row("select * from audit_check where id = $1", check)
        if row is None:
            raise NotFound("no such verification", where=check)
        return _check(row)

    async def run_next(self) -> bool:
        """Do the next check that nobody does; say whether there was one."""
        row = await self._database.row(_CLAIM, self.identity, _LEASE_SECONDS)
        if row is None:
            return False
        read = [0]
        telling = asyncio.create_task(self._tell_loop(row["id"], read))
        try:
            verdict, status = await self._verdict(read), "done"
        except asyncpg.PostgresError as exc:
            log.warning("the trail cannot be verified: %s", type(exc).__name__)
            verdict, status = Verdict(broken=[]), "failed"
        finally:
            await ended(telling)
        encoded = msgspec.json.encode(verdict).decode() if status == "done" else None
        await self._database.run(_END, row["id"], self.identity, status, verdict.records, encoded)
        await self._note(row, verdict, status)
        return True

    async def _verdict(self, read: list[int]) -> Verdict:
        keys = self._checkpoints.keys
        pinned = frozenset(key.id for key in keys.public()) if keys else None

        def told(count: int) -> None:
            read[0] = count

        return await self._trail.examine(pinned=pinned, told=told)

    async def _note(self, row: "Record", verdict: Verdict, status: str) -> None:
        """Record who had it verified and what came of it; alert security where it does not hold."""
        outcome = "failed" if verdict.broken else status
        await self._writer.submit(
            Evidence(
                kind="access",
                actor=row["asked_by"],
                action="verify the audit trail",
                outcome=outcome,
                object=row["id"],
                detail={"records": str(verdict.records), "broken": str(len(verdict.broken))},
            )
        )
        if verdict.broken:
            first = verdict.broken[0]
            await self._alert(
                Alert(
                    "audit-broken",
                    f"{first.chain}:{first.seq}",
                    "The audit trail does not hold",
                    f"{len(verdict.broken)} breaks; the first: {first.reason}",
                    "keep the database as it is; compare with an export or a checkpoint that was"
                    " written down elsewhere",
                    86_400.0,
                )
            )

    async def _tell_loop(self, check: str, read: list[int]) -> None:
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            await self._database.run(_TELL, check, self.identity, read[0], _LEASE_SECONDS)

    async def _check_loop(self) -> None:
        while True:
            try:
                while await self.run_next():
                    pass
            except (Failure, asyncpg.PostgresError) as exc:
                log.warning("a verification has to wait: %s", type(exc).__name__)
            await asyncio.sleep(_POLL_SECONDS)


def _check(row: "Record") -> AuditCheck:
    verdict = row["verdict"]
    return AuditCheck(
        id=row["id"],
        asked_by=row["asked_by"],
        asked_at=row["asked_at"],
        status=row["status"],
        read=row["read"],
        total=max(row["total"], row["read"]),
        ended_at=row["ended_at"],
        verdict=None if verdict is None else msgspec.json.decode(str(verdict), type=Verdict),
    )
