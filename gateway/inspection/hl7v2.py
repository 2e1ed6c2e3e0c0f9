"""HL7 v2 documents: one message, several in a row, a batch, or what an MLLP trace left behind."""

import re
from collections import Counter
from itertools import pairwise
from typing import Final

from canonical.errors import Failure, MalformedMessage, NothingToPost
from canonical.usage import NothingUsed
from gateway.inspection.permissive import ANY, NOTE, hl7_feed
from gateway.inspection.verdict import (
    SEALED,
    UNTYPED,
    Canonical,
    Contents,
    Message,
    Part,
    Refusal,
    Structure,
    refusal,
)
from standards.hl7v2 import batch
from standards.hl7v2.acknowledgement import MISSING, header
from standards.hl7v2.message import Message as Hl7Message
from standards.hl7v2.reader import read
from system_apis.ehr.hl7v2_feed.mapping import surgical_case, usage_facts
from system_apis.ehr.hl7v2_feed.wire import CHANGES, USAGE_EVENTS

_FRAMING: Final = re.compile(rb"\x0b(?=MSH|FHS|BHS|\s*\Z)|\x1c(?=[\r\n\x0b]|\Z)")
_UNFRAMED: Final = "MLLP framing bytes were taken off"
_MSH: Final = re.compile(rb"(?:\A|(?<=[\r\n]))MSH(?![A-Za-z0-9])")
_ENVELOPE: Final = re.compile(rb"(?:\A|(?<=[\r\n]))(?:FHS|BHS|BTS|FTS)(?![A-Za-z0-9])[^\r\n]*")
_BOM: Final = b"\xef\xbb\xbf"
_NAME: Final = re.compile(r"[A-Z][A-Z0-9]{2}")
_VERSION: Final = re.compile(r"2(?:\.[0-9]){0,2}")


def contents(body: bytes) -> Contents:
    """Take a document apart and read each message."""
    pieces = [piece for piece in _FRAMING.split(body) if piece.strip()]
    notes = (_UNFRAMED,) if _FRAMING.search(body) else ()
    parts = list[Part]()
    failure: Refusal | None = None
    for piece in pieces:
        messages, broken = _messages(piece)
        parts += [Part(body=each, messages=(_message(each),)) for each in messages]
        failure = failure or broken
    return Contents(parts=tuple(parts), notes=notes, failure=failure)


def _messages(piece: bytes) -> tuple[list[bytes], Refusal | None]:
    """Split a batch; of one that is broken, list the messages all the same."""
    found = list(_MSH.finditer(piece))
    if len(found) <= 1 and _starts_with_message(piece):
        return [piece], None
    try:
        return batch.split(piece), None
    except Failure as failure:
        starts = [one.start() for one in found]
        spans = pairwise([*starts, len(piece)])
        return [_ENVELOPE.sub(b"", piece[start:end]) for start, end in spans], refusal(failure)


def _starts_with_message(piece: bytes) -> bool:
    return not piece.removeprefix(_BOM).lstrip(b"\r\n").startswith((b"FHS", b"BHS"))


def _message(body: bytes) -> Message:
    head = header(body)
    name = _kind(head.first(9), head.first(9, 2))
    version = head.first(12)
    version = version if _VERSION.fullmatch(version) else ""
    try:
        message = read(body)
        _check_heading(message)
    except Failure as failure:
        return Message(type=name, version=version, failure=refusal(failure))
    structure = Structure(segments=dict(Counter(each.name for each in message.segments())))
    if not _is_mapped(message):
        return Message(type=name, version=version, structure=structure)
    try:
        found = _canonical(message)
    except Failure as failure:
        return Message(
            type=name, version=version, structure=structure, failure=refusal(failure), note=NOTE
        )
    return Message(
        type=name,
        version=version,
        canonical=found,
        patient_context="" if isinstance(found[0].value, NothingUsed) else SEALED,
        note=NOTE,
    )


def _kind(code: str, event: str) -> str:
    """MSH-9 as `ORU^R01`; what is no code of three characters could be anything and is not said."""
    if not _NAME.fullmatch(code):
        return UNTYPED
    return f"{code}^{event}" if _NAME.fullmatch(event) else code


def _check_heading(message: Hl7Message) -> None:
    """Require what every message must say (HL7 v2 2.14.9): its type, and to us its number."""
    if not message.type:
        raise MalformedMessage(MISSING, where="MSH-9", expected="a message type")
    if _is_mapped(message) and not message.control_id:
        raise MalformedMessage(MISSING, where="MSH-10", expected="a message control id")


def _is_mapped(message: Hl7Message) -> bool:
    return (message.type == "SIU" and message.event in CHANGES) or (
        message.type == "DFT" and message.event in USAGE_EVENTS
    )


def _canonical(message: Hl7Message) -> tuple[Canonical, ...]:
    """Map as the feed's door does: charges without a supply are taken note of, not refused."""
    if message.type == "SIU":
        case, _ = surgical_case(message, hl7_feed())
        return (Canonical(object="SurgicalCase", value=case),)
    try:
        facts, _ = usage_facts(message, hl7_feed())
    except NothingToPost:
        if message.first("FT1") is None:
            raise
        nothing = NothingUsed(facility=ANY, source=ANY)
        return (Canonical(object="NothingUsed", value=nothing),)
    return tuple(Canonical(object=type(each).__name__, value=each) for each in facts)
