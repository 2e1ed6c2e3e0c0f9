"""`suture audit verify` and `export`: the trail, or a file that proves itself anywhere."""

import argparse
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from canonical.clock import utc_now
from canonical.errors import Failure, MalformedMessage
from experience_apis.security.audit_event import audit_event
from experience_apis.security.filters import audit_row
from gateway.commands.opening import configured, opened
from gateway.keys import kept_audit_keys
from ledger.audit.export import FORMAT, Header, verify_export
from ledger.audit.keys import public_key_ids
from ledger.audit.reading import Wanted
from ledger.audit.verdict import Verdict
from ledger.audit.verification import Witness
from ledger.ledger import Ledger

FORMATS = ("suture", "fhir")
_SOUND, _BROKEN, _UNREADABLE = 0, 1, 2
_OFTEN = 2000


async def verify(given: argparse.Namespace) -> int:
    """Return 0 where all holds, 1 where something is broken, 2 where it cannot be read."""
    try:
        witness, pinned = _witness(given.witness), _pinned(given.key)
        if given.file is None:
            verdict = await _verify_trail(given, pinned, witness)
        else:
            verdict = _verify_file(given, pinned, witness)
    except (Failure, OSError) as exc:
        said = exc.strerror if isinstance(exc, OSError) else str(exc)
        print(f"suture: cannot be verified: {said}", file=sys.stderr)
        return _UNREADABLE
    if given.json:
        print(msgspec.json.encode(verdict).decode())
    else:
        _tell(verdict)
    return _BROKEN if verdict.broken else _SOUND


async def _verify_trail(
    given: argparse.Namespace, pinned: frozenset[str] | None, witness: Witness | None
) -> Verdict:
    keys = kept_audit_keys(configured(given))
    known = pinned or frozenset(key.id for key in keys.public())
    with _progress("records", quiet=given.json) as told:
        async with opened(given) as ledger:
            return await ledger.audit.examine(pinned=known, witness=witness, told=told)


def _verify_file(
    given: argparse.Namespace, pinned: frozenset[str] | None, witness: Witness | None
) -> Verdict:
    size = given.file.stat().st_size
    with given.file.open("rb") as file, _progress("bytes", quiet=given.json, total=size) as told:
        _, verdict = verify_export(_lines(file, told), pinned=pinned, witness=witness)
    return verdict


def _lines(file: BinaryIO, told: Callable[[int], object]) -> Iterator[bytes]:
    for number, line in enumerate(file):
        if not number % _OFTEN:
            told(file.tell())
        yield line


@contextmanager
def _progress(
    unit: str, *, quiet: bool, total: int | None = None
) -> Generator[Callable[[int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("verifying"), BarColumn(), TextColumn("{task.completed:,} " + unit))
    shown = console.is_terminal and not quiet
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)


def _tell(verdict: Verdict) -> None:
    for link in verdict.broken:
        print(f"BROKEN {link.chain}, {link.seq}: {link.reason}")
    unsigned = verdict.records - verdict.signed
    print(
        f"{verdict.records} records of {verdict.chains} chains read,"
        f" {verdict.signed} of them signed by {verdict.checkpoints} checkpoints"
    )
    if unsigned and not verdict.broken:
        print(f"{unsigned} are newer than the newest checkpoint: chained, and not signed yet")
    if verdict.removed:
        print(f"{verdict.removed} older records were removed by rule, as checkpoints say")
    if not verdict.complete:
        print(f"a part of the trail: {verdict.left_out} records are here by their digests only")
    if verdict.checkpoint:
        print(f"newest checkpoint {verdict.checkpoint}")
        print(f"key {verdict.key}, {_TRUST[verdict.pinned]}")
    print(f"{len(verdict.broken)} BROKEN" if verdict.broken else "everything holds")


_TRUST = {
    True: "vouched for by a key that was known here",
    False: "NOT vouched for by the key that was known here",
    None: "which only the file itself declares: compare it, or give --key",
}


def _witness(text: str | None) -> Witness | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    if not number.isdecimal() or not digest:
        raise MalformedMessage("not a checkpoint", where="--witness", expected="NUMBER:HASH")
    return Witness(int(number), digest)


def _pinned(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    file = Path(text)
    return public_key_ids(file.read_bytes()) if file.is_file() else frozenset({text})


async def export(given: argparse.Namespace) -> int:
    """Sign what is not signed yet, where the key is here, and write the file."""
    async with opened(given) as ledger:
        transaction = given.transaction
        if transaction:
            transaction = await ledger.traces.find(transaction)
        wanted = Wanted(transaction, given.since, given.until)
        await ledger.checkpoints.make()
        with _whole_file(given.to) as file:
            write = _write_fhir if given.format == "fhir" else _write_export
            records = await write(ledger, wanted, file)
    if given.json:
        print(msgspec.json.encode({"records": records, "file": str(given.to)}).decode())
    else:
        print(f"{records} records written to {given.to}")
    return 0


async def _write_export(ledger: Ledger, wanted: Wanted, file: BinaryIO) -> int:
    keys = ledger.checkpoints.keys
    header = Header(
        format=FORMAT,
        made=utc_now(),
        transaction=wanted.transaction,
        since=wanted.since,
        until=wanted.until,
        keys=keys.public() if keys else (),
    )
    return await ledger.audit.export(file.write, header, await ledger.checkpoints.signing())


async def _write_fhir(ledger: Ledger, wanted: Wanted, file: BinaryIO) -> int:
    """Write one AuditEvent a line (NDJSON, as FHIR Bulk Data does)."""
    records = 0
    async for found in ledger.audit.found(wanted):
        file.write(msgspec.json.encode(audit_event(audit_row(found))) + b"\n")
        records += 1
    return records


@contextmanager
def _whole_file(path: Path) -> Generator[BinaryIO]:
    """Write beside the file and rename: there is all of it, or what was there before."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
