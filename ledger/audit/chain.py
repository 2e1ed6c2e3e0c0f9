"""Chains of records, one for each writer and month: hashing and writing.

    digest = SHA-256(chain, number, time in microseconds, the record's bytes)
    hash   = SHA-256(hash before, digest); before the first record: SHA-256(the chain's name)

So a record may be left out of an export, and its digest alone still carries the chain across the
gap. Kind, transaction, actor, object, facility and refusal are columns for searching; the record
says them itself.

Chains named `chain_…` are of the first kind, which hashed the record in one go and without its
time; those named `trail_…` had no columns for object, facility and refusal. Both are verified for
ever and written no more.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from canonical.clock import Clock, utc_now
from ledger.audit.evidence import AuditRow, Evidence, encode_evidence
from ledger.database import Connection
from ledger.ids import new_id
from ledger.rows import lock_number

if TYPE_CHECKING:
    import asyncpg

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST = 256
"""How much of an object's name is searched by: an index takes no whole address."""


class KeptRecord(NamedTuple):
    """A record of the trail as it is kept."""

    chain: str
    seq: int
    kind: str
    transaction_id: str | None
    record: bytes
    hash: bytes
    at: datetime
    actor: str | None
    object: str | None = None
    facility: str | None = None
    refusal: str | None = None


class Position(NamedTuple):
    """The head of a chain: its last record's number, hash and time."""

    chain: str
    seq: int
    hash: bytes
    at: datetime


def microseconds(at: datetime) -> int:
    """Return a time as exactly as PostgreSQL keeps it, since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def moment_of(count: int) -> datetime:
    return _EPOCH + count * _MICROSECOND


def has_times(chain: str) -> bool:
    """Whether the hashes of this chain cover the times of its records."""
    return not chain.startswith("chain_")


def has_columns(chain: str) -> bool:
    """Whether object, facility and refusal of this chain's records are columns, too."""
    return not chain.startswith(("chain_", "trail_"))


def first_hash(chain: str) -> bytes:
    return hashlib.sha256(chain.encode(errors="replace")).digest()


def record_digest(chain: str, seq: int, at: datetime, record: bytes) -> bytes:
    """Return what stands for one record of a chain with times."""
    moment = microseconds(at)
    return hashlib.sha256(f"{chain}\x1f{seq}\x1f{moment}\x1f".encode() + record).digest()


def linked(before: bytes, digest: bytes) -> bytes:
    """Return the hash of the record that `digest` stands for, after the hash `before`."""
    return hashlib.sha256(before + digest).digest()


def next_hash(before: bytes, row: KeptRecord) -> bytes:
    """Return the hash of `row` (its own `hash` is ignored) after the hash `before`."""
    if has_times(row.chain):
        return linked(before, record_digest(row.chain, row.seq, row.at, row.record))
    head = f"{row.chain}\x1f{row.seq}\x1f{row.kind}\x1f{row.transaction_id or ''}\x1f"
    return hashlib.sha256(before + head.encode(errors="replace") + row.record).digest()


def searchable(text: str) -> str:
    """Return a name as PostgreSQL can keep it: text without NUL."""
    return text.replace("\0", "\ufffd")


def columns(told: Evidence) -> tuple[str | None, str | None, str | None]:
    """Return object, facility and refusal of a record as they are searched for."""
    found = (told.object[:_LONGEST], told.facility, told.refusal)
    object_, facility, refusal = (searchable(each) or None if each else None for each in found)
    return object_, facility, refusal


class AuditChain:
    """The chain of one writer. `draw` adds records to a batch; only `settle` moves the head.

    Every batch is written under the chain's lock: who holds it and finds the drawn head on disk
    knows that the batch was committed, and otherwise that it was not.

    Times never go back within a chain, and with a new month a new chain begins: a chain lies in
    one partition, whole. It is registered with its first record, by `keep_audit` (migration 0003).
    """

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._head = self._drawn = _begun(_EPOCH)
        self.lock = lock_number("chain", self._head.chain)

    def begin(self) -> None:
        """Forget what was drawn for a batch that was not committed."""
        self._drawn = self._head

    @property
    def has_drawn(self) -> bool:
        return self._drawn != self._head

    def draw(self, records: list[Evidence]) -> list[AuditRow]:
        """Return the rows that follow the settled head."""
        self._drawn = head = self._head
        if not records:
            return []
        at = max(self._clock().astimezone(UTC), head.at)
        if head.seq == 0 or (at.year, at.month) != (head.at.year, head.at.month):
            head = _begun(at)
        chain, seq, last, rows = head.chain, head.seq, head.hash, list[AuditRow]()
        for told in records:
            seq += 1
            body = encode_evidence(told)
            last = linked(last, record_digest(chain, seq, at, body))
            transaction, actor = told.transaction or None, searchable(told.actor)
            about = columns(told)
            rows.append(
                AuditRow(None, None, told.kind, transaction, body, last, None, actor, *about)
            )
        rows[0] = rows[0]._replace(chain=chain, seq=head.seq + 1, at=at)
        self._drawn = Position(chain, seq, last, at)
        return rows

    def settle(self) -> None:
        """Move the head to what was drawn last: it is on disk."""
        self._head = self._drawn

    async def is_on_disk(self, connection: "Connection[asyncpg.Record]") -> bool:
        """Look whether what was drawn last is on disk; waits for a session that is still at it."""
        await connection.execute("select pg_advisory_xact_lock($1)", self.lock)
        found: bool = await connection.fetchval(
            "select exists (select 1 from audit where chain = $1 and seq = $2)",
            self._drawn.chain,
            self._drawn.seq,
        )
        return found


def _begun(at: datetime) -> Position:
    name = new_id("book")
    return Position(name, 0, first_hash(name), at)
