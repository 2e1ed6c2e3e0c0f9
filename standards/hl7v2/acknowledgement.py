"""Acknowledgements (HL7 v2 2.9): built from the raw MSH, also when the message cannot be read.

Rules:
1. Original mode, when MSH-15 and MSH-16 are empty: AA, AE or AR. Enhanced mode otherwise: the
   commit acknowledgement CA, CE or CR as MSH-15 asks; where MSH-15 wants none but MSH-16 does, the
   application acknowledgement, because what is answered is then all the sender will ever hear.
2. NE means silence, with one exception: what could not be stored is always answered, because a
   silent sender takes its message for safe.
3. An acknowledgement is never acknowledged.
4. Echoed values cannot add fields or segments: without CR and LF by construction, escaped where
   the separators are not the sender's own.
"""

import re
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from canonical.errors import Failure, MalformedMessage, UnsupportedMessage
from standards.hl7v2 import charset
from standards.hl7v2.separators import STANDARD, Separators, declared, escaped, printable
from standards.hl7v2.values import written

MISSING = "a required field is empty"
"""The detail of every failure about an absent value: it becomes code 101 in the ERR segment."""

Outcome = Literal["accept", "error", "reject"]

_LONGEST_ECHO = 250
_ACKNOWLEDGEMENTS = frozenset({"ACK", "MCF"})
_ORIGINAL = {"accept": "AA", "error": "AE", "reject": "AR"}
_COMMIT = {"accept": "CA", "error": "CE", "reject": "CR"}
_WANTED: dict[str, frozenset[Outcome]] = {
    "AL": frozenset({"accept", "error", "reject"}),
    "ER": frozenset({"error", "reject"}),
    "SU": frozenset({"accept"}),
    "NE": frozenset(),
    "": frozenset(),
}
_LINE_BREAK = re.compile(rb"[\r\n]")
_PLACE = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})(?:\[(?P<index>\d+)\])?"
    r"(?:-(?P<field>\d+)(?:\.(?P<component>\d+))?)?"
)

_TABLE_0357 = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
_UNSUPPORTED_BY_PLACE = {
    "MSH-9": "200",
    "MSH-9.1": "200",
    "MSH-9.2": "201",
    "MSH-11": "202",
    "MSH-12": "203",
}
_BY_SLUG = {
    "unsupported-message": "103",
    "unknown-partner": "204",
    "identity-conflict": "205",
    "state-conflict": "206",
    "nothing-to-post": "101",
}
_REJECTED = frozenset({"200", "201", "202", "203", "205"})


class Header(NamedTuple):
    """What could be read of an MSH segment, however broken the rest is. Fields are as sent."""

    separators: Separators
    codec: str
    fields: tuple[str, ...]
    declared: bool

    def raw(self, field: int) -> str:
        """Return MSH-`field` (3 and up) as it came, on one line, cut to a sane length."""
        value = self.fields[field - 1] if 0 < field <= len(self.fields) else ""
        return printable(value)[:_LONGEST_ECHO]

    def first(self, field: int, component: int = 1) -> str:
        """Return one component of the first repetition of MSH-`field`."""
        parts = self.raw(field).split(self.separators.repetition)[0]
        found = parts.split(self.separators.component)
        return found[component - 1].strip() if component <= len(found) else ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message is not accepted. `kept` is False when not even the bytes could be stored."""

    outcome: Literal["error", "reject"]
    code: str
    slug: str
    text: str
    where: str = ""
    kept: bool = True


def header(body: bytes) -> Header:
    """Read MSH as far as it goes; never raises. Without an MSH every field is empty."""
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    line = _LINE_BREAK.split(start[: 1 << 16], maxsplit=1)[0]
    if line[:3] != b"MSH" or len(line) < len(b"MSH|^~\\&"):
        return Header(STANDARD, charset.DEFAULT, (), declared=False)
    fields = line[3:].split(line[3:4])
    try:
        marks, own = declared(line[3:4].decode("ascii"), fields[1].decode("ascii")), True
    except (MalformedMessage, UnicodeDecodeError):
        marks, own = STANDARD, False
    name = fields[17].split(marks.repetition.encode())[0] if len(fields) > 17 else b""  # noqa: PLR2004 - MSH-18
    codec, texts = _readable(fields, name.decode("latin-1"))
    return Header(marks, codec, texts, own)


def is_acknowledgement(head: Header) -> bool:
    return head.first(9) in _ACKNOWLEDGEMENTS


def refusal(failure: Failure, *, kept: bool = True) -> Refusal:
    """Say a failure in the words of HL7 table 0357: the one place that knows both."""
    code = _code(failure)
    nothing_to_answer = failure.where == "MSH" and isinstance(failure, MalformedMessage)
    text = failure.detail + (f"; expected {failure.expected}" if failure.expected else "")
    return Refusal(
        outcome="reject" if code in _REJECTED or nothing_to_answer else "error",
        code=code,
        slug=failure.slug,
        where=failure.where,
        text=text,
        kept=kept,
    )


def acknowledgement(
    head: Header, *, control_id: str, at: datetime, refused: Refusal | None = None
) -> bytes:
    """Return the acknowledgement, or b'' where none is due."""
    outcome: Outcome = refused.outcome if refused else "accept"
    code = _acknowledgement_code(head, outcome, must=refused is not None and not refused.kept)
    if not code:
        return b""
    marks = head.separators
    lines = [_msh(head, control_id, at), _msa(head, code, refused)]
    if refused:
        lines.append(_err(refused, marks))
    text = "".join(line.rstrip(marks.field) + "\r" for line in lines)
    return text.encode(head.codec, "replace")


def _code(failure: Failure) -> str:
    if failure.detail == MISSING:
        return "101"
    if isinstance(failure, UnsupportedMessage) and failure.where in _UNSUPPORTED_BY_PLACE:
        return _UNSUPPORTED_BY_PLACE[failure.where]
    if isinstance(failure, MalformedMessage):
        return "102" if "-" in failure.where else "100"
    if failure.slug.startswith("unknown-"):
        return "204"
    return _BY_SLUG.get(failure.slug, "207")


def _acknowledgement_code(head: Header, outcome: Outcome, *, must: bool) -> str:
    if is_acknowledgement(head):
        return ""
    commit, application = head.first(15).upper(), head.first(16).upper()
    if not (commit or application):
        return _ORIGINAL[outcome]
    if outcome in _WANTED.get(commit, _WANTED["AL"]) or must:
        return _COMMIT[outcome]
    if commit in {"NE", ""} and outcome in _WANTED.get(application, _WANTED["AL"]):
        return _ORIGINAL[outcome]
    return ""


def _msh(head: Header, control_id: str, at: datetime) -> str:
    marks = head.separators
    event = head.first(9, 2)
    kind = marks.component.join(["ACK", event, "ACK"]) if event else "ACK"
    encoding = marks.component + marks.repetition + marks.escape + marks.subcomponent
    fields = [
        f"MSH{marks.field}{encoding}{marks.truncation}",
        *(_echo(head, field) for field in (5, 6, 3, 4)),
        written(at),
        "",
        kind,
        escaped(control_id, marks),
        _echo(head, 11) or "P",
        _echo(head, 12) or "2.5.1",
        *([""] * 5),
        _echo(head, 18),
    ]
    return marks.field.join(fields)


def _msa(head: Header, code: str, refused: Refusal | None) -> str:
    """MSA-3 repeats the text for senders older than ERR-7 (v2.5)."""
    text = escaped(refused.text, head.separators) if refused else ""
    return head.separators.field.join(["MSA", code, _echo(head, 10), text])


def _err(refused: Refusal, marks: Separators) -> str:
    code = marks.component.join([refused.code, _TABLE_0357[refused.code], "HL70357"])
    fields = ["ERR", "", _location(refused.where, marks), code, "E", "", ""]
    return marks.field.join([*fields, escaped(refused.slug, marks), escaped(refused.text, marks)])


def _location(where: str, marks: Separators) -> str:
    """Write a place as an ERL: segment, sequence, field, repetition, component (HL7 v2 2A.28)."""
    found = _PLACE.fullmatch(where)
    if found is None:
        return ""
    parts = [found["segment"], found["index"] or "1", found["field"] or ""]
    if found["component"]:
        parts += ["1", found["component"]]
    return marks.component.join(parts).rstrip(marks.component)


def _echo(head: Header, field: int) -> str:
    """Return MSH-`field` for our own segment: as sent when the separators are the sender's."""
    value = head.raw(field)
    marks = head.separators
    if head.declared and value.count(marks.escape) % 2 == 0:
        return value
    return escaped(value, marks)


def _readable(fields: list[bytes], name: str) -> tuple[str, tuple[str, ...]]:
    """Decode the header, with Latin-1 as the net: it gives every byte back unchanged."""
    try:
        codec = charset.codec(name)
        return codec, tuple(field.decode(codec) for field in fields)
    except (UnsupportedMessage, UnicodeDecodeError):
        return "latin-1", tuple(field.decode("latin-1") for field in fields)
