"""An export: the trail, or a part of it, as one file that proves itself. JSON, one object a line.

    header      format, what was asked for, public keys, where chains begin by rule
    record      a record as it was hashed, with its hash
    checkpoint  after the records that it is the first to state
    resumed     in a part: a chain is taken up after this record
    left-out    in a part: digests of records that are not here
    end         how many lines there are, their SHA-256, signed where the key was at hand

Every line has one spelling: what is decoded and encoded again is the same bytes, or it was changed.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

import msgspec

from canonical.errors import MalformedMessage
from ledger.audit.chain import KeptRecord, columns, searchable
from ledger.audit.checkpoint import Floor, Sha256, SignedCheckpoint
from ledger.audit.evidence import decode_evidence
from ledger.audit.keys import PublicKey, Signing
from ledger.audit.reading import Piece, Resumed
from ledger.audit.verdict import EXPORT, Verdict
from ledger.audit.verification import Verifier, Witness

FORMAT = "suture-audit/1"


class _Line(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename="camel",
    forbid_unknown_fields=True,
    tag_field="line",
):
    """A line of the file."""


class Header(_Line, frozen=True, kw_only=True, tag="header"):
    """What the file is: the whole trail, or what lies from `since` up to and without `until`."""

    format: str
    made: datetime
    transaction: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    keys: tuple[PublicKey, ...] = ()
    floors: tuple[Floor, ...] = ()

    @property
    def is_part(self) -> bool:
        return not (self.transaction is None and self.since is None and self.until is None)


class _Record(_Line, frozen=True, kw_only=True, tag="record"):
    """`text` is the record; `octets` where its bytes are no text any more."""

    chain: str
    seq: int
    at: datetime
    hash: Sha256
    text: str = ""
    octets: bytes = b""


class _Checkpoint(_Line, frozen=True, kw_only=True, tag="checkpoint"):
    number: int
    text: str = ""
    octets: bytes = b""
    signature: bytes


class _Resumed(_Line, frozen=True, kw_only=True, tag="resumed"):
    chain: str
    seq: int
    before: Sha256


class _LeftOut(_Line, frozen=True, kw_only=True, tag="left-out"):
    chain: str
    first: int
    digests: tuple[Sha256, ...]


class _End(_Line, frozen=True, kw_only=True, tag="end"):
    lines: int
    sha256: Sha256
    key: str = ""
    signature: bytes = b""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Header | _Record | _Checkpoint | _Resumed | _LeftOut | _End).decode


class ExportWriter:
    """Writes an export piece by piece; `end` makes it whole."""

    def __init__(self, write: Callable[[bytes], object], header: Header) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self._lines = 0
        self._add(header)

    def add(self, piece: Piece) -> None:
        self._add(_line_of(piece))

    def end(self, signing: Signing | None) -> None:
        digest = self._digest.digest()
        line = _End(lines=self._lines, sha256=digest.hex())
        if signing is not None:
            line = msgspec.structs.replace(
                line, key=signing.public.id, signature=signing.export(digest)
            )
        self._add(line)

    def _add(self, line: _Line) -> None:
        octets = _encode(line) + b"\n"
        self._digest.update(octets)
        self._lines += 1
        self._write(octets)


def _line_of(piece: Piece) -> _Line:
    if isinstance(piece, KeptRecord):
        text, octets = _spelled(piece.record)
        return _Record(
            chain=piece.chain,
            seq=piece.seq,
            at=piece.at,
            hash=piece.hash.hex().zfill(64)[:64],
            text=text,
            octets=octets,
        )
    if isinstance(piece, SignedCheckpoint):
        text, octets = _spelled(piece.body)
        number, signature = piece.number, piece.signature
        return _Checkpoint(number=number, text=text, octets=octets, signature=signature)
    if isinstance(piece, Resumed):
        return _Resumed(chain=piece.chain, seq=piece.seq, before=piece.before.hex())
    digests = tuple(digest.hex() for digest in piece.digests)
    return _LeftOut(chain=piece.chain, first=piece.first, digests=digests)


def _spelled(octets: bytes) -> tuple[str, bytes]:
    try:
        return octets.decode(), b""
    except UnicodeDecodeError:
        return "", octets


class _Reader:
    """Reads an export and feeds whoever verifies it."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._digest = hashlib.sha256()
        self._lines = 0
        self._ended = False

    def take(self, raw: bytes) -> None:
        """Take the next line, the header included."""
        line = _read_line(raw)
        number = self._lines + 1
        if self._ended:
            self._verifier.fault(EXPORT, number, "there is more after the end")
        elif isinstance(line, _End):
            self._ended = True
            self._take_end(line)
        elif line is None:
            self._verifier.fault(EXPORT, number, "the line cannot be read: it was changed")
        elif number > 1:
            self._take(line, number)
        self._digest.update(raw)
        self._lines = number

    def finish(self) -> None:
        if not self._ended:
            self._verifier.fault(EXPORT, self._lines, "the file is cut: it has no end")

    def _take(self, line: _Line, number: int) -> None:
        match line:
            case _Record():
                self._verifier.record(_row_of(line))
            case _Checkpoint():
                body = line.text.encode() or line.octets
                self._verifier.checkpoint(SignedCheckpoint(line.number, body, line.signature))
            case _Resumed():
                self._verifier.resume(line.chain, line.seq, bytes.fromhex(line.before))
            case _LeftOut():
                digests = [bytes.fromhex(digest) for digest in line.digests]
                self._verifier.left_out(line.chain, line.first, digests)
            case _:
                self._verifier.fault(EXPORT, number, "a header in the middle of the file")

    def _take_end(self, end: _End) -> None:
        tell, number = self._verifier.fault, self._lines + 1
        digest = self._digest.digest()
        if end.lines != self._lines:
            tell(EXPORT, number, f"{end.lines} lines were written, and {self._lines} are here")
        if end.sha256 != digest.hex():
            tell(EXPORT, number, "the file is not the one that was written")
        if not end.key and not end.signature:
            return
        key = self._verifier.key(end.key)
        if key is None or not key.signed_export(digest, end.signature):
            tell(EXPORT, number, "its signature as a whole does not hold")


def _read_line(raw: bytes) -> _Line | None:
    """Return a line, or None where it is not spelled as it was written."""
    try:
        line = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return line if _encode(line) + b"\n" == raw else None


def _row_of(line: _Record) -> KeptRecord:
    record = line.text.encode() or line.octets
    try:
        told = decode_evidence(record)
        kind, transaction, actor = told.kind, told.transaction or None, searchable(told.actor)
        about = columns(told)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        kind, transaction, actor, about = "", None, "", (None, None, None)
    return KeptRecord(
        chain=line.chain,
        seq=line.seq,
        kind=kind,
        transaction_id=transaction,
        record=record,
        hash=bytes.fromhex(line.hash),
        at=line.at,
        actor=actor,
        object=about[0],
        facility=about[1],
        refusal=about[2],
    )


def verify_export(
    lines: Iterable[bytes],
    *,
    pinned: Collection[str] | None = None,
    witness: Witness | None = None,
) -> tuple[Header, Verdict]:
    """Verify an export line by line; raise `MalformedMessage` where it is none at all.

    Needs nothing but the file. Without `pinned` key ids, its own keys are all there is to go by.
    """
    reader, header, verifier = None, None, None
    for raw in lines:
        if reader is None:
            header = _header(raw)
            verifier = Verifier(
                header.floors, partial=header.is_part, pinned=pinned, witness=witness
            )
            reader = _Reader(verifier)
        reader.take(raw)
    if reader is None or header is None or verifier is None:
        raise MalformedMessage("the file is empty", expected=f"an audit export ({FORMAT})")
    reader.finish()
    verdict = verifier.finish()
    if pinned and not verdict.checkpoints and verdict.records:
        verifier.fault(EXPORT, 1, "nothing in it is signed, and a key was given")
    return header, verdict


def _header(raw: bytes) -> Header:
    line = _read_line(raw)
    if not isinstance(line, Header) or line.format != FORMAT:
        raise MalformedMessage(
            "this is no audit export, or its first line was changed",
            where="line 1",
            expected=f"a header with the format {FORMAT}",
        )
    return line
