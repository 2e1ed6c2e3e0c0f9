"""The outbox: what was published, in the one order in which every subscriber is told of it.

Events are written by the commit that caused them, many commits at once. A counter is drawn when a
row is written, not when it is committed: whoever reads «everything after 17» while 18 is on disk
and 17 is not yet would never see 17. So the order is (`committed_in`, `position`): the
transaction's own number (`pg_current_xact_id()`, drawn at its first write) before the row's. Read
are only rows of transactions below `pg_snapshot_xmin(pg_current_snapshot())`: each of those has
ended, none can come any more, so that a reader that stands at its last row has missed nothing. What
follows from an event follows it here too: its transaction begins after that of the event was
committed.

Two things to know. A transaction that stays open anywhere in the same PostgreSQL, having written
something, holds back what was published after it began: nothing is lost, it comes later. And the
numbers are those of one cluster: replication, failover and restored base backups keep them, a
logical copy (pg_dump) does not; after one, subscriptions are replayed from a time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from canonical.errors import InvalidRequest
from ledger.database import Database

if TYPE_CHECKING:
    from asyncpg import Record

_COLUMNS = (
    "o.id, o.committed_in, o.position, o.transaction_id, o.type, o.subject, o.body::text as body,"
    " o.facility, o.data_class, o.cause, o.at"
)
_ENDED = "pg_snapshot_xmin(pg_current_snapshot())"


def wanted_by(types: str, facilities: str, data_classes: str) -> str:
    """Return the condition, in SQL, that event `e` is wanted; the arguments are its expressions."""
    return (
        f"exists (select 1 from unnest({types}) t where e.type = t"
        " or (t like '%*' and starts_with(e.type, rtrim(t, '*'))))"
        f" and (cardinality({facilities}) = 0 or e.facility = any({facilities}))"
        f" and (cardinality({data_classes}) = 0 or e.data_class = any({data_classes}))"
    )


# One statement is one snapshot: the horizon is that of the rows.
_AFTER = f"""
select h.horizon, {_COLUMNS} from (select {_ENDED} horizon) h left join lateral (
    select * from outbox e
    where (e.committed_in, e.position) > ($1::xid8, $2) and e.committed_in < h.horizon
      and {wanted_by("$3::text[]", "$4::text[]", "$5::text[]")}
    order by e.committed_in, e.position limit $6) o on true
order by o.committed_in, o.position"""

_SINCE = """
select committed_in, position from outbox where at >= $1
order by committed_in, position limit 1"""

_UNSETTLED = f"select exists (select 1 from outbox where committed_in >= {_ENDED})"


class Position(NamedTuple):
    """A place in the order of events, written `812-45`: everything up to it is settled."""

    committed_in: int
    number: int

    def __str__(self) -> str:
        return f"{self.committed_in}-{self.number}"

    @classmethod
    def read(cls, text: str) -> "Position":
        """Return the position that `text` names; raises `InvalidRequest`."""
        first, dash, second = text.strip().partition("-")
        plain = first.isascii() and second.isascii() and first.isdigit() and second.isdigit()
        if not dash or not plain or max(len(first), len(second)) > 18:  # noqa: PLR2004 - below 2^63
            raise InvalidRequest(
                "not a position of the event stream", expected="such as 812-45, as events give it"
            )
        return cls(int(first), int(second))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events somebody is told of. `types` are whole types, or prefixes that end in `*`;
    empty facilities and classes are all of them.
    """

    types: tuple[str, ...]
    facilities: tuple[str, ...] = ()
    data_classes: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One published event. `body` is its payload as JSON, '' has no facility or no transaction."""

    id: str
    position: Position
    transaction: str
    type: str
    subject: str
    body: bytes
    facility: str
    data_class: str
    cause: str
    at: datetime


class Page(NamedTuple):
    """The next events, and how far one stands who has settled them: behind the last of a full
    page, else behind everything that has been committed.
    """

    events: list[Event]
    reached: Position


class Outbox:
    """Reads what was published; nobody changes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, position: Position, wanted: Wanted, *, limit: int) -> Page:
        """Return up to `limit` wanted events after `position`."""
        rows = await self._database.rows(
            _AFTER,
            *position,
            list(wanted.types),
            list(wanted.facilities),
            list(wanted.data_classes),
            limit,
        )
        events = [_event(row) for row in rows if row["id"] is not None]
        if len(events) == limit:
            return Page(events, events[-1].position)
        return Page(events, max(position, Position(rows[0]["horizon"], 0)))

    async def end(self) -> Position:
        """Return where somebody stands who wants only what comes from now on."""
        rows = await self._database.rows(f"select {_ENDED} as horizon")
        return Position(rows[0]["horizon"], 0)

    async def before(self, moment: datetime) -> Position:
        """Return the place just before the first event since `moment`."""
        row = await self._database.row(_SINCE, moment)
        if row is None:
            return await self.end()
        return Position(row["committed_in"], row["position"] - 1)

    async def is_unsettled(self) -> bool:
        """Whether something is committed that an older, open transaction still holds back."""
        rows: Sequence[Record] = await self._database.rows(_UNSETTLED)
        return bool(rows[0][0])


def _event(row: "Record") -> Event:
    return Event(
        id=row["id"],
        position=Position(row["committed_in"], row["position"]),
        transaction=row["transaction_id"] or "",
        type=row["type"],
        subject=row["subject"],
        body=str(row["body"]).encode(),
        facility=row["facility"],
        data_class=row["data_class"],
        cause=row["cause"],
        at=row["at"],
    )
