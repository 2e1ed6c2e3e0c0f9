"""Tickets: what is shown to prove something, kept under the SHA-256 of its secret.

Each belongs to a family. One that is spent gives its place to its successors in the same commit;
one that is shown again after that was stolen, or is being replayed: its whole family ends. A family
may have a parent, with which it ends, and an owner, with whom all of theirs end.
"""

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from ledger.database import Connection, Database

if TYPE_CHECKING:
    import asyncpg

    Session = Connection[asyncpg.Record]

Spending = Literal["spent", "again", "over"]
"""`again`: it was spent before, and its family is ended now. `over`: unknown, expired or ended."""

_KEPT = timedelta(days=1)
"""How long a family is kept after its time: what is shown again late is still recognised."""
_FORGOTTEN_AT_ONCE = 50


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets with one fate. `owner` is '' until somebody answers for it."""

    id: str
    owner: str
    body: str
    began: datetime
    expires: datetime
    parent: str = ""
    ended: bool = False


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket to be issued; its secret is not kept."""

    kind: str
    secret: str
    expires: datetime


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket that was found."""

    family: Family
    expires: datetime
    spent: bool

    def holds(self, now: datetime) -> bool:
        """Whether it may still be used."""
        ended = self.spent or self.family.ended
        return not ended and now < min(self.expires, self.family.expires)


class Tickets:
    """Stores families and their tickets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, family: Family, *tickets: Ticket) -> None:
        """Begin a family; what is long past is forgotten."""
        async with self._database.connection() as session, session.transaction():
            await session.execute(_FORGET, family.began - _KEPT, _FORGOTTEN_AT_ONCE)
            await session.execute(
                "insert into ticket_family (id, owner, parent, body, began, expires)"
                " values ($1, $2, $3, $4, $5, $6)",
                family.id,
                family.owner,
                family.parent,
                family.body,
                family.began,
                family.expires,
            )
            await _issue(session, family.id, tickets)

    async def find(self, kind: str, secret: str) -> Shown | None:
        row = await self._database.row(_FIND, _digest(secret), kind)
        if row is None:
            return None
        return Shown(family=_family(row), expires=row["until"], spent=row["spent_at"] is not None)

    async def spend(
        self,
        kind: str,
        secret: str,
        now: datetime,
        *successors: Ticket,
        until: datetime | None = None,
    ) -> Spending:
        """Spend a ticket and issue its successors, or neither; of two at once, one succeeds.

        With `until`, its family lives until then.
        """
        digest = _digest(secret)
        async with self._database.connection() as session, session.transaction():
            row = await session.fetchrow(_LOCK, digest, kind)
            if row is None or row["ended_at"] is not None:
                return "over"
            if row["spent_at"] is not None:
                await session.execute(_END, row["id"], now, "shown again")
                return "again"
            if now >= min(row["until"], row["expires"]):
                return "over"
            await session.execute("update ticket set spent_at = $2 where digest = $1", digest, now)
            if until is not None:
                await session.execute(_PROLONG, row["id"], until)
            await _issue(session, row["id"], successors)
            return "spent"

    async def settle(self, family: Family, now: datetime) -> bool:
        """Give a family that has no owner its owner and body; of two at once, one succeeds."""
        done = await self._database.run(
            "update ticket_family set owner = $2, body = $3"
            " where id = $1 and owner = '' and ended_at is null and expires > $4",
            family.id,
            family.owner,
            family.body,
            now,
        )
        return done.endswith(" 1")

    async def prolong(self, secret: str, expires: datetime) -> None:
        """Let a ticket live longer than was said."""
        await self._database.run(
            "update ticket set expires = greatest(expires, $2) where digest = $1",
            _digest(secret),
            expires,
        )

    async def end(self, family: str, now: datetime, reason: str) -> list[Family]:
        """End a family and those that end with it; return those that had not ended before."""
        return [_family(row) for row in await self._database.rows(_END, family, now, reason)]

    async def end_of(self, owner: str, now: datetime, reason: str) -> list[Family]:
        """End all that somebody owns; return those that had not ended before."""
        rows = await self._database.rows(
            "update ticket_family set ended_at = $2, reason = $3"
            " where owner = $1 and owner <> '' and ended_at is null returning *",
            owner,
            now,
            reason,
        )
        return [_family(row) for row in rows]

    async def owned(self, owner: str, now: datetime) -> list[Family]:
        """Return what somebody owns and may still be used, oldest first."""
        rows = await self._database.rows(
            "select * from ticket_family where owner = $1 and owner <> '' and ended_at is null"
            " and expires > $2 order by began, id",
            owner,
            now,
        )
        return [_family(row) for row in rows]


_FORGET = """
delete from ticket_family where id in (
  select id from ticket_family where expires < $1 order by expires limit $2
  for update skip locked)"""
_FIND = """
select f.*, t.expires as until, t.spent_at from ticket t join ticket_family f on f.id = t.family
where t.digest = $1 and t.kind = $2"""
_LOCK = f"{_FIND} for update of f, t"
_PROLONG = "update ticket_family set expires = greatest(expires, $2) where id = $1"
_END = """
update ticket_family set ended_at = $2, reason = $3
where (id = $1 or (parent = $1 and parent <> '')) and ended_at is null returning *"""


async def _issue(session: "Session", family: str, tickets: tuple[Ticket, ...]) -> None:
    for ticket in tickets:
        await session.execute(
            "insert into ticket (digest, family, kind, expires) values ($1, $2, $3, $4)",
            _digest(ticket.secret),
            family,
            ticket.kind,
            ticket.expires,
        )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _family(row: "asyncpg.Record") -> Family:
    return Family(
        id=row["id"],
        owner=row["owner"],
        body=row["body"],
        began=row["began"],
        expires=row["expires"],
        parent=row["parent"],
        ended=row["ended_at"] is not None,
    )
