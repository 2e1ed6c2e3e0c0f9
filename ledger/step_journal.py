"""Which step ran with which input, output and version. Resume and replay read it; only the owner
writes it (`ledger/batch.py`): every write carries its owner and epoch, and one whose flow has been
taken over changes nothing.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ledger.batch import ClaimedFlow
from ledger.database import Database

if TYPE_CHECKING:
    from asyncpg import Record

_FIRST_SIGNAL = """
select id, event, facts, message_id, at from signal
where event = any($1::text[]) and key = $2
  and not exists (select 1 from taken where signal_id = signal.id and flow_id = $3)
order by id limit 1"""

_LATEST_RESULT = """
select result from flow
where transaction_id = $1 and name = $2 and status = 'done' and result is not null
order by coalesce((replay ->> 'arrival')::bigint, arrival) desc, arrival desc limit 1"""

_RESULTS = """
select result from flow
where transaction_id = $1 and name = $2 and status = 'done' and result is not null
  and not exists (select 1 from flow again
                  where again.replay_of = flow.id and again.status = 'done')
order by coalesce((replay ->> 'arrival')::bigint, arrival)"""

_ONE_BEFORE = """
select exists (
    select 1 from flow, flow me
    where me.id = $3 and flow.transaction_id = $1 and flow.name = $2 and flow.id <> me.id
      and flow.arrival < me.arrival and flow.status in ('queued', 'ready', 'waiting', 'stuck'))"""

_STARTED = """
select id, status, result from flow
where transaction_id = $1 and name = $2 and key = $3
  and not exists (select 1 from flow again where again.replay_of = flow.id) order by arrival"""
_LATEST_FACTS = """
select facts from flow where transaction_id = $1 and name = $2 and key = $3
order by arrival desc limit 1"""

# `run_at` is when somebody may run it: now, the time of the next try, or the end of a lease. Taking
# over a lease that ended is a crash: a flow that kills its workers must not do so for ever.
_CLAIM = """
with next as materialized (
    select id from flow
    where status = 'ready' and run_at <= now()
      and (crashes + (owner is not null)::int > 1) = $6
      and name || '/' || version = any($4::text[]) and id <> all($5::text[])
    order by run_at limit $3 for update skip locked)
update flow set owner = $1, epoch = epoch + 1, run_at = now() + make_interval(secs => $2),
    crashes = crashes + (owner is not null)::int
from next where flow.id = next.id
returning flow.id, transaction_id, message_id, name, version, key, facts, attempts, crashes, epoch,
    cancel, replay_of, replay, clock_timestamp() as claimed_at"""

# A row that is being written is left alone: waiting for it while other rows are held is how two
# statements block each other.
_RENEW = """
update flow set run_at = now() + make_interval(secs => $2)
where id in (
    select id from flow
    where id = any($3::text[]) and owner = $1 and status = 'ready'
    for update skip locked)
returning id"""


class StepJournal:
    """Claims flows and reads what is recorded of them."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    async def claim(
        self,
        owner: str,
        limit: int,
        known: list[str],
        in_hand: Sequence[str] = (),
        *,
        suspects: bool = False,
    ) -> list[ClaimedFlow]:
        """Take up to `limit` flows that may run now, of the versions this worker has.

        What it has `in_hand` runs already, even if its lease ended while PostgreSQL was away.
        `suspects` are those over which two workers have died: they are taken apart from all others.
        """
        asked = time.monotonic()
        # A claim that a crash of PostgreSQL forgets was nobody's: the owner is fenced.
        rows = await self._database.claimed(
            _CLAIM, owner, self._lease_seconds, limit, known, in_hand, suspects
        )
        return [_claimed(row, owner, asked, self._lease_seconds) for row in rows]

    async def renew(self, owner: str, flows: list[str]) -> tuple[float, set[str]]:
        """Hold on to the flows that are really in hand; the lease of any other may end.

        Returns which were renewed, and until when (`time.monotonic`).
        """
        ends = time.monotonic() + self._lease_seconds
        rows = await self._database.rows(_RENEW, owner, self._lease_seconds, flows)
        return ends, {row["id"] for row in rows}

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

    async def results(self, transaction: str, flow_name: str) -> list[str]:
        """Return what the finished flows of that name in the transaction came to, oldest first."""
        rows = await self._database.rows(_RESULTS, transaction, flow_name)
        return [str(row["result"]) for row in rows]

    async def is_one_before(self, transaction: str, flow_name: str, flow: str) -> bool:
        """Return whether an unfinished flow of that name arrived in the transaction before."""
        row = await self._database.row(_ONE_BEFORE, transaction, flow_name, flow)
        return row is not None and bool(row["exists"])

    async def started(self, transaction: str, flow_name: str, key: str) -> "list[Record]":
        """Return the flows of that name and business key in the transaction, oldest first."""
        return await self._database.rows(_STARTED, transaction, flow_name, key)

    async def facts_of(self, transaction: str, flow_name: str, key: str) -> str | None:
        """Return what the latest flow of that name and key in the transaction began with."""
        row = await self._database.row(_LATEST_FACTS, transaction, flow_name, key)
        return None if row is None else str(row["facts"])

    async def title_of(self, transaction: str) -> str:
        """Return what the transaction is called: who is affected, in the words of its document."""
        row = await self._database.row("select title from transaction where id = $1", transaction)
        return "" if row is None else str(row["title"])

    async def owner_of(self, kind: str, value: str) -> tuple[str, str]:
        """Return the flow that holds a claim, and its transaction."""
        row = await self._database.row(
            "select flow.id, flow.transaction_id from claim join flow on flow.id = claim.flow_id"
            " where kind = $1 and value = $2",
            kind,
            value,
        )
        return ("", "") if row is None else (row["id"], row["transaction_id"])


def _claimed(row: "Record", owner: str, asked: float, lease_seconds: float) -> ClaimedFlow:
    return ClaimedFlow(
        id=row["id"],
        transaction=row["transaction_id"],
        message=row["message_id"],
        name=row["name"],
        version=row["version"],
        key=row["key"],
        facts=row["facts"],
        attempts=row["attempts"],
        crashes=row["crashes"],
        owner=owner,
        epoch=row["epoch"],
        cancel=row["cancel"],
        replay_of=row["replay_of"],
        claimed_at=row["claimed_at"],
        asked_at=asked,
        lease_ends=asked + lease_seconds,
        replay=row["replay"],
    )
