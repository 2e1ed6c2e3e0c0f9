"""Which step ran with which input, output and version. Resume and replay read it; only the owner
writes it.

Every write of a flow carries its owner and epoch. The fence is the first statement of the batch: a
write whose flow has been taken over changes nothing and is answered `LeaseLost`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ledger.audit_trail import Evidence
from ledger.database import Database
from ledger.rows import EntryRow, FlowRow, OutboxRow, Row, SignalRow, insert_rows
from ledger.writer import Batch

if TYPE_CHECKING:
    from asyncpg import Record

LEASE_SECONDS = 5.0

FlowStatus = Literal["ready", "waiting", "stuck", "done", "abandoned"]


class LeaseLost(Exception):
    """Another worker owns this flow now: stop at once, write nothing more."""


class ClaimedFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow under this worker's lease."""

    id: str
    transaction: str
    message: str | None
    name: str
    version: str
    key: str
    facts: str
    attempts: int
    owner: str
    epoch: int
    title: str


class FlowWrite(msgspec.Struct, kw_only=True):
    """What one flow writes at one moment: rows, and where it stands afterwards. All of it or
    nothing.
    """

    flow: ClaimedFlow
    rows: list[Row]
    status: FlowStatus | None = None
    wake_at: datetime | None = None
    attempts: int = 0
    failure: str | None = None
    result: str | None = None
    taken_signal: int | None = None
    stops_waiting: bool = False


_FENCE = """
update flow set
    lease_until = case when r.status is null then now() + make_interval(secs => $9) end,
    owner = case when r.status is null then flow.owner end,
    status = coalesce(r.status, flow.status),
    wake_at = r.wake_at, attempts = r.attempts, failure = r.failure::jsonb,
    result = coalesce(r.result::jsonb, flow.result),
    ended_at = case when r.status in ('done', 'abandoned') then now() end
from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::int[],
            $7::text[], $8::text[]) with ordinality
     as r(id, owner, epoch, status, wake_at, attempts, failure, result, place)
where flow.id = r.id and flow.owner = r.owner and flow.epoch = r.epoch
returning r.place"""

# A signal may have come while the flow was on its way to sleep: then it does not sleep.
_STAY_AWAKE = """
update flow set status = 'ready' from awaited, signal
where flow.id = any($1::text[]) and flow.status = 'waiting' and awaited.flow_id = flow.id
  and signal.event = awaited.event and signal.key = awaited.key
  and not exists (select 1 from taken where signal_id = signal.id and flow_id = flow.id)"""

_FIRST_SIGNAL = """
select id, event, facts, message_id, at from signal
where event = any($1::text[]) and key = $2
  and not exists (select 1 from taken where signal_id = signal.id and flow_id = $3)
order by id limit 1"""

_LATEST_RESULT = """
select result from flow
where transaction_id = $1 and name = $2 and status = 'done' and result is not null
order by arrival desc limit 1"""

# Taking over a lease that ended counts as a try: a flow that kills its workers must not do so for
# ever.
_CLAIM = """
update flow set owner = $1, epoch = epoch + 1, lease_until = now() + make_interval(secs => $2),
    attempts = attempts + (lease_until is not null)::int
from transaction
where transaction.id = flow.transaction_id and flow.id in (
    select f.id from flow f
    where f.status = 'ready' and (f.wake_at is null or f.wake_at <= now())
      and (f.lease_until is null or f.lease_until < now())
      and f.name || '/' || f.version = any($4::text[]) and f.id <> all($5::text[])
      and not exists (
          select 1 from flow earlier
          where earlier.name = f.name and earlier.key = f.key and earlier.arrival < f.arrival
            and earlier.status in ('ready', 'waiting', 'stuck'))
    order by f.arrival limit $3 for update skip locked)
returning flow.id, transaction_id, message_id, name, version, key, facts, attempts, epoch, title"""

# A row that is being written is left alone: that write renews its lease, and waiting for it while
# other rows are held is how two statements block each other.
_RENEW = """
update flow set lease_until = now() + make_interval(secs => $2)
where id in (
    select id from flow
    where id = any($3::text[]) and owner = $1 and status = 'ready' and lease_until is not null
    for update skip locked)"""


class StepJournal:
    """Claims flows, reads their recorded steps, and applies their writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, owner: str, limit: int, known: list[str], in_hand: Sequence[str] = ()
    ) -> list[ClaimedFlow]:
        """Take up to `limit` flows that may run now, of the versions this worker has.

        What it has `in_hand` runs already, even if its lease ended while PostgreSQL was away.
        """
        rows = await self._database.rows(_CLAIM, owner, LEASE_SECONDS, limit, known, in_hand)
        return [
            ClaimedFlow(
                id=row["id"],
                transaction=row["transaction_id"],
                message=row["message_id"],
                name=row["name"],
                version=row["version"],
                key=row["key"],
                facts=row["facts"],
                attempts=row["attempts"],
                owner=owner,
                epoch=row["epoch"],
                title=row["title"],
            )
            for row in rows
        ]

    async def renew(self, owner: str, flows: list[str]) -> None:
        """Hold on to the flows that are really in hand; the lease of any other may end."""
        await self._database.run(_RENEW, owner, LEASE_SECONDS, flows)

    async def recorded(self, flow: str) -> "list[Record]":
        """Return the steps of a flow in the order they were recorded."""
        return await self._database.rows(
            "select name, number, kind, output from step where flow_id = $1 order by number", flow
        )

    async def first_signal(self, events: list[str], key: str, flow: str) -> "Record | None":
        """Return the oldest signal of these events that the flow has not taken."""
        return await self._database.row(_FIRST_SIGNAL, events, key, flow)

    async def latest_result(self, transaction: str, flow_name: str) -> str | None:
        """Return what the latest finished flow of that name in the transaction came to."""
        row = await self._database.row(_LATEST_RESULT, transaction, flow_name)
        return None if row is None else str(row["result"])

    async def owner_of(self, kind: str, value: str) -> tuple[str, str]:
        """Return the flow that holds a claim, and its transaction."""
        row = await self._database.row(
            "select flow.id, flow.transaction_id from claim join flow on flow.id = claim.flow_id"
            " where kind = $1 and value = $2",
            kind,
            value,
        )
        return ("", "") if row is None else (row["id"], row["transaction_id"])

    async def apply(self, batch: Batch, writes: list[Any]) -> list[Any]:
        """Apply a batch of flow writes (called by the writer)."""
        held = await _fenced(batch, writes)
        kept = [write for place, write in enumerate(writes) if place in held]
        rows = [row for write in kept for row in write.rows]
        await insert_rows(batch.connection, rows)
        await _settle_waits(batch, kept)
        for write in kept:
            batch.changed.add(write.flow.transaction)
            batch.wakes = batch.wakes or write.status in ("done", "abandoned", "ready")
            batch.evidence += [_evidence(write.flow, row) for row in write.rows if _tells(row)]
        batch.wakes = batch.wakes or any(isinstance(row, (FlowRow, SignalRow)) for row in rows)
        return [None if place in held else LeaseLostAnswer for place in range(len(writes))]


LeaseLostAnswer = "lease-lost"
"""The answer to a fenced write; `Story` raises `LeaseLost` for it."""


async def _fenced(batch: Batch, writes: list[FlowWrite]) -> set[int]:
    rows = await batch.connection.fetch(
        _FENCE,
        [write.flow.id for write in writes],
        [write.flow.owner for write in writes],
        [write.flow.epoch for write in writes],
        [write.status for write in writes],
        [write.wake_at for write in writes],
        [write.attempts for write in writes],
        [write.failure for write in writes],
        [write.result for write in writes],
        LEASE_SECONDS,
    )
    return {row["place"] - 1 for row in rows}


async def _settle_waits(batch: Batch, writes: list[FlowWrite]) -> None:
    taken = [(write.taken_signal, write.flow.id) for write in writes if write.taken_signal]
    if taken:
        sql = "insert into taken values ($1, $2) on conflict do nothing"
        await batch.connection.executemany(sql, taken)
    over = [write.flow.id for write in writes if write.stops_waiting]
    if over:
        await batch.connection.execute("delete from awaited where flow_id = any($1::text[])", over)
    asleep = [write.flow.id for write in writes if write.status == "waiting"]
    if asleep:
        await batch.connection.execute(_STAY_AWAKE, asleep)
    ended = [write.flow.transaction for write in writes]
    await batch.connection.execute(
        "update transaction set changed_at = now() where id = any($1::text[])", ended
    )


def _tells(row: Row) -> bool:
    return isinstance(row, (EntryRow, OutboxRow))


def _evidence(flow: ClaimedFlow, row: Row) -> Evidence:
    if isinstance(row, EntryRow):
        return Evidence(
            kind="access" if row.kind == "disclose" else "transformation",
            actor=row.actor or flow.name,
            action=row.hop,
            outcome=row.outcome,
            object=row.system,
            transaction=flow.transaction,
            detail=msgspec.json.decode(row.versions, type=dict[str, str]),
        )
    return Evidence(
        kind="event",
        actor=flow.name,
        action=row.type if isinstance(row, OutboxRow) else "",
        outcome="published",
        transaction=flow.transaction,
    )
