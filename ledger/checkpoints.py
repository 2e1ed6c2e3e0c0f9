"""Making checkpoints: one process at a time states how far every chain has come, and signs it.

Heads are read in one statement, thus in one snapshot: what is stated is committed. Whoever changes
the tables afterwards contradicts what is signed; whoever removes the newest checkpoints as well is
found by what was written down elsewhere: the log has the number and hash of each.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from canonical.errors import Failure, InternalFault
from ledger.audit.checkpoint import (
    FORMAT,
    ChainHead,
    Checkpoint,
    Floor,
    SignedCheckpoint,
    encode,
)
from ledger.audit.keys import AuditKeys, PublicKey, Signing
from ledger.database import Connection, Database

if TYPE_CHECKING:
    import asyncpg

    Session = Connection[asyncpg.Record]

log = logging.getLogger("suture.audit")

_LOOKS = 12
"""How often a worker looks, in the time between two checkpoints, whether one is due."""
_LOCK = 7_405_160_130
_LAST = "select number, body, signature from checkpoint order by number desc limit 1"
_MOVED = """
select c.chain, h.seq, encode(h.hash, 'hex') as hash, c.covered from audit_chain c
cross join lateral (
    select seq, hash from audit a
    where a.chain = c.chain and a.at >= c.since and a.at < c.until order by seq desc limit 1
) h where h.seq > c.covered order by c.chain"""
_COVERED = """
update audit_chain set covered = n.seq from unnest($1::text[], $2::bigint[]) n(chain, seq)
where audit_chain.chain = n.chain"""
_AHEAD = (
    "select make_audit_month(now() + n * interval '1 month') from generate_series(0, 2) n"
    " where to_regclass('audit_' || to_char((now() + n * interval '1 month')"
    " at time zone 'UTC', 'YYYYMM')) is null"
)
_FIX = "put the key that signed it back (keys/audit.jwks, or SUTURE_AUDIT_KEY)"


class Checkpoints:
    """Makes and reads checkpoints. Without keys none are made."""

    def __init__(
        self,
        database: Database,
        keys: Callable[[], AuditKeys] | None,
        interval_seconds: float = 60.0,
    ) -> None:
        self._keys = keys
        self._database = database
        self._interval = interval_seconds
        self._due = 0.0

    @property
    def keys(self) -> AuditKeys | None:
        """The keys as they are kept now: who rotates them may be another process."""
        return self._keys() if self._keys else None

    async def tend(self) -> None:
        """Make one when it is time. What stands in the way is logged: the trail itself goes on."""
        now = asyncio.get_running_loop().time()
        if self._keys is None or now < self._due:
            return
        self._due = now + self._interval / _LOOKS
        try:
            made = await self.make(unless_within=self._interval)
        except Failure as failure:
            log.warning("no audit checkpoint: %s; %s", failure, failure.fix)
            return
        if made is not None:
            log.info("audit checkpoint %s:%s", made.number, made.hash)

    async def make(self, *, unless_within: float = 0.0) -> SignedCheckpoint | None:
        """Sign how far every chain has come; None where none has moved, or another is at it.

        With `unless_within` seconds, also none where the newest one is younger.
        """
        await self._database.run(_AHEAD)
        async with self._database.connection() as connection, connection.transaction():
            if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", _LOCK):
                return None
            if unless_within and await _is_young(connection, unless_within):
                return None
            return await self.state(connection)

    async def signing(self) -> Signing | None:
        """Return the key in force, where it is here."""
        async with self._database.connection() as connection:
            last = await _last(connection)
        told = last.read() if last else None
        keys = self.keys
        if keys is None or told is None:
            return None
        return keys.signing(told.announces.id if told.announces else told.key)

    async def announce(self, successor: PublicKey) -> SignedCheckpoint:
        """Sign, with the key in force, that `successor` signs from now on."""
        async with self.alone() as session:
            made = await self.state(session, announces=successor)
            if made is None:
                raise InternalFault("an announcement is always something to sign")
            return made

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator["Session"]:
        """Give a transaction in which nobody else makes a checkpoint."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
            yield connection

    async def state(
        self,
        session: "Session",
        *,
        floors: tuple[Floor, ...] = (),
        announces: PublicKey | None = None,
    ) -> SignedCheckpoint | None:
        """Write the next checkpoint in a transaction that holds the lock; None with nothing new."""
        last = await _last(session)
        heads = await session.fetch(_MOVED)
        if not heads and not floors and announces is None:
            return None
        told = last.read() if last else None
        if last and told is None:
            raise InternalFault(
                f"checkpoint {last.number} cannot be read", fix="run: suture audit verify"
            )
        signing, first = self._signing(told)
        new = sum(1 for row in heads if row["covered"] == 0)
        body = encode(
            Checkpoint(
                version=FORMAT,
                number=last.number + 1 if last else 1,
                at=_written(await session.fetchval("select clock_timestamp()")),
                previous=last.hash if last else "",
                key=signing.public.id,
                count=(told.count if told else 0) + new,
                chains=tuple(ChainHead(row["chain"], row["seq"], row["hash"]) for row in heads),
                floors=floors,
                announces=first or announces,
            )
        )
        made = SignedCheckpoint(last.number + 1 if last else 1, body, signing.checkpoint(body))
        await session.execute("insert into checkpoint values ($1, $2, $3)", *made)
        chains = [row["chain"] for row in heads]
        await session.execute(_COVERED, chains, [row["seq"] for row in heads])
        return made

    def _signing(self, told: Checkpoint | None) -> tuple[Signing, PublicKey | None]:
        """Return the key that must sign next, and what the first checkpoint announces."""
        keys = self.keys
        if keys is None:
            raise InternalFault("there is no audit key here to sign with", fix=_FIX)
        if told is None:
            first = keys.first
            wanted = first.id
        else:
            first = None
            wanted = told.announces.id if told.announces else told.key
        signing = keys.signing(wanted)
        if signing is None:
            raise InternalFault(f"the audit key {wanted} is not here", fix=_FIX)
        return signing, first


async def _last(session: "Session") -> SignedCheckpoint | None:
    row = await session.fetchrow(_LAST)
    return SignedCheckpoint(*row) if row else None


async def _is_young(session: "Session", seconds: float) -> bool:
    last = await _last(session)
    told = last.read() if last else None
    now: datetime = await session.fetchval("select clock_timestamp()")
    return told is not None and _written(now - timedelta(seconds=seconds)) < told.at


def _written(at: datetime) -> str:
    """Return RFC 3339 with microseconds: in the order of time, and of its letters."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
