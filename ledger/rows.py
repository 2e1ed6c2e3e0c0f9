"""The rows of a batch. Each class is a composite type of the migrations, field for field: a batch
goes to PostgreSQL as one call with one array a kind.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.audit.evidence import AuditRow
from ledger.due_rows import AwaitedRow, DeadlineRow, TaskRow

if TYPE_CHECKING:
    import asyncpg

    from ledger.database import Connection


class FenceRow(NamedTuple):
    """Who writes for a flow, and where the flow stands afterwards (`touch`: it changes at all)."""

    id: str
    owner: str
    epoch: int
    touch: bool = False
    unwinding: bool = False
    status: str | None = None
    run_in: float = 0.0
    attempts: int = 0
    failure: str | None = None
    result: str | None = None


class MessageRow(NamedTuple):
    """A document that came in; its body is sealed."""

    id: str
    channel: str
    kind: str
    party: str
    identity: str | None
    control_id: str
    digest: bytes
    sealed: bytes
    answer: bytes
    status: str


class TransactionRow(NamedTuple):
    id: str
    title: str


class ReferenceRow(NamedTuple):
    kind: str
    value: str
    transaction_id: str


class FlowRow(NamedTuple):
    """A flow that begins: `behind` another one of its key in this batch, or a replay of one."""

    id: str
    transaction_id: str
    message_id: str | None
    name: str
    version: str
    key: str
    facts: str
    behind: bool = False
    replay_of: str | None = None
    replay_from: int = 0


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


class OutboxRow(NamedTuple):
    # One event for subscribers; `cause` is the document or flow that led to it.
    id: str
    transaction_id: str
    type: str
    subject: str
    body: str
    facility: str
    data_class: str
    cause: str


class ContextRow(NamedTuple):
    token: str
    sealed: bytes


class ClaimRow(NamedTuple):
    kind: str
    value: str
    flow_id: str


class QueueRow(NamedTuple):
    """The queue of a business key: when its head has ended the next one may run."""

    name: str
    key: str


class TakenRow(NamedTuple):
    signal_id: int
    flow_id: str


class ReleaseRow(NamedTuple):
    """A claimed name that is free again, where this transaction holds it."""

    kind: str
    value: str
    transaction_id: str


Row = (
    FenceRow
    | ContextRow
    | TransactionRow
    | ReferenceRow
    | FlowRow
    | StepRow
    | ClaimRow
    | EntryRow
    | SignalRow
    | AwaitedRow
    | DeadlineRow
    | TaskRow
    | OutboxRow
    | AuditRow
    | QueueRow
    | TakenRow
    | ReleaseRow
)

_ORDER: tuple[type[Row], ...] = (
    *(FenceRow, ContextRow, TransactionRow, ReferenceRow, FlowRow, StepRow, ClaimRow, EntryRow),
    *(SignalRow, AwaitedRow, TaskRow, OutboxRow, AuditRow, QueueRow, TakenRow, ReleaseRow),
)
"""The arguments of `keep` in migration 0002 (the locks come first, two lists of flows last)."""

_PROMISE = f"""
insert into deadline ({", ".join(DeadlineRow._fields)})
values ({", ".join(f"${n}" for n in range(1, len(DeadlineRow._fields) + 1))})
on conflict do nothing"""

_KEEP = f"select * from keep({', '.join(f'${n}' for n in range(1, len(_ORDER) + 4))})"


def lock_number(*parts: str) -> int:
    """Return the number of the advisory lock that stands for a name."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def locks_of(rows: Iterable[Row]) -> set[int]:
    """Return the locks under which rows are written: of queues, and of what is waited for.

    A flow sees every earlier one of its key, and who falls asleep every signal that has come,
    because each looks under the lock under which the other was written.
    """
    locks = set[int]()
    for row in rows:
        if isinstance(row, FlowRow | QueueRow):
            locks.add(lock_number("queue", row.name, row.key))
        elif isinstance(row, SignalRow | AwaitedRow):
            locks.add(lock_number("signal", row.event, row.key))
    return locks


async def keep_rows(
    connection: "Connection[asyncpg.Record]",
    rows: Sequence[Row],
    *,
    locks: Iterable[int] = (),
    over: Sequence[str] = (),
    asleep: Sequence[str] = (),
) -> list[tuple[int, bool]]:
    """Write all rows in one call; return (place, somebody wants it cancelled) of each fence held.

    Where a fence was not held, nothing is written. `over` wait no more, `asleep` fall asleep.
    """
    arrays: dict[type[Row], list[Row]] = defaultdict(list)
    for row in rows:
        arrays[type(row)].append(row)
    if DeadlineRow in arrays:  # a flow that is not written after all says it again: no harm
        await connection.executemany(_PROMISE, arrays[DeadlineRow])
    if FlowRow in arrays:
        arrays[FlowRow], queues = _in_queues(arrays[FlowRow])
        arrays[QueueRow] += queues
    wanted = sorted({*locks, *locks_of(rows)})
    values: list[Any] = [wanted, *(arrays[kind] for kind in _ORDER), list(over), list(asleep)]
    held = await connection.fetch(_KEEP, *values)
    return [(row["place"] - 1, row["cancelled"]) for row in held]


def _in_queues(flows: list[Any]) -> tuple[list[Row], list[Row]]:
    """Mark who comes behind another of this batch; their queues are looked at once more.

    (The one ahead may turn out to have begun long ago, and have ended.)
    """
    seen, placed, queues = set[QueueRow](), list[Row](), set[QueueRow]()
    for flow in flows:
        queue = QueueRow(flow.name, flow.key)
        if queue in seen:
            queues.add(queue)
        placed.append(flow._replace(behind=queue in seen))
        seen.add(queue)
    return placed, list(queues)
