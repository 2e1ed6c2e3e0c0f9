"""Keys come and go, and what was sealed opens: in every replica, at every moment, to the byte."""

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from canonical.context import PatientContext
from canonical.errors import InternalFault, MissingKey, NotFound, StateConflict
from ledger.key_file import KeyFile
from ledger.key_keeping import SEALED
from ledger.key_ring import KeyRing, Ring, new_ring, plain_ring, read_ring, ring_text
from ledger.ledger import Ledger
from tests.ledger.conftest import SECRET, Opened
from tests.ledger.outside import count, flow, install, used

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
PATIENT = PatientContext(patient_name="ZZTESTER^INVENTED")


async def run(story, need):
    return None


def ring_at(path: Path, first: Ring | None = None) -> KeyRing:
    """A ring on this file, made if it is not there: what one more process has."""
    file = KeyFile(path)
    return KeyRing(read_ring(file.make(ring_text(first or new_ring(NOW)))), file)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "ring.json"


@pytest.fixture
async def first(opened: Opened, path: Path) -> Ledger:
    ledger = await opened(secret=ring_at(path))
    install(ledger, flow(run))
    return ledger


@pytest.fixture
async def second(opened: Opened, path: Path, first: Ledger) -> Ledger:
    """Another replica on the same key file."""
    ledger = await opened(secret=ring_at(path))
    install(ledger, flow(run))
    return ledger


def quiet(_many: int) -> None:
    """Hear of progress and say nothing."""


def sealed_as_before_rings(row: str, body: bytes) -> bytes:
    nonce = os.urandom(12)
    cipher = AESGCM(hashlib.sha256(b"suture seal" + SECRET).digest())
    return nonce + cipher.encrypt(nonce, body, row.encode())


async def keep(ledger: Ledger, *numbers: str) -> list[str]:
    return [(await ledger.messages.receive(used(number))).message for number in numbers]


async def keep_context(ledger: Ledger) -> str:
    token = ledger.vault.new_token()
    await ledger.messages.receive(used(token, contexts=((token, PATIENT),)))
    return token


async def bodies(ledger: Ledger, messages: list[str]) -> list[bytes]:
    return [(await ledger.messages.kept(message)).body for message in messages]


async def sealed_under(ledger: Ledger) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in await ledger.keys.census():
        found[one.key] = found.get(one.key, 0) + one.values
    return found


async def long_ago(path: Path) -> None:
    """Let every retirement be past the time in which replicas may have values in hand."""

    def earlier(text: bytes) -> bytes:
        ring = read_ring(text)
        keys = [
            msgspec.structs.replace(key, retired=key.retired and key.retired - timedelta(hours=1))
            for key in ring.keys
        ]
        return ring_text(msgspec.structs.replace(ring, keys=tuple(keys)))

    KeyFile(path).replace(earlier)


async def test_what_was_sealed_before_a_rotation_opens_after_it(first: Ledger) -> None:
    messages = await keep(first, "1")
    before = first.keys.ring.active.id
    await first.keys.rotate("pat")
    messages += await keep(first, "2")
    after = first.keys.ring.active.id
    assert await bodies(first, messages) == [b"used 1", b"used 2"]
    assert await sealed_under(first) == {before: 1, after: 1}


async def test_a_replica_seals_with_the_new_key_as_soon_as_another_rotated(
    first: Ledger, second: Ledger
) -> None:
    await keep(second, "1")
    await first.keys.rotate("pat")
    await keep(second, "2")
    assert (await sealed_under(second))[first.keys.ring.active.id] == 1


async def test_a_replica_that_sealed_nothing_since_opens_what_another_sealed(
    first: Ledger, second: Ledger
) -> None:
    await first.keys.rotate("pat")
    assert await bodies(second, await keep(first, "1")) == [b"used 1"]


async def test_two_rotations_at_once_are_two_keys(first: Ledger, second: Ledger) -> None:
    await asyncio.gather(
        asyncio.to_thread(lambda: first.vault.keys.change(lambda ring: ring.rotated(NOW))),
        asyncio.to_thread(lambda: second.vault.keys.change(lambda ring: ring.rotated(NOW))),
    )
    messages = await keep(first, "1") + await keep(second, "2")
    assert len(first.keys.ring.keys) == 3
    assert first.keys.ring == second.keys.ring
    assert await bodies(first, messages) == [b"used 1", b"used 2"]


async def test_processes_that_start_at_once_have_one_ring(path: Path) -> None:
    rings = await asyncio.gather(*(asyncio.to_thread(ring_at, path) for _ in range(8)))
    assert len({ring.ring.active.id for ring in rings}) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_value_of_times_before_rings_opens_and_is_resealed(
    opened: Opened, path: Path
) -> None:
    ledger = await opened(secret=ring_at(path, plain_ring(SECRET, NOW)))
    install(ledger, flow(run))
    [message] = await keep(ledger, "1")
    await ledger.database.run(
        "update body set sealed = $1", sealed_as_before_rings(message, b"from before")
    )
    assert await bodies(ledger, [message]) == [b"from before"]
    assert (await ledger.keys.reseal("pat", quiet)).resealed == 1
    assert await bodies(ledger, [message]) == [b"from before"]
    assert await sealed_under(ledger) == {ledger.keys.ring.active.id: 1}


async def test_the_key_of_times_before_rings_stays_while_a_value_needs_it(
    opened: Opened, path: Path
) -> None:
    ledger = await opened(secret=ring_at(path, plain_ring(SECRET, NOW)))
    install(ledger, flow(run))
    [message] = await keep(ledger, "1")
    await ledger.database.run(
        "update body set sealed = $1", sealed_as_before_rings(message, b"from before")
    )
    old = ledger.keys.ring.active.id
    await ledger.keys.rotate("pat")
    with pytest.raises(StateConflict, match="1 values are still sealed"):
        await ledger.keys.remove(old, "pat")


async def test_a_pseudonym_is_the_same_before_and_after_rotations(
    ledger: Ledger, opened: Opened, path: Path
) -> None:
    adopted = await opened(secret=ring_at(path, plain_ring(SECRET, NOW)))
    before = ledger.vault.pseudonym("case", "EHR", "1")
    await adopted.keys.rotate("pat")
    again = await opened(secret=ring_at(path))
    assert adopted.vault.pseudonym("case", "EHR", "1") == before
    assert again.vault.pseudonym("case", "EHR", "1") == before


async def test_resealing_leaves_nothing_under_a_retired_key_and_says_so(first: Ledger) -> None:
    messages = await keep(first, *(str(number) for number in range(250)))
    token = await keep_context(first)
    await first.keys.rotate("pat")
    looked: list[int] = []
    done = await first.keys.reseal("pat", looked.append)
    assert (done.resealed, done.left, done.unopened) == (252, (), {})
    assert sum(looked) == 252
    assert await sealed_under(first) == {first.keys.ring.active.id: 252}
    assert await bodies(first, messages[:2]) == [b"used 0", b"used 1"]
    row = await first.database.row("select sealed from sealed_context where token = $1", token)
    assert first.vault.open_context(token, bytes(row["sealed"])) == PATIENT


async def test_every_part_of_a_resealing_is_in_the_audit_trail(first: Ledger) -> None:
    await keep(first, "1", "2")
    await first.keys.rotate("pat")
    await first.keys.reseal("pat", quiet)
    told = [each for _, _, each in await first.audit.recent(limit=9, kind="access", actor="pat")]
    key = first.keys.ring.active.id
    assert [(each.action, each.object) for each in told] == [
        ("reseal bodies", key),
        ("rotate key", key),
    ]
    assert told[0].detail["values"] == "2"


async def test_a_resealing_that_was_cut_off_goes_on_where_work_is_left(first: Ledger) -> None:
    await keep(first, *(str(number) for number in range(150)))
    await first.keys.rotate("pat")
    running = asyncio.create_task(first.keys.reseal("pat", quiet))
    while await count(first, "audit", "kind = 'access'") < 2:  # the rotation, and the first part
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    done = await first.keys.reseal("pat", quiet)
    assert done.left == ()
    told = [each for _, _, each in await first.audit.recent(limit=20, kind="access", actor="pat")]
    assert sum(int(each.detail.get("values", "0")) for each in told) == 150


async def test_two_resealings_and_arrivals_at_once_lose_nothing(
    first: Ledger, second: Ledger
) -> None:
    messages = await keep(first, *(str(number) for number in range(120)))
    await first.keys.rotate("pat")
    _, _, more = await asyncio.gather(
        first.keys.reseal("pat", quiet),
        second.keys.reseal("kim", quiet),
        keep(second, *(f"new {number}" for number in range(40))),
    )
    assert await sealed_under(first) == {first.keys.ring.active.id: 160}
    assert await bodies(first, messages) == [f"used {number}".encode() for number in range(120)]
    assert (await bodies(first, more))[0] == b"used new 0"


async def test_what_does_not_open_is_left_counted_and_keeps_its_key(
    first: Ledger, path: Path
) -> None:
    messages = await keep(first, "1", "2")
    old = first.keys.ring.active.id
    await first.keys.rotate("pat")
    await first.database.run(
        "update body set sealed = sealed || '\\x00'::bytea where message_id = $1", messages[0]
    )
    done = await first.keys.reseal("pat", quiet)
    assert done.resealed == 1
    assert [(one.what, one.key, one.values) for one in done.left] == [("bodies", old, 1)]
    assert done.unopened == {"internal-fault: a sealed value does not open": 1}
    await long_ago(path)
    with pytest.raises(StateConflict, match="1 values are still sealed"):
        await first.keys.remove(old, "pat")


async def test_a_key_is_removed_once_nothing_needs_it_and_some_time_has_passed(
    first: Ledger, path: Path
) -> None:
    messages = await keep(first, "1")
    old = first.keys.ring.active.id
    await first.keys.rotate("pat")
    with pytest.raises(StateConflict, match="1 values are still sealed"):
        await first.keys.remove(old, "pat")
    await first.keys.reseal("pat", quiet)
    with pytest.raises(StateConflict, match="active a moment ago"):
        await first.keys.remove(old, "pat")
    await long_ago(path)
    await first.keys.remove(old, "pat")
    assert [key.id for key in read_ring(path.read_bytes()).keys] == [first.keys.ring.active.id]
    assert await bodies(first, messages) == [b"used 1"]


async def test_the_active_key_and_a_key_that_is_not_there_are_not_removed(first: Ledger) -> None:
    with pytest.raises(StateConflict, match="active key"):
        await first.keys.remove(first.keys.ring.active.id, "pat")
    with pytest.raises(NotFound):
        await first.keys.remove("kaaaaaaa", "pat")


async def test_a_ring_given_by_the_environment_is_not_rotated(ledger: Ledger) -> None:
    with pytest.raises(StateConflict) as failed:
        await ledger.keys.rotate("pat")
    assert "SUTURE_KEY_RING_FILE" in failed.value.fix


async def test_a_value_cannot_be_said_to_be_of_another_key(first: Ledger) -> None:
    messages = await keep(first, "1")
    await first.keys.rotate("pat")
    header, _ = first.vault.keys.sealing()
    await first.database.run("update body set sealed = $1 || substring(sealed from 10)", header)
    with pytest.raises(InternalFault, match="does not open"):
        await bodies(first, messages)


async def test_a_file_that_is_broken_or_another_ring_is_not_taken(
    first: Ledger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = path.read_bytes()
    for text in (kept[:40], ring_text(new_ring(NOW))):
        path.write_bytes(text)
        [message] = await keep(first, hashlib.sha256(text).hexdigest())
        await bodies(first, [message])
    assert "does not hold" in caplog.text
    assert "another ring" in caplog.text
    assert len(await sealed_under(first)) == 1


async def test_a_key_that_comes_back_into_the_file_opens_again(
    first: Ledger, second: Ledger, path: Path
) -> None:
    messages = await keep(first, "1")
    kept = path.read_bytes()
    await first.keys.rotate("pat")
    path.write_bytes(ring_text(first.keys.ring.without(read_ring(kept).active.id)))
    await keep(second, "2")
    with pytest.raises(MissingKey):
        await bodies(second, messages)
    path.write_bytes(ring_text(first.keys.ring))
    assert await bodies(second, messages) == [b"used 1"]


@pytest.mark.parametrize("shown", [repr, str, lambda ring: f"{[ring]} {ring.keys}"])
def test_a_ring_never_prints_its_keys(shown) -> None:
    ring = new_ring(NOW)
    for text in (shown(ring), repr(KeyRing(ring)), repr(ring.active)):
        assert "secret" not in text
        assert repr(ring.active.secret)[2:-1] not in text


async def test_every_sealed_column_is_resealed(ledger: Ledger) -> None:
    """A new column of bytes is either sealed, and named in `SEALED`, or open for a reason."""
    open_for_a_reason = {
        "message.digest": "a fingerprint",
        "message.answer": "an acknowledgement",
        "audit.record": "evidence, without patient data",
        "audit.hash": "a fingerprint",
        "ticket.digest": "a fingerprint",
        "checkpoint.body": "a statement that is meant to be shown",
        "checkpoint.signature": "its signature",
    }
    rows = await ledger.database.rows(
        "select c.relname || '.' || a.attname from pg_attribute a join pg_class c on"
        " c.oid = a.attrelid where a.atttypid = 'bytea'::regtype and a.attnum > 0"
        " and not a.attisdropped and c.relkind in ('r', 'p') and not c.relispartition"
        " and c.relnamespace = 'suture'::regnamespace"
    )
    sealed = {f"{column.table}.{column.sealed}" for column in SEALED}
    assert {row[0] for row in rows} == sealed | set(open_for_a_reason)
