"""Who is told what: each subscription is a queue of its own, which is one position in the outbox.

A person's change (suspend, resume, replay, skip, rotate) raises the epoch: a worker that is in the
middle of a delivery for it can write nothing more, and whoever comes next reads what holds now.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from canonical.clock import Clock
from canonical.errors import InvalidRequest, NotFound, StateConflict
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.database import Database
from ledger.ids import new_id
from ledger.outbox import Event, Outbox, Position, Wanted, wanted_by
from ledger.subscription_secrets import KeptSecret, SecretBox, new_secret
from ledger.vault import Vault
from ledger.writer import Act, Writer

if TYPE_CHECKING:
    from asyncpg import Record

SUSPENDED = "subscription-suspended"
"""The reason of the task that a suspension raises; its subject is the subscription."""

SubscriberKind = Literal["webhook", "stream"]
SubscriptionStatus = Literal["active", "suspended", "disabled"]
ROTATION_HOURS = 24.0
_MOST_COUNTED = 10_000

_INSERT = """
insert into subscription (id, name, kind, target, types, facilities, data_classes, secrets,
                          committed_in, position, created_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict do nothing returning 1"""

_FREE = "epoch = epoch + 1, owner = null, run_at = now()"
_FORGIVE = "attempts = 0, failing_since = null, last_error = ''"

_SETTLE = f"""
update task set status = 'resolved', resolved_at = now(), resolution = $2
where subject = $1 and reason = '{SUSPENDED}' and status = 'open'"""

_LISTED = f"""
select s.*, b.backlog, b.oldest_at from subscription s cross join lateral (
    select count(*) as backlog, min(at) as oldest_at from (
        select * from outbox later
        where (later.committed_in, later.position) > (s.committed_in, s.position)
        order by later.committed_in, later.position limit {_MOST_COUNTED}) e
    where {wanted_by("s.types", "s.facilities", "s.data_classes")}) b
where $1 = '' or s.id = $1 order by s.created_at"""


class SubscriptionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Without `since` it begins with what is published from now on."""

    name: str
    kind: SubscriberKind
    target: str
    wanted: Wanted
    since: datetime | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One subscription and where it stands. `backlog` counts what it wants of the 10,000 events
    behind its position; `oldest_at` is when the first of them was published; `attempts` are those
    in a row that failed.
    """

    id: str
    name: str
    kind: SubscriberKind
    target: str
    types: tuple[str, ...]
    facilities: tuple[str, ...]
    data_classes: tuple[str, ...]
    status: SubscriptionStatus
    position: str
    replays: int
    backlog: int
    delivered: int
    attempts: int
    last_error: str
    created_by: str
    created_at: datetime
    next_attempt_at: datetime
    oldest_at: datetime | None = None
    failing_since: datetime | None = None
    attempted_at: datetime | None = None
    delivered_at: datetime | None = None

    @property
    def wanted(self) -> Wanted:
        return Wanted(types=self.types, facilities=self.facilities, data_classes=self.data_classes)


class Subscriptions:
    """Keeps subscriptions; every change is audited under the name of who made it."""

    def __init__(self, database: Database, writer: Writer, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._box = SecretBox(vault)
        self._clock = clock
        self._outbox = Outbox(database)

    async def listed(self) -> list[Subscription]:
        return [_subscription(row) for row in await self._database.rows(_LISTED, "")]

    async def one(self, subscription: str) -> Subscription:
        rows = await self._database.rows(_LISTED, subscription) if subscription else []
        if not rows:
            raise NotFound("no such subscription", where=subscription)
        return _subscription(rows[0])

    async def add(self, draft: SubscriptionDraft, *, by: str) -> tuple[Subscription, str]:
        """Subscribe; return the subscription and its secret, which nobody can read again."""
        subscription = new_id("sub")
        secret = new_secret() if draft.kind == "webhook" else ""
        kept = (KeptSecret(value=secret),) if secret else ()
        wanted = draft.wanted
        start = await (self._outbox.before(draft.since) if draft.since else self._outbox.end())
        values = (
            subscription,
            draft.name,
            draft.kind,
            draft.target,
            list(wanted.types),
            list(wanted.facilities),
            list(wanted.data_classes),
            self._box.seal(subscription, kept),
            *start,
            by,
        )

        async def insert(batch: Batch) -> None:
            if await batch.connection.fetchval(_INSERT, *values) is None:
                raise StateConflict("another subscription has this stream", where="$.target")
            batch.evidence.append(_evidence(subscription, by, "subscribe", draft.target))

        await self._writer.submit(Act(insert))
        return await self.one(subscription), secret

    async def suspend(self, subscription: str, *, by: str, reason: str) -> Subscription:
        """Deliver nothing until it is resumed."""
        kept = "status = 'suspended', last_error = $2"
        await self._change(subscription, "suspend", kept, reason, by=by, reason=reason)
        return await self.one(subscription)

    async def resume(self, subscription: str, *, by: str, reason: str = "") -> Subscription:
        """Go on where it stopped, at once; a task that its suspension raised is settled."""
        act = partial(resume_within, subscription=subscription, by=by, reason=reason)
        await self._writer.submit(Act(act))
        return await self.one(subscription)

    async def disable(self, subscription: str, *, by: str, reason: str) -> Subscription:
        """Deliver no more. It can be resumed: nothing is forgotten."""
        kept = "status = 'disabled', last_error = $2"
        await self._change(subscription, "disable", kept, reason, by=by, reason=reason)
        return await self.one(subscription)

    async def replay(
        self, subscription: str, since: "datetime | Position", *, by: str, reason: str = ""
    ) -> Subscription:
        """Tell again everything since a time, or after a position; events keep their ids."""
        place = since if isinstance(since, Position) else await self._outbox.before(since)
        kept = "committed_in = $2, position = $3, generation = generation + 1"
        why = f"from {place}. {reason}".strip()
        await self._change(subscription, "replay", kept, *place, by=by, reason=why)
        return await self.one(subscription)

    async def skip(self, subscription: str, event: str, *, by: str, reason: str) -> Subscription:
        """Leave out the event that is next, for this subscription only, and go on."""
        if not reason.strip():
            raise InvalidRequest("a reason is needed", where="$.reason", expected="why, in words")
        known = await self.one(subscription)
        page = await self._outbox.after(Position.read(known.position), known.wanted, limit=1)
        if not page.events or page.events[0].id != event:
            held = page.events[0].id if page.events else "nothing waits"
            raise StateConflict(
                "only the event that is next can be skipped", where=event, expected=held
            )
        act = partial(_skip_within, known=known, told=page.events[0], by=by, reason=reason)
        await self._writer.submit(Act(act))
        return await self.one(subscription)

    async def rotate(self, subscription: str, *, by: str, hours: float = ROTATION_HOURS) -> str:
        """Return a new secret; for these hours the old one signs beside it."""
        fresh = KeptSecret(value=new_secret())
        row = await self._database.row(
            "select kind, secrets from subscription where id = $1", subscription
        )
        if row is None or row["kind"] != "webhook":
            raise NotFound("no such webhook subscription", where=subscription)
        now = self._clock()
        ends = now + timedelta(hours=hours)
        before = self._box.open(subscription, bytes(row["secrets"]))
        old = tuple(
            msgspec.structs.replace(each, until=each.until or ends)
            for each in before
            if each.until is None or each.until > now
        )
        sealed = self._box.seal(subscription, (fresh, *old))
        kept = "secrets = $2"
        await self._change(subscription, "rotate the secret", kept, sealed, by=by, reason="")
        return fresh.value

    async def _change(
        self, subscription: str, action: str, kept: str, *values: object, by: str, reason: str
    ) -> None:
        async def change(batch: Batch) -> None:
            sql = f"update subscription set {kept}, {_FREE} where id = $1 returning 1"
            if await batch.connection.fetchval(sql, subscription, *values) is None:
                raise NotFound("no such subscription", where=subscription)
            batch.evidence.append(_evidence(subscription, by, action, reason))

        await self._writer.submit(Act(change))


async def resume_within(batch: Batch, *, subscription: str, by: str, reason: str) -> None:
    """Resume a subscription in a batch that is being written, and settle its open task."""
    sql = (
        f"update subscription set status = 'active', {_FORGIVE}, {_FREE} where id = $1 returning 1"
    )
    if await batch.connection.fetchval(sql, subscription) is None:
        raise NotFound("no such subscription", where=subscription)
    answer = {"action": "retry", "by": by, "reason": reason}
    await batch.connection.execute(_SETTLE, subscription, msgspec.json.encode(answer).decode())
    batch.evidence.append(_evidence(subscription, by, "resume", reason))


async def _skip_within(
    batch: Batch, *, known: Subscription, told: Event, by: str, reason: str
) -> None:
    """Move the position behind the event, where it still stands before it, and go on."""
    before = Position.read(known.position)
    sql = (
        "update subscription set committed_in = $2, position = $3"
        " where id = $1 and (committed_in, position) = ($4::xid8, $5) returning 1"
    )
    moved = await batch.connection.fetchval(sql, known.id, *told.position, *before)
    if moved is None:
        raise StateConflict("the subscription has moved on meanwhile", where=told.id)
    batch.evidence.append(_evidence(known.id, by, f"skip {told.type} {told.id}", reason))
    await resume_within(batch, subscription=known.id, by=by, reason=reason)


async def disable_within(batch: Batch, *, subscription: str, by: str, reason: str) -> None:
    """Disable a suspended subscription in a batch that is being written."""
    sql = f"update subscription set status = 'disabled', {_FREE} where id = $1"
    await batch.connection.execute(sql, subscription)
    batch.evidence.append(_evidence(subscription, by, "disable", reason))


def _evidence(subscription: str, by: str, action: str, reason: str) -> Evidence:
    return Evidence(
        kind="access",
        actor=by,
        action=f"subscription: {action}",
        outcome="done",
        object=subscription,
        detail={"reason": reason} if reason else {},
    )


def _subscription(row: "Record") -> Subscription:
    told: dict[str, Any] = {name: row[name] for name in _AS_THEY_ARE}
    return Subscription(
        **told,
        types=tuple(row["types"]),
        facilities=tuple(row["facilities"]),
        data_classes=tuple(row["data_classes"]),
        position=str(Position(row["committed_in"], row["position"])),
        replays=row["generation"],
        next_attempt_at=row["run_at"],
    )


_AS_THEY_ARE = (
    *("id", "name", "kind", "target", "status", "backlog", "delivered", "attempts", "last_error"),
    *("created_by", "created_at", "oldest_at", "failing_since", "attempted_at", "delivered_at"),
)
