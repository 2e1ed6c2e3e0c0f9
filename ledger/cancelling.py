"""Cancelling a flow: it goes no further, and what it did is undone in reverse order.

A flow that runs hears of it at its next record, one that sleeps, is stuck or has ended is woken for
it. What was asked of people is withdrawn.
"""

from datetime import datetime
from functools import partial

import msgspec

from canonical.errors import NotFound
from canonical.task import Resolution
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.catalogue import encoded
from ledger.rows import EntryRow, lock_number
from ledger.writer import Act


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants a flow cancelled, and why."""

    by: str
    reason: str


class FlowEnded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a cancelled flow: undone, or left as it is by a person."""

    flow: str
    undone: bool


# Of a flow that was replayed the replay counts: it knows what of both is to be undone.
_FLOW = """
with recursive line as (
    select id, 0 as depth from flow where id = $1
    union all
    select f.id, line.depth + 1 from flow f join line on f.replay_of = line.id)
select flow.id, name, key, transaction_id, status from line join flow on flow.id = line.id
order by depth desc limit 1"""

_CANCEL = """
update flow set cancel = $2::json, attempts = 0, crashes = 0, failure = null, ended_at = null,
    run_at = case when owner is null then now() else run_at end,
    status = case when status in ('waiting', 'stuck') then 'ready'
                  when status in ('queued', 'ready') then status
                  when exists (select 1 from flow e
                               where e.name = flow.name and e.key = flow.key
                                 and e.status in ('queued', 'ready', 'waiting', 'stuck'))
                  then 'queued' else 'ready' end
where id = $1 and cancel is null and status <> 'cancelled'
returning id"""

_AGAIN = """
update flow set status = 'ready', run_at = now(), attempts = 0, crashes = 0, failure = null
where id = $1 and cancel is not null and status = 'stuck'
returning id"""

_WITHDRAW = """
update task set status = 'resolved', resolved_at = now(), resolution = $2::jsonb
where flow_id = $1 and status = 'open'"""


def cancelling(flow: str, because: Cancellation, at: datetime) -> Act:
    """Return the act that has `flow` cancelled. Harmless when it is cancelled already."""
    return Act(partial(_cancel, flow, because, at))


async def _cancel(flow: str, because: Cancellation, at: datetime, batch: Batch) -> None:
    connection = batch.connection
    row = await connection.fetchrow(_FLOW, flow)
    if row is None:
        raise NotFound("no such flow", where=flow)
    flow = row["id"]
    # The end of a flow promotes the next of its key: the two must not pass each other unseen.
    await connection.execute(
        "select pg_advisory_xact_lock($1)", lock_number("queue", row["name"], row["key"])
    )
    taken: str | None = await connection.fetchval(_CANCEL, flow, encoded(because))
    again: str | None = None
    if taken is None:
        again = await connection.fetchval(_AGAIN, flow)
    if taken is not None or again is not None:
        answer = Resolution(action="compensate", by=because.by, reason=because.reason)
        await connection.execute(_WITHDRAW, flow, encoded(answer))
    if taken is not None:
        await connection.execute("delete from awaited where flow_id = $1", flow)
        hop = EntryRow(row["transaction_id"], f"cancel {row['name']}", "cancel", "ledger", at)
        batch.rows.append(hop._replace(flow_id=flow, actor=because.by, why=because.reason))
        batch.evidence.append(
            Evidence(
                kind="approval",
                actor=because.by,
                action=f"cancel {row['name']}",
                outcome="undoing",
                object=flow,
                transaction=row["transaction_id"],
                detail={"reason": because.reason, "was": row["status"]},
            )
        )
    batch.wakes = True
    batch.changed.add(row["transaction_id"])
