"""Who did or saw what: append-only, chained, signed; searched, verified, and shown by evidence."""

import re
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypedDict, Unpack

import msgspec

from canonical.errors import InvalidRequest
from ledger.audit.chain import AuditChain, KeptRecord, microseconds, moment_of, searchable
from ledger.audit.checkpoint import SignedCheckpoint
from ledger.audit.evidence import KINDS, Evidence, EvidenceKind, decode_evidence
from ledger.audit.export import ExportWriter, Header
from ledger.audit.keys import Signing
from ledger.audit.reading import (
    Piece,
    Resumed,
    Wanted,
    floors_of,
    part_of_trail,
    registered_chains,
    whole_trail,
)
from ledger.audit.verdict import BrokenLink, Verdict
from ledger.audit.verification import Verifier, Witness
from ledger.database import Connection, Database

if TYPE_CHECKING:
    import asyncpg

    Session = Connection[asyncpg.Record]

__all__ = ["AuditChain", "AuditTrail", "BrokenLink", "Evidence"]


PLACE = r"^([0-9]{1,16}:[a-z0-9_]{1,48}:[0-9]{1,18})?$"
"""How the place of a record is spelled: its time in microseconds, its chain, its number."""
_RECENT = """
select chain, seq, at, record from audit where $where
order by at desc, chain desc, seq desc limit $1"""
_WANTED = """
select chain, seq, at, record from audit
where ($1::text is null or transaction_id = $1)
  and ($2::timestamptz is null or at >= $2) and ($3::timestamptz is null or at < $3)
order by at, chain, seq"""
_OFTEN = 5000
_FIXED = {"refused": ("refusal is not null",), "ok": ("refusal is null",)}
_LINKED = """
with named(transaction_id) as (
    select id from transaction where id = $1
    union select transaction_id from task where id = $1 and transaction_id is not null
    union select transaction_id from reference where value = $1
), patient(kind, value) as (
    select r.kind, r.value from reference r join named using (transaction_id)
    where r.kind = any($2::text[])
), linked(transaction_id) as (
    select transaction_id from named
    union select r.transaction_id from reference r join patient using (kind, value)
)
select transaction_id as name from linked
union select r.value from reference r join linked using (transaction_id)
where r.kind = any($2::text[])"""
_OF = """
select chain, seq, at, record from audit where transaction_id = $1
order by at, chain, seq limit $2"""


class Filters(TypedDict, total=False):
    """What is looked for; left out or empty, it is open. `after` is the place of a page's end.

    `since` is included, `before` is not. `outcome` is «refused», «ok», or the word of one refusal.
    `linked` are transactions and other names: what is of one of them, or about one. `facilities`
    limits whoever asks to these.
    """

    evidence: EvidenceKind | None
    kind: str
    actor: str
    object: str
    transaction: str
    facility: str
    outcome: str
    linked: Collection[str]
    facilities: Collection[str]
    since: datetime | None
    before: datetime | None
    after: str


class Found(NamedTuple):
    """A record with its id (chain and number) and time."""

    id: str
    at: datetime
    evidence: Evidence

    @property
    def place(self) -> str:
        """Where reading goes on after this record, whatever becomes of it."""
        return f"{microseconds(self.at)}:{self.id}"


class AuditTrail:
    """Reads and verifies the trail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self) -> tuple[int, list[BrokenLink]]:
        """Verify everything; return how many records were read, and what is broken."""
        verdict = await self.examine()
        return verdict.records, verdict.broken

    async def examine(
        self,
        *,
        pinned: Collection[str] | None = None,
        witness: Witness | None = None,
        told: Callable[[int], object] | None = None,
    ) -> Verdict:
        """Verify every chain and every checkpoint as they are at this moment.

        With `pinned` key ids, checkpoints that none of these keys vouches for are broken. `told` is
        called now and then with the number of records read.
        """
        async with self._snapshot() as session:
            verifier = Verifier(await floors_of(session), pinned=pinned, witness=witness)
            async for piece in whole_trail(session):
                feed(verifier, piece)
                if told and not verifier.verdict.records % _OFTEN:
                    told(verifier.verdict.records)
            for chain, covered in await registered_chains(session):
                verifier.registered(chain, covered)
        return verifier.finish()

    async def export(
        self, write: Callable[[bytes], object], header: Header, signing: Signing | None
    ) -> int:
        """Write what the header asks for, as it is at this moment; return how many records."""
        wanted = Wanted(header.transaction, header.since, header.until)
        async with self._snapshot() as session:
            if not header.is_part:
                floors = tuple(await floors_of(session))
                header = msgspec.structs.replace(header, floors=floors)
            writer, records = ExportWriter(write, header), 0
            pieces = part_of_trail(session, wanted) if header.is_part else whole_trail(session)
            async for piece in pieces:
                records += isinstance(piece, KeptRecord)
                writer.add(piece)
            writer.end(signing)
        return records

    async def found(self, wanted: Wanted) -> AsyncGenerator[Found]:
        """Yield records oldest first, in one snapshot."""
        async with self._snapshot() as session:
            async for row in session.cursor(_WANTED, *wanted, prefetch=1000):
                yield _found(row)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator["Session"]:
        """Give a session that sees the trail as it is now, whatever is written meanwhile."""
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def recent(self, *, limit: int, **filters: Unpack[Filters]) -> list[Found]:
        """Return records, newest first."""
        kind, kinds = filters.get("kind", ""), _kinds(filters)
        after = filters.get("after")
        linked, limited = [*filters.get("linked", ())], [*filters.get("facilities", ())]
        asked: list[tuple[str, tuple[object, ...]]] = [
            ("kind = ?" if kind == "call" else "kind = ? and kind <> 'call'", (kind,)),
            ("kind = any(?)" if "call" in kinds else "kind = any(?) and kind <> 'call'", (kinds,)),
            ("actor = ?", (searchable(filters.get("actor", "")),)),
            ("object = ?", (searchable(filters.get("object", "")),)),
            ("transaction_id = ?", (filters.get("transaction"),)),
            ("facility = ?", (filters.get("facility"),)),
            ("facility = any(?)", (limited,)),
            ("(transaction_id = any(?) or object = any(?))", (linked, linked)),
            ("at >= ?", (filters.get("since"),)),
            ("at < ?", (filters.get("before"),)),
            ("(at, chain, seq) < (?, ?, ?)", _place_of(after) if after else ()),
            _outcome(filters.get("outcome", "")),
        ]
        asked = [(text, values) for text, values in asked if any(values)]
        numbers = count(2)
        where = [re.sub(r"\?", lambda _: f"${next(numbers)}", text) for text, _ in asked]
        where += _FIXED.get(filters.get("outcome", ""), ())
        sql = _RECENT.replace("$where", " and ".join(["true", *where]))
        values = [value for _, each in asked for value in each]
        return [_found(row) for row in await self._database.rows(sql, limit, *values)]

    async def names_linked_to(self, name: str, kinds: Collection[str]) -> frozenset[str]:
        """Return every transaction that shares a name of one of these kinds with those that go by
        `name`, and these names: what leads to one person is found by any name of it.
        """
        rows = await self._database.rows(_LINKED, name, list(kinds))
        return frozenset((name, *(str(row["name"]) for row in rows)))

    async def of_transaction(
        self, transaction: str, limit: int = 10_000
    ) -> dict[EvidenceKind, list[Found]]:
        """Return what is known of one transaction by kind of evidence, each oldest first."""
        rows = await self._database.rows(_OF, transaction, limit)
        shown: dict[EvidenceKind, list[Found]] = {kind: [] for kind in KINDS}
        for found in map(_found, rows):
            shown[found.evidence.evidence].append(found)
        return shown


def _outcome(wanted: str) -> tuple[str, tuple[object, ...]]:
    return "refusal = ?", () if wanted in _FIXED else (wanted,)


def _place_of(text: str) -> tuple[object, ...]:
    if not re.match(PLACE, text):
        raise InvalidRequest("no place in this list", where="after", expected="what `next` said")
    moment, chain, seq = text.split(":")
    return moment_of(int(moment)), chain, int(seq)


def _kinds(filters: Filters) -> list[str]:
    evidence = filters.get("evidence")
    return list(KINDS[evidence]) if evidence else []


def feed(verifier: Verifier, piece: Piece) -> None:
    """Give a piece of the trail to whoever verifies it."""
    if isinstance(piece, KeptRecord):
        verifier.record(piece)
    elif isinstance(piece, SignedCheckpoint):
        verifier.checkpoint(piece)
    elif isinstance(piece, Resumed):
        verifier.resume(*piece)
    else:
        verifier.left_out(*piece)


def _found(row: "asyncpg.Record") -> Found:
    return Found(f"{row['chain']}:{row['seq']}", row["at"], decode_evidence(row["record"]))
