"""Exception tasks: where work is stuck, what a person can do, and what follows from it."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from canonical.clock import Clock
from canonical.errors import InvalidRequest, NotFound, StateConflict
from canonical.task import Resolution, TaskAction
from ledger.audit_trail import Evidence
from ledger.catalogue import encoded
from ledger.database import Database
from ledger.rows import EntryRow, SignalRow, insert_rows
from ledger.writer import Act, Batch, Writer

if TYPE_CHECKING:
    from asyncpg import Record

    from ledger.database import Connection


class Task(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One task as people see it."""

    id: str
    kind: str
    reason: str
    subject: str
    title: str
    detail: str
    affected: str
    fix: str
    owner: str
    actions: tuple[TaskAction, ...]
    status: str
    raised_at: datetime
    transaction: str | None = None
    flow: str | None = None
    message: str | None = None
    resolved_at: datetime | None = None
    resolution: Resolution | None = None


_COLUMNS = (
    "id, kind, reason, subject, title, detail, affected, fix, owner, actions, status, raised_at,"
    " transaction_id, flow_id, message_id, resolved_at, resolution"
)

# A person has looked: what was read or ruled since the last effect is read and ruled again.
_FORGET = """
delete from step where flow_id = $1 and kind in ('ask', 'decide') and number > coalesce(
    (select max(number) from step where flow_id = $1 and kind not in ('ask', 'decide')), 0)"""

_RETRY = (
    "update flow set status = 'ready', attempts = 0, wake_at = null, failure = null where id = $1"
)
# What an abandoned flow claimed is free again, unless it has changed something outside already.
_FREE = """
delete from claim where flow_id = $1 and not exists (
    select 1 from step where flow_id = $1 and kind in ('effect', 'disclose'))"""
_ABANDON = "update flow set status = 'abandoned', ended_at = now() where id = $1"


class Tasks:
    """Lists and resolves tasks."""

    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock

    async def listed(
        self, *, status: str = "open", transaction: str = "", owner: str = "", limit: int = 100
    ) -> list[Task]:
        """Return tasks, oldest first."""
        rows = await self._database.rows(
            f"select {_COLUMNS} from task where ($1 = 'any' or status = $1)"
            " and ($2 = '' or transaction_id = $2) and ($3 = '' or owner = $3)"
            " order by raised_at limit $4",
            status,
            transaction,
            owner,
            limit,
        )
        return [_task(row) for row in rows]

    async def about(self, name: str, *, reason: str) -> list[Task]:
        """Return the tasks of one reason that go by this name: id, subject or business key."""
        rows = await self._database.rows(
            f"select {_COLUMNS} from task where reason = $2 and (id = $1 or subject = $1"
            " or flow_id in (select id from flow where key = $1)) order by raised_at",
            name,
            reason,
        )
        return [_task(row) for row in rows]

    async def one(self, task: str) -> Task:
        row = await self._database.row(f"select {_COLUMNS} from task where id = $1", task)
        if row is None:
            raise NotFound("no such task", where=task)
        return _task(row)

    async def resolve(self, task: str, resolution: Resolution) -> Task:
        """Resolve a task once, with all that follows from it, in one commit.

        A refused document is not read again here: whoever knows how to read it does that.
        """
        await self._writer.submit(Act(partial(self._resolve, task, resolution)))
        return await self.one(task)

    async def _resolve(self, task: str, resolution: Resolution, batch: Batch) -> None:
        connection = batch.connection
        row = await connection.fetchrow(
            f"select {_COLUMNS} from task where id = $1 for update", task
        )
        if row is None:
            raise NotFound("no such task", where=task)
        known = _task(row)
        _check(known, resolution)
        await connection.execute(
            "update task set status = 'resolved', resolved_at = now(), resolution = $2"
            " where id = $1",
            task,
            encoded(resolution),
        )
        await self._follow(connection, known, resolution)
        batch.evidence.append(_evidence(known, resolution))
        batch.wakes = True
        batch.changed.add(known.transaction or "")

    async def _follow(
        self, connection: "Connection[Record]", task: Task, resolution: Resolution
    ) -> None:
        if task.transaction:
            await insert_rows(connection, [self._entry(task, resolution)])
        if task.kind == "decision" and task.transaction:
            answer = encoded(resolution)
            signal = SignalRow(task.transaction, None, "task-resolved", task.id, answer)
            await insert_rows(connection, [signal])
        if task.kind == "stuck":
            again = resolution.action == "retry"
            for sql in (_FORGET, _RETRY) if again else (_FREE, _ABANDON):
                await connection.execute(sql, task.flow)

    def _entry(self, task: Task, resolution: Resolution) -> EntryRow:
        return EntryRow(
            task.transaction or "",
            f"task resolved: {resolution.action}",
            "approval" if task.kind == "decision" else "task",
            task.owner,
            self._clock(),
            flow_id=task.flow,
            outcome=resolution.action,
            actor=resolution.by,
            why=f"{task.title}. {resolution.reason}".strip(),
        )


def _check(task: Task, resolution: Resolution) -> None:
    if task.status != "open":
        raise StateConflict("the task is resolved already", where=task.id)
    if resolution.action not in task.actions:
        raise InvalidRequest(
            f"this task cannot be resolved by {resolution.action}",
            where="$.action",
            expected=f"one of {', '.join(task.actions)}",
        )
    if resolution.action in ("abandon", "decline", "reject") and not resolution.reason.strip():
        raise InvalidRequest("a reason is needed", where="$.reason", expected="why, in words")


def _task(row: "Record") -> Task:
    resolution = row["resolution"]
    return Task(
        id=row["id"],
        kind=row["kind"],
        reason=row["reason"],
        subject=row["subject"],
        title=row["title"],
        detail=row["detail"],
        affected=row["affected"],
        fix=row["fix"],
        owner=row["owner"],
        actions=tuple(row["actions"]),
        status=row["status"],
        raised_at=row["raised_at"],
        transaction=row["transaction_id"],
        flow=row["flow_id"],
        message=row["message_id"],
        resolved_at=row["resolved_at"],
        resolution=msgspec.json.decode(resolution, type=Resolution) if resolution else None,
    )


def _evidence(task: Task, resolution: Resolution) -> Evidence:
    return Evidence(
        kind="approval",
        actor=resolution.by,
        action=f"resolve task: {resolution.action}",
        outcome="resolved",
        object=task.id,
        transaction=task.transaction or "",
        detail={"title": task.title, "reason": resolution.reason},
    )
