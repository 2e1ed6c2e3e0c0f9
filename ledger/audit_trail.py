"""Who did or saw what: append-only, hash-chained, one chain per writer.

A record's hash is SHA-256 over the hash before it, its chain, number, kind, transaction and bytes;
the
first hash of a chain is SHA-256 of the chain's name. A changed, missing or reordered record breaks
the chain there and is named. (Signed checkpoints, which also show a chain cut at its end, come with
the full ledger.)
"""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from ledger.database import Connection, Database
from ledger.ids import new_id
from ledger.rows import AuditRow, lock_number

if TYPE_CHECKING:
    import asyncpg

_encode = msgspec.json.Encoder().encode
_RECENT = """
select chain || ':' || seq as id, at, record from audit
where ($1 = '' or kind = $1) and ($2 = '' or transaction_id = $2)
  and ($3 = '' or replace(convert_from(record, 'UTF8'), $6, $7)::jsonb ->> 'actor' = $3)
  and ($4::timestamptz is null or at < $4)
order by at desc, seq desc limit $5"""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One record of the trail, without patient data.

    `kind` is one of the evidence kinds: call, message, transformation, approval, access, event,
    master-data, retention.
    """

    kind: str
    actor: str
    action: str
    outcome: str
    object: str = ""
    transaction: str = ""
    correlation_id: str = ""
    detail: dict[str, str] = {}


def next_hash(before: bytes, row: AuditRow) -> bytes:
    """Return the hash of `row` (its own `hash` is ignored) after the hash `before`."""
    head = f"{row.chain}\x1f{row.seq}\x1f{row.kind}\x1f{row.transaction_id or ''}\x1f".encode()
    return hashlib.sha256(before + head + row.record).digest()


def first_hash(chain: str) -> bytes:
    return hashlib.sha256(chain.encode()).digest()


class AuditChain:
    """The chain of one writer. `draw` adds records to a batch; only `settle` moves the head.

    Every batch is written under the chain's lock: who holds it and finds the drawn head on disk
    knows that the batch was committed, and otherwise that it was not.
    """

    def __init__(self) -> None:
        self.name = new_id("chain")
        self.lock = lock_number("chain", self.name)
        self._seq = self._drawn_seq = 0
        self._head = self._drawn_head = first_hash(self.name)

    def begin(self) -> None:
        """Forget what was drawn for a batch that was not committed."""
        self._drawn_seq, self._drawn_head = self._seq, self._head

    @property
    def has_drawn(self) -> bool:
        return self._drawn_seq > self._seq

    def draw(self, records: list[Evidence]) -> list[AuditRow]:
        """Return the rows that follow the settled head."""
        seq, head, rows = self._seq, self._head, list[AuditRow]()
        for record in records:
            seq += 1
            row = AuditRow(
                self.name, seq, record.kind, record.transaction or None, _encode(record), b""
            )
            head = next_hash(head, row)
            rows.append(row._replace(hash=head))
        self._drawn_seq, self._drawn_head = seq, head
        return rows

    def settle(self) -> None:
        """Move the head to what was drawn last: it is on disk."""
        self._seq, self._head = self._drawn_seq, self._drawn_head

    async def is_on_disk(self, connection: "Connection[asyncpg.Record]") -> bool:
        """Look whether what was drawn last is on disk; waits for a session that is still at it."""
        await connection.execute("select pg_advisory_xact_lock($1)", self.lock)
        found: bool = await connection.fetchval(
            "select exists (select 1 from audit where chain = $1 and seq = $2)",
            self.name,
            self._drawn_seq,
        )
        return found


class BrokenLink(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The first record of a chain that does not follow from the one before it."""

    chain: str
    seq: int
    reason: str


class AuditTrail:
    """Reads and verifies the trail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self) -> tuple[int, list[BrokenLink]]:
        """Walk every chain; return how many records were read, and each chain's first break."""
        count, broken = 0, dict[str, BrokenLink]()
        chain, seq, head = "", 0, b""
        async for row in self._walk():
            count += 1
            if row.chain != chain:
                chain, seq, head = row.chain, 0, first_hash(row.chain)
            if row.chain in broken:
                continue
            seq += 1
            head = next_hash(head, row)
            if row.seq != seq:
                reason = f"record {seq} is missing or out of order"
                broken[chain] = BrokenLink(chain=chain, seq=row.seq, reason=reason)
            elif head != row.hash:
                reason = "the record is not the one that was written"
                broken[chain] = BrokenLink(chain=chain, seq=row.seq, reason=reason)
        return count, list(broken.values())

    async def _walk(self) -> AsyncIterator[AuditRow]:
        async with self._database.connection() as connection, connection.transaction():
            sql = (
                "select chain, seq, kind, transaction_id, record, hash from audit"
                " order by chain, seq"
            )
            async for row in connection.cursor(sql, prefetch=1000):
                yield AuditRow(*row)

    async def recent(
        self,
        *,
        limit: int,
        kind: str = "",
        actor: str = "",
        transaction: str = "",
        before: datetime | None = None,
    ) -> list[tuple[str, datetime, Evidence]]:
        """Return (id, time, record), newest first; every filter left empty is open."""
        # A record that holds a NUL is JSON, and no jsonb: it must not end everybody's search.
        nul = ("\\u0000", "\\ufffd")
        rows = await self._database.rows(_RECENT, kind, transaction, actor, before, limit, *nul)
        return [
            (row["id"], row["at"], msgspec.json.decode(row["record"], type=Evidence))
            for row in rows
        ]
