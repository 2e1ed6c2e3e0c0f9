"""Deadlines: notices what did not happen, and says who is affected."""

from typing import TYPE_CHECKING

from canonical.events import kind_of
from canonical.published import DecisionOverdue
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.catalogue import encoded
from ledger.database import Database
from ledger.ids import derived_id
from ledger.rows import EntryRow, OutboxRow
from ledger.writer import Act, Writer

if TYPE_CHECKING:
    from asyncpg import Record

    from ledger.database import Connection

OVERDUE = "overdue"
_TOLD = ("reason", "title", "deadline", "tier", "due_at", "owner", "affected")

_DUE = """
update awaited set overdue = true from flow, transaction
where awaited.due_at < now() and not awaited.overdue and flow.id = awaited.flow_id
  and flow.status = 'waiting' and transaction.id = flow.transaction_id
returning awaited.flow_id, awaited.name, awaited.due_at, awaited.deadline, awaited.tier,
    awaited.owner, awaited.fix, flow.transaction_id,
    coalesce(nullif(awaited.affected, ''), transaction.title) as affected,
    awaited.name || ' for ' || awaited.key || ' has not come' as late"""

_KEPT = """
delete from deadline using flow
where deadline.due_at < now() and flow.id = deadline.flow_id
  and (flow.ended_at is not null or exists (
      select 1 from step where step.flow_id = deadline.flow_id and step.name = deadline.until))"""

_BROKEN = """
update deadline set overdue = true from flow
where deadline.due_at < now() and not deadline.overdue and flow.id = deadline.flow_id
returning deadline.flow_id, deadline.name, deadline.due_at, deadline.affected,
    deadline.kind as deadline, deadline.tier, deadline.owner, deadline.fix, flow.transaction_id,
    deadline.name || ' has not happened' as late"""

_RAISE = """
insert into task (id, transaction_id, flow_id, kind, reason, title, detail, affected, fix, owner,
actions, deadline, tier, due_at)
values ($1, $2, $3, 'overdue', 'overdue', $4, $5, $6, $7, $8, '{acknowledge}', $9, $10, $11)
on conflict do nothing"""

_ENTRY = """
insert into entry (transaction_id, flow_id, hop, kind, system, outcome, why)
values ($1, $2, $3, 'task', 'ledger', $4, $5)"""

_UNANSWERED = """
select 1 from task where status = 'open' and kind = 'decision' and due_at < now()
and escalated_at is null limit 1"""

_ESCALATE = """
update task set escalated_at = now() where id in (
    select id from task where status = 'open' and kind = 'decision' and due_at < now()
    and escalated_at is null order by due_at limit 100 for update skip locked)
returning id, transaction_id, flow_id, reason, title, deadline, tier, due_at, owner, affected,
    escalated_at"""


class Timers:
    """Looks at the clock of the database."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def tend(self) -> None:
        """Raise a task for each thing that is overdue; escalate what nobody answered in time."""
        async with self._database.connection() as connection, connection.transaction():
            late = await connection.fetch(_DUE)
            await connection.execute(_KEPT)
            late += await connection.fetch(_BROKEN)
            for row in late:
                await _raise_task(connection, row)
        if await self._database.row(_UNANSWERED):
            await self._writer.submit(Act(_escalate))


async def _raise_task(connection: "Connection[Record]", row: "Record") -> None:
    title = f"Overdue: {row['name']}"
    tier = f"; {row['tier']}" if row["tier"] else ""
    why = f"{row['late']} in time; it was due on {row['due_at']:%Y-%m-%d at %H:%M} UTC{tier}"
    story = row["transaction_id"]
    raised = await connection.execute(
        _RAISE,
        derived_id("task", row["flow_id"], row["name"], OVERDUE),
        story,
        row["flow_id"],
        title,
        why,
        row["affected"],
        row["fix"] or "ask the other side; the flow goes on by itself when it comes",
        row["owner"] or "supply-chain",
        row["deadline"],
        row["tier"],
        row["due_at"],
    )
    if raised.endswith(" 0"):  # a wait for one of several facts is overdue once
        return
    await connection.execute(_ENTRY, story, row["flow_id"], title, OVERDUE, why)
    await connection.execute("select pg_notify('suture_live', $1)", story)


async def _escalate(batch: Batch) -> None:
    """Mark, tell and publish each decision that is late: once, whichever worker comes first."""
    for row in await batch.connection.fetch(_ESCALATE):
        story, task = row["transaction_id"], row["id"]
        told = DecisionOverdue(task=task, **{name: row[name] for name in _TOLD})
        kind = kind_of(told)
        event = OutboxRow(
            derived_id("evt", task, kind.type),
            story,
            kind.type,
            task,
            encoded(told),
            told.facility,
            kind.data_class,
            row["flow_id"] or task,
        )
        hop = EntryRow(
            story,
            f"Escalated: {row['title']}",
            "task",
            "ledger",
            row["escalated_at"],
            flow_id=row["flow_id"],
            outcome="escalated",
            why=f"nobody decided by {row['due_at']:%Y-%m-%d %H:%M} UTC; asked of {row['owner']}",
        )
        batch.rows += (event, hop)
        batch.changed.add(story)
        batch.evidence.append(
            Evidence(
                kind="event",
                actor="suture",
                action=kind.type,
                outcome="published",
                object=task,
                transaction=story,
                detail={"owner": row["owner"], "tier": row["tier"]},
            )
        )
