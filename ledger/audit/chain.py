"""Chains of records, one for each writer and month: hashing and writing.

    digest = SHA-256(chain, number, time in microseconds, the record's bytes)
    hash   = SHA-256(hash before, digest); before the first record: SHA-256(the chain's name)

So a record may be left out of an export, and its digest alone still carries the chain across the
gap. Kind, transaction and actor are columns for searching; the record says them itself.

Chains named `chain_…` are of the first kind, which hashed the record in one go and without its
time. They are verified for ever and written no more.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from canonical.clock import Clock, utc_now
from ledger.audit.evidence import Evidence, encode_evidence
from ledger.database import Connection
from ledger.ids import new_id

if TYPE_CHECKING:
    import asyncpg

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_ADD = """
insert into audit (chain, seq, at, kind, transaction_id, actor, record, hash)
select $1, $2 + u.n, $3, u.kind, u.transaction_id, u.actor, u.record, u.hash
from unnest($4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[]) with ordinality
     u(kind, transaction_id, actor, record, hash, n)"""
_BEGIN = "insert into audit_chain (chain, since, until) values ($1, $2, $3)"


class AuditRow(NamedTuple):
    """A row of the trail as it is kept."""

    chain: str
    seq: int
    at: datetime
    kind: str
    transaction_id: str | None
    actor: str | None
    record: bytes
    hash: bytes


class Position(NamedTuple):
    """The head of a chain: its last record's number, hash and time."""

    chain: str
    seq: int
    hash: bytes
    at: datetime


def has_times(chain: str) -> bool:
    """Whether the hashes of this chain cover the times of its records."""
    return not chain.startswith("chain_")


def first_hash(chain: str) -> bytes:
    return hashlib.sha256(chain.encode(errors="replace")).digest()


def record_digest(chain: str, seq: int, at: datetime, record: bytes) -> bytes:
    """Return what stands for one record of a chain with times."""
    moment = (at - _EPOCH) // _MICROSECOND
    return hashlib.sha256(f"{chain}\x1f{seq}\x1f{moment}\x1f".encode() + record).digest()


def linked(before: bytes, digest: bytes) -> bytes:
    """Return the hash of the record that `digest` stands for, after the hash `before`."""
    return hashlib.sha256(before + digest).digest()


def next_hash(before: bytes, row: AuditRow) -> bytes:
    """Return the hash of `row` (its own `hash` is ignored) after the hash `before`."""
    if has_times(row.chain):
        return linked(before, record_digest(row.chain, row.seq, row.at, row.record))
    head = f"{row.chain}\x1f{row.seq}\x1f{row.kind}\x1f{row.transaction_id or ''}\x1f"
    return hashlib.sha256(before + head.encode(errors="replace") + row.record).digest()


def searchable(actor: str) -> str:
    """Return an actor's name as PostgreSQL can keep it: text without NUL."""
    return actor.replace("\0", "\ufffd")


def month_of(at: datetime) -> tuple[datetime, datetime]:
    """Return the beginning of the month (UTC) that `at` is in, and of the next."""
    since = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return since, (since + timedelta(days=32)).replace(day=1)


class AuditChain:
    """The chain of one writer. `write` adds records to a batch; only `settle` moves the head.

    Times never go back within a chain, and with a new month a new chain begins: a chain lies in
    one partition, whole.
    """

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._head = _begun(_EPOCH)

    async def write(
        self, connection: "Connection[asyncpg.Record]", records: list[Evidence]
    ) -> Position:
        """Insert `records` after the head; return the new head, to be settled after the commit."""
        head = self._head
        if not records:
            return head
        at = max(self._clock().astimezone(UTC), head.at)
        if head.seq == 0 or (at.year, at.month) != (head.at.year, head.at.month):
            head = _begun(at)
            await connection.execute(_BEGIN, head.chain, *month_of(at))
        seq, last, bodies, hashes = head.seq, head.hash, list[bytes](), list[bytes]()
        for record in records:
            seq += 1
            body = encode_evidence(record)
            last = linked(last, record_digest(head.chain, seq, at, body))
            bodies.append(body)
            hashes.append(last)
        await connection.execute(
            _ADD,
            head.chain,
            head.seq,
            at,
            [record.kind for record in records],
            [record.transaction or None for record in records],
            [searchable(record.actor) for record in records],
            bodies,
            hashes,
        )
        return Position(head.chain, seq, last, at)

    def settle(self, head: Position) -> None:
        self._head = head


def _begun(at: datetime) -> Position:
    name = new_id("trail")
    return Position(name, 0, first_hash(name), at)
