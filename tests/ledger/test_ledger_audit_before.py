"""Trails that were begun before hashes covered the time are verified for ever."""

import importlib.resources
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from ledger.audit.chain import KeptRecord, first_hash, next_hash
from ledger.audit.evidence import Evidence
from ledger.audit.export import FORMAT, Header, verify_export
from ledger.audit.keys import new_audit_keys
from ledger.database import fresh_database
from ledger.ledger import Ledger, open_ledger
from tests.ledger.conftest import SECRET, Server

KEYS = new_audit_keys()
OLD = "chain_01kold"
BEGAN = datetime(2026, 3, 30, tzinfo=UTC)
_INSERT = (
    "insert into audit (chain, seq, kind, transaction_id, record, hash, at)"
    " values ($1, $2, $3, $4, $5, $6, $7)"
)


@pytest.fixture
async def ledger(server: Server) -> AsyncGenerator[Ledger]:
    """A ledger whose database was filled under the schema of before."""
    dsn = await fresh_database(server.dsn, "before", drop_like="before")
    connection = await asyncpg.connect(dsn)
    await connection.execute("create schema suture; set search_path to suture")
    await connection.execute("create table migration (name text primary key, at timestamptz)")
    folder = importlib.resources.files("ledger") / "migrations"
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name < "0003":
            await connection.execute(file.read_text())
            await connection.execute("insert into migration values ($1, now())", file.name)
    for row in old_rows():
        await connection.execute(
            _INSERT, row.chain, row.seq, row.kind, row.transaction_id, row.record, row.hash, row.at
        )
    await connection.close()
    async with open_ledger(dsn, secret=SECRET, audit_keys=lambda: KEYS) as opened:
        yield opened


def old_rows() -> list[KeptRecord]:
    rows, head = list[KeptRecord](), first_hash(OLD)
    for n in range(1, 6):
        told = Evidence(
            kind="call",
            actor="Zoe\0",
            action=f"GET /{n}",
            outcome="200",
            transaction="tx_1" * (n % 2),
        )
        record = msgspec.json.encode(told)
        at = BEGAN + timedelta(days=n)
        row = KeptRecord(OLD, n, told.kind, told.transaction or None, record, b"", at, None)
        head = next_hash(head, row)
        rows.append(row._replace(hash=head))
    return rows


async def test_a_trail_of_before_holds_and_is_signed(ledger: Ledger) -> None:
    assert await ledger.audit.verify() == (5, [])
    assert await ledger.checkpoints.make() is not None
    verdict = await ledger.audit.examine(pinned={KEYS.first.id})
    assert (verdict.signed, verdict.broken) == (5, [])
    assert [one.at for one in await ledger.audit.recent(limit=9, actor="Zoe\0")] == [
        BEGAN + timedelta(days=n) for n in range(5, 0, -1)
    ]
    row = await ledger.database.row("select count(*) from audit_default")
    assert row == (0,)


async def test_a_part_of_it_has_its_neighbours_whole(ledger: Ledger) -> None:
    await ledger.checkpoints.make()
    lines = list[bytes]()
    header = Header(format=FORMAT, made=BEGAN, transaction="tx_1", since=BEGAN + timedelta(days=2))
    await ledger.audit.export(lines.append, header, None)
    verdict = verify_export(lines)[1]
    assert (verdict.records, verdict.left_out, verdict.signed, verdict.broken) == (3, 0, 3, [])


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("update audit set record = record || ' ' where seq = 3", 3),
        ("update audit set kind = 'access' where seq = 4", 4),
        ("update audit set transaction_id = null where seq = 3", 3),
        ("update audit set transaction_id = '' where seq = 2", 2),
        ("delete from audit where seq = 2", 3),
        ("delete from audit where seq = 5", 5),
    ],
)
async def test_what_was_touched_in_it_is_named(ledger: Ledger, change: str, seq: int) -> None:
    await ledger.checkpoints.make()
    await ledger.database.run(change)
    _, [link] = await ledger.audit.verify()
    assert (link.chain, link.seq) == (OLD, seq)
