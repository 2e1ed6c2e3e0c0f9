"""Checkpoints make the trail provable: whatever is touched afterwards is found, and named."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from canonical.errors import InternalFault
from ledger.audit.checkpoint import Checkpoint, SignedCheckpoint, encode
from ledger.audit.evidence import Evidence
from ledger.audit.keys import AuditKeys, audit_keys, new_audit_keys
from ledger.audit.verification import Witness
from ledger.checkpoints import Checkpoints
from ledger.ledger import Ledger, open_ledger
from tests.ledger.conftest import SECRET, Opened

KEYS = new_audit_keys()


def call(n: int, **changes: Any) -> Evidence:
    told: dict[str, Any] = {"kind": "call", "actor": "app", "action": f"GET /{n}", "outcome": "200"}
    return Evidence(**{**told, **changes})


@pytest.fixture
async def ledger(dsn: str) -> AsyncGenerator[Ledger]:
    async with open_ledger(dsn, secret=SECRET, audit_keys=lambda: KEYS) as opened:
        yield opened


@pytest.fixture
async def trail(ledger: Ledger, opened: Opened) -> list[str]:
    """Three chains, of which the second was never continued, and three checkpoints over them."""
    other, third = await opened(), await opened()
    for n in range(4):
        await ledger.record(call(n, transaction="tx_1"))
        await other.record(call(n))
    await made(ledger)
    for n in range(4, 7):
        await ledger.record(call(n))
    await made(ledger)
    await ledger.record(call(7))
    await third.record(call(1))
    await made(ledger)
    rows = await ledger.database.rows("select chain from audit group by 1 order by count(*) desc")
    return [row[0] for row in rows]


async def made(ledger: Ledger) -> SignedCheckpoint:
    signed = await ledger.checkpoints.make()
    assert signed is not None
    return signed


async def broken(ledger: Ledger, keys: AuditKeys = KEYS) -> list[tuple[str, int]]:
    verdict = await ledger.audit.examine(pinned={key.id for key in keys.public()})
    return [(link.chain, link.seq) for link in verdict.broken]


async def test_checkpoints_cover_every_chain_that_moved(ledger: Ledger, trail: list[str]) -> None:
    verdict = await ledger.audit.examine(pinned={KEYS.first.id})
    assert verdict.broken == []
    assert (verdict.records, verdict.signed, verdict.chains) == (13, 13, 3)
    assert (verdict.checkpoints, verdict.pinned, verdict.key) == (3, True, KEYS.first.id)
    rows = await ledger.database.rows("select number, body, signature from checkpoint order by 1")
    told = [SignedCheckpoint(*row).read() for row in rows]
    stated = [{head.chain: head.seq for head in one.chains} for one in told if one]
    assert stated == [
        {trail[0]: 4, trail[1]: 4},
        {trail[0]: 7},
        {trail[0]: 8, trail[2]: 1},
    ]
    assert [one.count for one in told if one] == [2, 2, 3]


async def test_where_nothing_has_moved_there_is_nothing_to_sign(ledger: Ledger) -> None:
    assert await ledger.checkpoints.make() is None
    await ledger.record(call(1))
    assert await ledger.checkpoints.make() is not None
    assert await ledger.checkpoints.make() is None


async def test_workers_together_make_one_checkpoint_a_minute(
    ledger: Ledger, opened: Opened
) -> None:
    other = await opened(keys=lambda: KEYS)
    await ledger.record(call(1))
    assert await ledger.checkpoints.make(unless_within=60) is not None
    await ledger.record(call(2))
    assert await other.checkpoints.make(unless_within=60) is None
    assert await other.checkpoints.make(unless_within=1e-6) is not None


async def test_records_after_the_newest_checkpoint_are_chained_but_not_signed(
    ledger: Ledger, trail: list[str]
) -> None:
    await ledger.record(call(8))
    verdict = await ledger.audit.examine()
    assert (verdict.records, verdict.signed, verdict.broken) == (14, 13, [])


T = "chain = '{0}'"
LATER = "where number = 2"
TAMPERED: dict[str, tuple[list[str], str, int]] = {
    "record emptied": ([f"update audit set record = '' where {T} and seq = 3"], "0", 3),
    "record longer": ([f"update audit set record = record || ' ' where {T} and seq = 3"], "0", 3),
    "one byte": (
        [f"update audit set record = set_byte(record, 9, 33) where {T} and seq = 5"],
        "0",
        5,
    ),
    "hash": ([f"update audit set hash = sha256(hash) where {T} and seq = 2"], "0", 2),
    "kind": ([f"update audit set kind = 'access' where {T} and seq = 6"], "0", 6),
    "transaction": ([f"update audit set transaction_id = 'tx_2' where {T} and seq = 2"], "0", 2),
    "no transaction": ([f"update audit set transaction_id = null where {T} and seq = 2"], "0", 2),
    "empty transaction": ([f"update audit set transaction_id = '' where {T} and seq = 6"], "0", 6),
    "actor": ([f"update audit set actor = 'nobody' where {T} and seq = 4"], "0", 4),
    "time": ([f"update audit set at = at + interval '1 us' where {T} and seq = 4"], "0", 4),
    "another month": (
        [f"update audit set at = at + interval '1 month' where {T} and seq = 4"],
        "0",
        4,
    ),
    "first record gone": ([f"delete from audit where {T} and seq = 1"], "0", 2),
    "record gone": ([f"delete from audit where {T} and seq = 5"], "0", 6),
    "cut at its end": ([f"delete from audit where {T} and seq = 8"], "0", 8),
    "cut deep": ([f"delete from audit where {T} and seq > 5"], "0", 6),
    "cut to nothing but its name": ([f"delete from audit where {T}"], "0", 1),
    "whole chain gone": (["delete from audit where chain = '{1}'"], "1", 1),
    "whole chain and its registration gone": (
        [
            "delete from audit where chain = '{1}'",
            "delete from audit_chain where chain = '{1}'",
        ],
        "1",
        1,
    ),
    "swapped": (
        [
            f"update audit set seq = -3 where {T} and seq = 3",
            f"update audit set seq = 3 where {T} and seq = 4",
            f"update audit set seq = 4 where {T} and seq = -3",
        ],
        "0",
        3,
    ),
    "moved to the front": ([f"update audit set seq = -3 where {T} and seq = 3"], "0", -3),
    "moved to the end": ([f"update audit set seq = 99 where {T} and seq = 3"], "0", 4),
    "there twice": (
        [
            (
                "insert into audit select chain, seq, at + interval '1 s', kind, transaction_id,"
                f" actor, record, hash from audit where {T} and seq = 3"
            )
        ],
        "0",
        3,
    ),
    "chain renamed": (["update audit set chain = 'trail_x' where chain = '{1}'"], "1", 1),
    "checkpoint gone": ([f"delete from checkpoint {LATER}"], "checkpoint", 2),
    "first checkpoint gone": (["delete from checkpoint where number = 1"], "checkpoint", 1),
    "checkpoint renumbered": ([f"update checkpoint set number = 9 {LATER}"], "checkpoint", 2),
    "checkpoint body": (
        [f"update checkpoint set body = set_byte(body, 40, 49) {LATER}"],
        "checkpoint",
        2,
    ),
    "checkpoint body spaced": (
        [f"update checkpoint set body = body || ' ' {LATER}"],
        "checkpoint",
        2,
    ),
    "checkpoint emptied": ([f"update checkpoint set body = '' {LATER}"], "checkpoint", 2),
    "signature": (
        [
            (
                "update checkpoint set signature = set_bit(signature, 5, 1 - get_bit(signature, 5))"
                f" {LATER}"
            )
        ],
        "checkpoint",
        2,
    ),
    "signature of another": (
        [
            (
                "update checkpoint set signature ="
                f" (select signature from checkpoint where number = 1) {LATER}"
            )
        ],
        "checkpoint",
        2,
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
async def test_what_was_touched_is_named(ledger: Ledger, trail: list[str], case: str) -> None:
    statements, where, seq = TAMPERED[case]
    for sql in statements:
        await ledger.database.run(sql.format(*trail))
    found = await broken(ledger)
    if where == "0":  # and nothing else is
        assert found == [(trail[0], seq)]
    else:
        assert (trail[int(where)] if where.isdecimal() else where, seq) in found


async def test_a_chain_that_was_written_anew_contradicts_its_checkpoint(
    ledger: Ledger, trail: list[str], opened: Opened
) -> None:
    """Whoever can hash can write a chain that holds; what was signed before contradicts it."""
    forger = await opened()
    for n in range(9):
        await forger.record(call(n, actor="innocent"))
    row = await ledger.database.row("select chain from audit where actor = 'innocent' limit 1")
    assert row is not None
    await ledger.database.run("delete from audit where chain = $1", trail[0])
    await ledger.database.run("update audit set chain = $1 where chain = $2", trail[0], row[0])
    assert (trail[0], 1) in await broken(ledger)


async def test_all_checkpoints_signed_anew_are_not_by_the_key_that_is_known(
    ledger: Ledger, trail: list[str]
) -> None:
    forged = new_audit_keys()
    await ledger.database.run("delete from checkpoint")
    await ledger.database.run("update audit_chain set covered = 0")
    assert await Checkpoints(ledger.database, lambda: forged).make() is not None
    assert await broken(ledger, forged) == []
    verdict = await ledger.audit.examine(pinned={KEYS.first.id})
    [link] = verdict.broken
    assert (link.chain, verdict.pinned) == ("checkpoint", False)


async def test_the_newest_checkpoint_removed_is_found_by_what_was_written_down(
    ledger: Ledger, trail: list[str]
) -> None:
    """The register tells it too; whoever sets back that as well, leaves a sound older state."""
    newest = (await ledger.audit.examine()).checkpoint
    number, _, digest = newest.partition(":")
    witness = Witness(int(number), digest)
    assert (await ledger.audit.examine(witness=witness)).broken == []
    await ledger.database.run("delete from checkpoint where number = $1", witness.number)
    assert await broken(ledger) == [(trail[0], 8), (trail[2], 1)]
    await ledger.database.run("update audit_chain set covered = 0")
    assert await broken(ledger) == []
    [link] = (await ledger.audit.examine(witness=witness)).broken
    assert (link.chain, link.seq) == ("checkpoint", 3)


async def test_a_chain_removed_before_any_checkpoint_was_still_begun(
    ledger: Ledger, opened: Opened
) -> None:
    other = await opened()
    await other.record(call(1))
    row = await ledger.database.row("select chain from audit")
    assert row is not None
    await ledger.database.run("delete from audit")
    assert await broken(ledger) == [(row[0], 1)]


async def test_one_process_at_a_time_makes_checkpoints(ledger: Ledger, opened: Opened) -> None:
    others = [await opened(keys=lambda: KEYS) for _ in range(3)]
    for _ in range(5):
        await asyncio.gather(*(one.record(call(1)) for one in (ledger, *others)))
        await asyncio.gather(*(one.checkpoints.make() for one in (ledger, *others)))
    await ledger.checkpoints.make()
    verdict = await ledger.audit.examine()
    assert verdict.broken == []
    assert verdict.signed == verdict.records == 20


async def test_checkpoints_made_while_others_write_never_contradict_them(
    ledger: Ledger, opened: Opened
) -> None:
    writers = [ledger, *[await opened() for _ in range(3)]]
    writing = asyncio.gather(*(one.record(call(n)) for n in range(120) for one in writers))
    while not writing.done():
        await ledger.checkpoints.make()
        await asyncio.sleep(0)
    await writing
    await ledger.checkpoints.make()
    verdict = await ledger.audit.examine()
    assert verdict.broken == []
    assert verdict.signed == verdict.records == 480


async def test_a_successor_signs_once_it_is_announced(ledger: Ledger, trail: list[str]) -> None:
    both = KEYS.with_new()
    checkpoints = Checkpoints(ledger.database, lambda: both)
    await ledger.record(call(8))
    for signed, key in (
        (await checkpoints.make(), KEYS),
        (await checkpoints.announce(both.first), KEYS),
        (await checkpoints.announce(both.first), both),
    ):
        told = signed.read() if signed else None
        assert told is not None
        assert told.key == key.first.id
    assert await broken(ledger, KEYS) == await broken(ledger, both) == []
    await ledger.database.run("delete from checkpoint where number = 5")
    assert ("checkpoint", 5) in await broken(ledger, both)


async def test_a_key_that_nobody_announced_signs_nothing(ledger: Ledger, trail: list[str]) -> None:
    stranger = new_audit_keys()
    await ledger.record(call(8))
    with pytest.raises(InternalFault, match=KEYS.first.id):
        await Checkpoints(ledger.database, lambda: stranger).make()
    row = await ledger.database.row("select number, body, signature from checkpoint where number=3")
    assert row is not None
    last = SignedCheckpoint(*row)
    told = last.read()
    assert told is not None
    body = encode(
        Checkpoint(
            version=1,
            number=4,
            at=told.at,
            previous=last.hash,
            key=stranger.first.id,
            count=3,
            announces=stranger.first,
        )
    )
    signing = stranger.signing(stranger.first.id)
    assert signing is not None
    await ledger.database.run(
        "insert into checkpoint values (4, $1, $2)", body, signing.checkpoint(body)
    )
    assert await broken(ledger) == [("checkpoint", 4)]


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"EC","crv":"P-256","x":"AA","d":"AA"}]}'],
)
def test_a_key_that_cannot_sign_is_refused_at_once(text: bytes) -> None:
    with pytest.raises(InternalFault, match="audit key"):
        audit_keys(text)


def test_kept_keys_are_the_same_when_read_again() -> None:
    again = audit_keys(KEYS.with_new().encoded())
    assert again.public()[1] == KEYS.first
    shown = msgspec.json.encode(again.jwks())
    assert b'"d"' not in shown
    assert KEYS.first.id.encode() in shown
