"""The rows the group-commit writer inserts, and how they are inserted many at a time."""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from canonical.task import TaskDraft

if TYPE_CHECKING:
    import asyncpg

    from ledger.database import Connection


class TransactionRow(NamedTuple):
    id: str
    title: str


class ReferenceRow(NamedTuple):
    kind: str
    value: str
    transaction_id: str


class FlowRow(NamedTuple):
    id: str
    transaction_id: str
    message_id: str | None
    name: str
    version: str
    key: str
    facts: str


class StepRow(NamedTuple):
    flow_id: str
    name: str
    number: int
    kind: str
    output: str


class EntryRow(NamedTuple):
    """One hop. `input` and `output` are JSON without patient data; `versions` what ran."""

    transaction_id: str
    hop: str
    kind: str
    system: str
    at: datetime
    flow_id: str | None = None
    message_id: str | None = None
    outcome: str = "done"
    input: str | None = None
    output: str | None = None
    versions: str = "{}"
    actor: str = ""
    why: str = ""
    milliseconds: float = 0.0


class SignalRow(NamedTuple):
    transaction_id: str
    message_id: str | None
    event: str
    key: str
    facts: str


class AwaitedRow(NamedTuple):
    flow_id: str
    name: str
    event: str
    key: str
    due_at: datetime | None
    affected: str


class TaskRow(NamedTuple):
    id: str
    transaction_id: str | None
    flow_id: str | None
    message_id: str | None
    kind: str
    reason: str
    subject: str
    title: str
    detail: str
    affected: str
    fix: str
    owner: str
    actions: list[str]

    @classmethod
    def from_draft(
        cls,
        task: str,
        draft: TaskDraft,
        kind: str,
        *,
        transaction: str | None = None,
        flow: str | None = None,
        message: str | None = None,
    ) -> "TaskRow":
        """Return the row of a drafted task."""
        return cls(
            task,
            transaction,
            flow,
            message,
            kind,
            draft.reason,
            draft.subject,
            draft.title,
            draft.detail,
            draft.affected,
            draft.fix,
            draft.owner,
            list(draft.actions),
        )


class OutboxRow(NamedTuple):
    id: str
    transaction_id: str
    type: str
    subject: str
    body: str


class ContextRow(NamedTuple):
    token: str
    sealed: bytes


class ClaimRow(NamedTuple):
    kind: str
    value: str
    flow_id: str


Row = (
    TransactionRow
    | ReferenceRow
    | FlowRow
    | StepRow
    | EntryRow
    | SignalRow
    | AwaitedRow
    | TaskRow
    | OutboxRow
    | ContextRow
    | ClaimRow
)

# In the order of the foreign keys. Everything that a resumed flow may say again is harmless twice.
_TABLES: tuple[tuple[type[Row], str, bool], ...] = (
    (ContextRow, "sealed_context", True),
    (TransactionRow, "transaction", True),
    (ReferenceRow, "reference", True),
    (FlowRow, "flow", True),
    (StepRow, "step", False),
    (ClaimRow, "claim", True),
    (EntryRow, "entry", False),
    (SignalRow, "signal", False),
    (AwaitedRow, "awaited", True),
    (TaskRow, "task", True),
    (OutboxRow, "outbox", True),
)


def _insert(kind: type[Row], table: str, *, repeatable: bool) -> str:
    columns = ", ".join(kind._fields)
    values = ", ".join(f"${n}" for n in range(1, len(kind._fields) + 1))
    again = " on conflict do nothing" if repeatable else ""
    return f"insert into {table} ({columns}) values ({values}){again}"


_WAKE = """
update flow set status = 'ready', wake_at = null
from awaited where awaited.flow_id = flow.id and flow.status = 'waiting'
               and awaited.event = $1 and awaited.key = $2"""

# A place in a queue is taken under its lock, held until the commit: a flow that is seen has every
# earlier one of its key before it, whichever process began that one.
_QUEUE = """
select pg_advisory_xact_lock(n) from
(select distinct hashtextextended(n, 11) n from unnest($1::text[]) n order by 1) locks(n)"""

_INSERTS = {kind: _insert(kind, table, repeatable=again) for kind, table, again in _TABLES}


async def insert_rows(connection: "Connection[asyncpg.Record]", rows: list[Row]) -> None:
    """Insert all rows, one pipelined statement a table, parents first."""
    queues = {f"{row.name}\x1f{row.key}" for row in rows if isinstance(row, FlowRow)}
    if queues:
        await connection.execute(_QUEUE, list(queues))
    by_kind: dict[type[Row], list[Row]] = {}
    for row in rows:
        by_kind.setdefault(type(row), []).append(row)
    for kind, sql in _INSERTS.items():
        if kind in by_kind:
            await connection.executemany(sql, by_kind[kind])
    signals = [row for row in rows if isinstance(row, SignalRow)]
    if signals:
        await connection.executemany(_WAKE, [(row.event, row.key) for row in signals])
