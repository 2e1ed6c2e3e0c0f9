"""Exception tasks: where work is stuck, what a person can do, and what follows from it."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from canonical.clock import Clock
from canonical.errors import InvalidRequest, NotFound, StateConflict
from canonical.task import Resolution, TaskAction
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.cancelling import Cancellation, FlowEnded, cancelling
from ledger.catalogue import Catalogue, encoded
from ledger.corrections import merged
from ledger.database import Database
from ledger.rows import EntryRow, QueueRow, SignalRow, lock_number
from ledger.subscriptions import SUSPENDED, disable_within, resume_within
from ledger.writer import Act, Writer

if TYPE_CHECKING:
    from asyncpg import Record


_NEED_REASON = ("abandon", "decline", "reject", "correct", "compensate")


class Task(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One task as people see it. `resolution_seconds` is how long it took from being raised."""

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
    tier: str = ""
    due_at: datetime | None = None
    escalated_at: datetime | None = None
    resolution_seconds: float | None = None


_COLUMNS = (
    "id, kind, reason, subject, title, detail, affected, fix, owner, actions, status, raised_at,"
    " transaction_id, flow_id, message_id, resolved_at, resolution, tier, due_at, escalated_at"
)

# A person has looked: what was read or ruled since the last effect is read and ruled again.
_FORGET = """
delete from step where flow_id = $1 and kind in ('ask', 'decide')
  and not exists (select 1 from flow where id = $1 and cancel is not null)
  and number > coalesce(
    (select max(number) from step where flow_id = $1 and kind not in ('ask', 'decide')), 0)"""

_RETRY = """
update flow set status = 'ready', attempts = 0, crashes = 0, run_at = now(), failure = null
where id = $1 and status = 'stuck'"""
_CORRECT = "update flow set facts = $2::json where id = $1"
_BEGUN = """
select exists (select 1 from step
               where flow_id = $1 and kind in ('effect', 'disclose', 'announce'))"""
# What an abandoned flow claimed is free again, unless it has changed something outside already.
_FREE = """
delete from claim where flow_id = $1 and not exists (
    select 1 from step where flow_id = $1 and kind in ('effect', 'disclose'))"""
_ABANDON = """
update flow set status = 'abandoned', ended_at = now() where id = $1 and status = 'stuck'
returning name, key, cancel"""


class Tasks:
    """Lists and resolves tasks."""

    def __init__(
        self, database: Database, writer: Writer, catalogue: Catalogue, clock: Clock
    ) -> None:
        self._database = database
        self._writer = writer
        self._catalogue = catalogue
        self._clock = clock

    async def listed(
        self, *, status: str = "open", transaction: str = "", owner: str = "", limit: int = 100
    ) -> list[Task]:
        """Return tasks, oldest first."""
        told = {"status": "" if status == "any" else status}
        told |= {"transaction_id": transaction, "owner": owner}
        # Each combination is a statement of its own: one for all of them would go by no index.
        known = {name: value for name, value in told.items() if value}
        where = " and ".join(
            # Open ones have their own index, which only the word itself finds.
            "status = 'open' and $1 = 'open'" if value == "open" else f"{name} = ${n}"
            for n, (name, value) in enumerate(known.items(), 1)
        )
        rows = await self._database.rows(
            f"select {_COLUMNS} from task where {where or 'true'}"
            f" order by raised_at limit ${len(known) + 1}",
            *known.values(),
            limit,
        )
        return [_task(row) for row in rows]

    async def about(self, name: str, *, reason: str) -> list[Task]:
        """Return the tasks of one reason that go by this name: id, subject or business key."""
        rows = await self._database.rows(
            f"select {_COLUMNS} from task where reason = $2 and id in ("
            " select id from task where id = $1"
            " union select id from task where subject = $1 and subject <> ''"
            " union select id from task where flow_key = $1) order by raised_at",
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
        locks = (lock_number("signal", "task-resolved", task),)
        await self._writer.submit(Act(partial(self._resolve, task, resolution), locks))
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
        if known.transaction:
            batch.rows.append(self._entry(known, resolution))
        await self._follow(batch, known, resolution)
        if known.reason == SUSPENDED:
            change = resume_within if resolution.action == "retry" else disable_within
            told = {"by": resolution.by, "reason": resolution.reason}
            await change(batch, subscription=known.subject, **told)
        batch.evidence.append(_evidence(known, resolution))
        batch.wakes = True
        batch.changed.add(known.transaction or "")

    async def _follow(self, batch: Batch, task: Task, resolution: Resolution) -> None:
        if task.kind == "decision" and task.transaction:
            answer = encoded(resolution)
            batch.rows.append(SignalRow(task.transaction, None, "task-resolved", task.id, answer))
        if task.kind != "stuck" or task.flow is None:
            return
        if resolution.action == "compensate":
            because = Cancellation(by=resolution.by, reason=resolution.reason or task.title)
            await cancelling(task.flow, because, self._clock()).run(batch)
        elif resolution.action == "abandon":
            await self._abandon(batch, task, task.flow)
        else:
            if resolution.action == "correct":
                await self._correct(batch, task.flow, resolution)
            await batch.connection.execute(_FORGET, task.flow)
            await batch.connection.execute(_RETRY, task.flow)

    async def _correct(self, batch: Batch, flow: str, resolution: Resolution) -> None:
        """Put corrected facts in the place of those the flow began with: nothing came of them."""
        if await batch.connection.fetchval(_BEGUN, flow):
            raise StateConflict(
                "something has been done outside with these facts",
                where=flow,
                expected="compensate, and hand in the corrected document",
            )
        row = await batch.connection.fetchrow(
            "select name, version, facts from flow where id = $1", flow
        )
        if row is None:
            raise NotFound("no such flow", where=flow)
        definition = self._catalogue.flows.get((row["name"], row["version"]))
        if definition is None:
            raise StateConflict(
                f"nobody here knows {row['name']} of version {row['version']}", where=flow
            )
        facts = merged(str(row["facts"]).encode(), resolution.correction, definition.facts)
        await batch.connection.execute(_CORRECT, flow, encoded(facts))

    async def _abandon(self, batch: Batch, task: Task, flow: str) -> None:
        await batch.connection.execute(_FREE, flow)
        row = await batch.connection.fetchrow(_ABANDON, flow)
        if row is None:
            return
        batch.rows.append(QueueRow(row["name"], row["key"]))
        if row["cancel"] is not None:  # whoever waits for it to be undone must know that it is not
            end = encoded(FlowEnded(flow=row["name"], undone=False))
            batch.rows.append(SignalRow(task.transaction or "", None, "flow-cancelled", flow, end))

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
    if resolution.action in _NEED_REASON and not resolution.reason.strip():
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
        tier=row["tier"],
        due_at=row["due_at"],
        escalated_at=row["escalated_at"],
        resolution_seconds=_seconds(row["raised_at"], row["resolved_at"]),
    )


def _seconds(raised: datetime, resolved: datetime | None) -> float | None:
    return None if resolved is None else round((resolved - raised).total_seconds(), 3)


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
