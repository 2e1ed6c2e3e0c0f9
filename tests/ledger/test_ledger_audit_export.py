"""An export proves itself: whole or in part, on any machine, down to the last byte."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.errors import MalformedMessage
from ledger.audit.evidence import Evidence
from ledger.audit.export import FORMAT, Header, verify_export
from ledger.audit.keys import new_audit_keys
from ledger.audit.verdict import Verdict
from ledger.audit.verification import Witness
from ledger.ledger import Ledger, open_ledger
from tests.ledger.conftest import SECRET, Opened

KEYS = new_audit_keys()
PINNED = {KEYS.first.id}
MADE = datetime(2026, 1, 1, tzinfo=UTC)


def call(n: int, **changes: Any) -> Evidence:
    told: dict[str, Any] = {"kind": "call", "actor": "app", "action": f"GET /{n}", "outcome": "200"}
    return Evidence(**{**told, **changes})


@pytest.fixture
async def ledger(dsn: str) -> AsyncGenerator[Ledger]:
    async with open_ledger(dsn, secret=SECRET, audit_keys=lambda: KEYS) as opened:
        yield opened


@pytest.fixture
async def trail(ledger: Ledger, opened: Opened) -> list[str]:
    """Two chains under three checkpoints; two records of «tx_1» far apart in the first one."""
    other = await opened()
    for n in range(1, 7):
        await ledger.record(call(n, transaction="tx_1" if n in (2, 4) else "", object="ü\0"))
        if n <= 2:
            await other.record(call(n))
        if n in (2, 5, 6):
            await ledger.checkpoints.make()
    rows = await ledger.database.rows("select chain from audit group by 1 order by count(*) desc")
    return [row[0] for row in rows]


async def exported(ledger: Ledger, **part: Any) -> list[bytes]:
    lines = list[bytes]()
    header = Header(format=FORMAT, made=MADE, keys=KEYS.public(), **part)
    await ledger.audit.export(lines.append, header, await ledger.checkpoints.signing())
    return lines


def verdict_on(lines: list[bytes], pinned: set[str] | None = PINNED) -> Verdict:
    return verify_export(lines, pinned=pinned)[1]


def broken(lines: list[bytes]) -> list[tuple[str, int]]:
    return [(link.chain, link.seq) for link in verdict_on(lines).broken]


async def test_an_export_of_everything_is_verified_without_a_database(
    ledger: Ledger, trail: list[str]
) -> None:
    lines = await exported(ledger)
    verdict = verdict_on(lines)
    assert verdict.broken == []
    assert (verdict.records, verdict.signed, verdict.left_out) == (8, 8, 0)
    assert (verdict.checkpoints, verdict.pinned, verdict.complete) == (3, True, True)
    assert verdict == await ledger.audit.examine(pinned=PINNED)
    assert verdict_on(lines, pinned=None).pinned is None


async def test_a_part_proves_what_it_has_and_keeps_the_rest_to_itself(
    ledger: Ledger, trail: list[str]
) -> None:
    lines = await exported(ledger, transaction="tx_1")
    verdict = verdict_on(lines)
    assert verdict.broken == []
    assert (verdict.records, verdict.signed, verdict.complete) == (2, 2, False)
    assert (verdict.left_out, verdict.checkpoints) == (1, 2)
    text = b"".join(lines)
    assert b"GET /4" in text
    assert b"GET /5" not in text


async def test_a_part_by_time_ends_at_the_next_checkpoint(ledger: Ledger, trail: list[str]) -> None:
    row = await ledger.database.row(
        "select min(at) as low, max(at) as high from audit where chain = $1 and seq in (2, 4)",
        trail[0],
    )
    assert row is not None
    verdict = verdict_on(await exported(ledger, since=row["low"], until=row["high"]))
    assert verdict.broken == []
    assert verdict.records >= 2
    nothing = verdict_on(await exported(ledger, since=row["high"], until=row["high"]))
    assert (nothing.records, nothing.broken) == (0, [])


async def test_a_part_of_what_no_checkpoint_states_yet_is_said_to_be_unsigned(
    ledger: Ledger, trail: list[str]
) -> None:
    await ledger.record(call(9, transaction="tx_2"))
    await ledger.record(call(10))
    verdict = verdict_on(await exported(ledger, transaction="tx_2"))
    assert (verdict.records, verdict.signed, verdict.left_out) == (1, 0, 1)
    assert [link.chain for link in verdict.broken] == []


def record_line(lines: list[bytes], chain: str, seq: int) -> int:
    start = f'{{"line":"record","chain":"{chain}","seq":{seq},'.encode()
    return next(n for n, line in enumerate(lines) if line.startswith(start))


def of_kind(lines: list[bytes], kind: str) -> list[int]:
    return [n for n, line in enumerate(lines) if line.startswith(b'{"line":"%b"' % kind.encode())]


Change = Callable[[list[bytes], str], object]
CHANGED: dict[str, tuple[Change, str, int]] = {
    "a record": (
        lambda ls, c: change(ls, record_line(ls, c, 4), b"GET /4", b"GET /5"),
        "0",
        4,
    ),
    "its time": (
        lambda ls, c: change(ls, record_line(ls, c, 4), b'"at":"20', b'"at":"19'),
        "0",
        4,
    ),
    "its hash": (
        lambda ls, c: change(ls, record_line(ls, c, 4), b'"hash":"', b'"hash":"0000'),
        "export",
        0,
    ),
    "its number": (
        lambda ls, c: change(ls, record_line(ls, c, 4), b'"seq":4', b'"seq":7'),
        "0",
        7,
    ),
    "its chain": (lambda ls, c: change(ls, record_line(ls, c, 4), c.encode(), b"trail_x"), "0", 5),
    "removed": (lambda ls, c: ls.pop(record_line(ls, c, 4)), "0", 5),
    "cut at its end": (lambda ls, c: ls.pop(record_line(ls, c, 6)), "0", 6),
    "there twice": (
        lambda ls, c: ls.insert(record_line(ls, c, 4), ls[record_line(ls, c, 4)]),
        "0",
        4,
    ),
    "swapped": (lambda ls, c: swap(ls, record_line(ls, c, 3), record_line(ls, c, 4)), "0", 4),
    "checkpoint removed": (lambda ls, _: ls.pop(of_kind(ls, "checkpoint")[1]), "checkpoint", 2),
    "checkpoint body": (
        lambda ls, _: change(ls, of_kind(ls, "checkpoint")[1], b'count\\":2', b'count\\":3'),
        "checkpoint",
        2,
    ),
    "checkpoints swapped": (
        lambda ls, _: swap(ls, *of_kind(ls, "checkpoint")[:2]),
        "checkpoint",
        1,
    ),
    "its end": (lambda ls, _: ls.pop(), "export", 0),
    "more after the end": (lambda ls, _: ls.append(ls[1]), "export", 0),
    "the header": (lambda ls, _: change(ls, 0, b"2026-01-01", b"2025-01-01"), "export", 0),
    "spaces": (lambda ls, _: change(ls, 3, b",", b", "), "export", 4),
}


def change(lines: list[bytes], n: int, old: bytes, new: bytes) -> None:
    assert old in lines[n]
    lines[n] = lines[n].replace(old, new, 1)


def swap(lines: list[bytes], one: int, other: int) -> None:
    lines[one], lines[other] = lines[other], lines[one]


@pytest.mark.parametrize("case", CHANGED)
async def test_what_was_changed_in_an_export_is_named(
    ledger: Ledger, trail: list[str], case: str
) -> None:
    lines = await exported(ledger)
    touch, where, seq = CHANGED[case]
    touch(lines, trail[0])
    found = broken(lines)
    place = trail[0] if where == "0" else where
    assert (place, seq) in found if seq else place in dict(found)
    assert "export" in dict(found)


async def test_a_part_is_no_place_to_hide_a_change(ledger: Ledger, trail: list[str]) -> None:
    lines = await exported(ledger, transaction="tx_1")
    for kind, old, new in (
        ("record", b"GET /", b"PUT /"),
        ("left-out", b'"digests":["', b'"digests":["0"],"digests":["'),
        ("resumed", b'"seq":', b'"seq":1'),
    ):
        touched = list(lines)
        change(touched, of_kind(lines, kind)[0], old, new)
        assert len(broken(touched)) > 0
    touched = [line for line in lines if not line.startswith(b'{"line":"left-out"')]
    assert (trail[0], 5) in broken(touched)


@pytest.fixture(scope="module")
def small(server: Any) -> bytes:
    """An export of three records under two checkpoints, part by part once."""

    async def made() -> bytes:
        async with open_ledger(server.dsn, secret=SECRET, audit_keys=lambda: KEYS) as ledger:
            await ledger.database.run("delete from audit")
            await ledger.database.run("delete from audit_chain")
            await ledger.database.run("delete from checkpoint")
            for n in range(3):
                await ledger.record(call(n, transaction=f"tx_{n}", object='"ü\0'))
                if n:
                    await ledger.checkpoints.make()
            return b"".join(await exported(ledger))

    with asyncio.Runner() as runner:
        return runner.run(made())


def is_found(file: bytes) -> bool:
    try:
        return bool(verdict_on(file.splitlines(keepends=True), pinned=None).broken)
    except MalformedMessage:
        return True


def test_every_byte_counts(small: bytes) -> None:
    assert not is_found(small)
    unseen = [
        place
        for place in range(len(small))
        if not is_found(small[:place] + bytes([small[place] ^ 1 << place % 8]) + small[place + 1 :])
    ]
    assert unseen == []


@given(place=st.integers(min_value=0), bits=st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_any_other_byte_in_any_place_is_found(small: bytes, place: int, bits: int) -> None:
    place %= len(small)
    assert is_found(small[:place] + bytes([small[place] ^ bits]) + small[place + 1 :])


@given(length=st.integers(min_value=0))
@settings(max_examples=100, deadline=None)
def test_an_export_cut_anywhere_is_found(small: bytes, length: int) -> None:
    assert is_found(small[: length % len(small)])


async def test_an_export_by_another_key_is_not_vouched_for(
    ledger: Ledger, trail: list[str]
) -> None:
    lines = await exported(ledger)
    verdict = verdict_on(lines, pinned={new_audit_keys().first.id})
    assert verdict.pinned is False
    assert [link.chain for link in verdict.broken] == ["checkpoint"]


async def test_an_export_with_nothing_signed_is_nothing_to_a_key(ledger: Ledger) -> None:
    await ledger.record(call(1))
    lines = await exported(ledger)
    assert verdict_on(lines, pinned=None).broken == []
    assert broken(lines) == [("export", 1)]


async def test_an_older_export_lacks_the_checkpoint_that_was_written_down(
    ledger: Ledger, trail: list[str]
) -> None:
    lines = await exported(ledger)
    await ledger.record(call(9))
    newest = await ledger.checkpoints.make()
    assert newest is not None
    _, verdict = verify_export(lines, witness=Witness(newest.number, newest.hash))
    assert [(link.chain, link.seq) for link in verdict.broken] == [("checkpoint", 4)]


@pytest.mark.parametrize("file", [b"", b"\n", b"{}\n", b"PK\x03\x04", b'{"line":"end"}\n'])
def test_what_is_no_export_is_said_to_be_none(file: bytes) -> None:
    with pytest.raises(MalformedMessage):
        verify_export(file.splitlines(keepends=True))
