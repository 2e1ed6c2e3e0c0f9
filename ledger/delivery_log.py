"""What came of a delivery, written down under the fence of the lease, with its evidence."""

import random

import msgspec

from canonical.task import TaskDraft
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.delivery_port import Outcome, Target
from ledger.delivery_settings import DeliverySettings
from ledger.due_rows import TaskRow
from ledger.ids import derived_id
from ledger.outbox import Event, Position, Wanted
from ledger.subscriptions import SUSPENDED

_ENDLESS = 2**31 - 1
_FENCE = "where id = $1 and owner = $2 and epoch = $3"

_DELIVERED = f"""
update subscription set committed_in = $4, position = $5, delivered = delivered + $6,
    attempts = 0, failing_since = null, last_error = '',
    attempted_at = now(), delivered_at = now(), run_at = now() + make_interval(secs => $7)
{_FENCE} returning 1"""

_GIVEN_BACK = f"""
update subscription set committed_in = $4, position = $5, owner = null, run_at = now() {_FENCE}"""

_FAILED = f"""
update subscription set
    attempts = attempts + 1, failing_since = coalesce(failing_since, now()), last_error = $4,
    attempted_at = now(), owner = null, run_at = now() + make_interval(secs => $5),
    status = case when $6 then 'disabled'
        when $7 or attempts + 1 >= $8
             or now() - coalesce(failing_since, now()) >= make_interval(secs => $9)
        then 'suspended' else status end
{_FENCE} returning status, attempts"""


class Lease(msgspec.Struct, kw_only=True):
    """A subscription in this worker's hands; `position` and `attempts` move with its work."""

    id: str
    name: str
    owner: str
    epoch: int
    attempts: int
    position: Position
    wanted: Wanted
    target: Target


async def delivered(lease: Lease, heard: list[Event], seconds: float, batch: Batch) -> bool:
    """Move the position behind what was heard; False where the lease is another's."""
    fence = (lease.id, lease.owner, lease.epoch)
    place = heard[-1].position
    kept = await batch.connection.fetchval(_DELIVERED, *fence, *place, len(heard), seconds)
    if kept is None:
        return False
    batch.evidence += [_evidence(lease, event, "delivered", {}) for event in heard]
    return True


async def given_back(lease: Lease, place: Position, batch: Batch) -> None:
    """End the lease: nothing is left to tell, or this process stops."""
    await batch.connection.execute(_GIVEN_BACK, lease.id, lease.owner, lease.epoch, *place)


async def failed(
    lease: Lease, event: Event, outcome: Outcome, settings: DeliverySettings, batch: Batch
) -> None:
    """Write down when to try again; or that nobody will, and who has to look."""
    row = await batch.connection.fetchrow(
        _FAILED,
        lease.id,
        lease.owner,
        lease.epoch,
        outcome.error,
        outcome.retry_after or pause_after(lease.attempts + 1, settings),
        outcome.gone,
        outcome.hopeless,
        # Who asks for patience is alive: no failure in a row; but it does not last for ever.
        settings.max_attempts if not outcome.retry_after else _ENDLESS,
        settings.give_up_hours * 3600,
    )
    if row is None:
        return
    detail = {"error": outcome.error, "attempt": str(row["attempts"])}
    batch.evidence.append(_evidence(lease, event, "failed", detail))
    if row["status"] != "active":
        draft = _task(lease, event, outcome, str(row["status"]), row["attempts"])
        task = derived_id("task", lease.id, str(lease.epoch), SUSPENDED)
        batch.rows.append(TaskRow.from_draft(task, draft, "stuck"))


def pause_after(attempt: int, settings: DeliverySettings) -> float:
    """Return how long to wait after a failed try: doubled each time, half of it by chance."""
    longest = settings.longest_retry_seconds
    ceiling = min(settings.retry_seconds * 2.0 ** min(attempt - 1, 20), longest)
    return ceiling / 2 + random.random() * ceiling / 2  # noqa: S311 - jitter, not a secret


def _task(lease: Lease, event: Event, outcome: Outcome, status: str, attempts: int) -> TaskDraft:
    said = "said that it wants no more" if outcome.gone else f"failed {attempts} times in a row"
    return TaskDraft(
        reason=SUSPENDED,
        subject=lease.id,
        title=f"Subscriber {status}: {lease.name}",
        detail=f"{said}, the last time with: {outcome.error}; next is {event.type} {event.id}",
        affected=f"subscription {lease.name} ({lease.id}); its events are kept",
        owner="integration",
        actions=("retry", "abandon"),
        fix="repair the subscriber, then retry: it goes on where it stopped; or skip this event"
        " with a reason (suture subscriptions); abandon to deliver no more",
    )


def _evidence(lease: Lease, event: Event, outcome: str, detail: dict[str, str]) -> Evidence:
    return Evidence(
        kind="event",
        actor=lease.name,
        action=f"deliver {event.type}",
        outcome=outcome,
        object=lease.id,
        transaction=event.transaction,
        detail={"event": event.id, **detail},
    )
