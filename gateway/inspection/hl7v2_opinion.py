"""What hl7apy says about an HL7 v2 message, with its known errors taken out.

- Groups are not looked for: hl7apy drops what it cannot place in one, and calls the rest valid.
- Line feeds are turned into carriage returns: hl7apy keeps only MSH of a message without them.
- Each segment is judged by `validate()` and by a strict parse: each sees what the other does not.
- A segment that the message structure requires is looked up in hl7apy's table, choices left out:
  its own check rejects every ORM^O01 for one of them.
- Complaints that are known to be wrong count as no opinion (`_excuse`).
"""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final, NamedTuple

from gateway.inspection.second_opinion import Answer

_parser: Any = import_module("hl7apy.parser")
_known: Any = import_module("hl7apy.exceptions")
_levels: Any = import_module("hl7apy.consts").VALIDATION_LEVEL

_LINE_ENDS: Final = re.compile(r"\r\n?|\n")
_PLACE: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}(?:_[0-9]{1,2}){0,2}")
_MISSING: Final = re.compile(r"Missing required child \w+\.(?P<child>\w+)")
_UNKNOWN_PART: Final = "a part that this version does not know"
_WITHDRAWN_SINCE: Final = (2, 6)
_THREE_COMPONENTS_SINCE: Final = (2, 3, 1)
_SHOWN: Final = 3

_STUMBLES: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RecursionError, TypeError),
)
"""What hl7apy raises about itself, not about the message."""

_WORDS: Final = {
    "ChildNotFound": _UNKNOWN_PART,
    "ChildNotValid": _UNKNOWN_PART,
    "InvalidName": _UNKNOWN_PART,
    "MaxChildLimitReached": _UNKNOWN_PART,
    "OperationNotAllowed": _UNKNOWN_PART,
    "MaxLengthReached": "a value that is too long",
    "InvalidEncodingChars": "MSH-2 does not have the separators of this version",
    "ParserError": "not a message",
}


class _Complaint(NamedTuple):
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" if self.place else self.what


class _Findings:
    def __init__(self, version: tuple[int, ...]) -> None:
        self.version = version
        self.complaints = list[_Complaint]()
        self.unjudged = dict[str, None]()

    def add(self, complaint: _Complaint) -> None:
        excuse = _excuse(complaint, self.version)
        if excuse:
            self.unjudged[excuse] = None
        else:
            self.complaints.append(complaint)

    def answer(self) -> Answer:
        if self.complaints:
            shown = "; ".join(str(each) for each in self.complaints[:_SHOWN])
            more = len(self.complaints) - _SHOWN
            return Answer(is_valid=False, text=shown + (f"; {more} more" if more > 0 else ""))
        if self.unjudged:
            return Answer(is_valid=None, text=f"no opinion: {'; '.join(self.unjudged)}")
        return Answer(is_valid=True, text="every segment fits its version, and none is missing")


def opinion(body: bytes) -> Answer:
    """Judge one message."""
    lines = [line for line in _LINE_ENDS.split(_text(body)) if line.strip()]
    findings = _Findings(_version(lines))
    try:
        message = _parser.parse_message(
            "".join(f"{line}\r" for line in lines),
            validation_level=_levels.TOLERANT,
            find_groups=False,
        )
    except _known.UnsupportedVersion:
        return Answer(is_valid=None, text="no opinion: it does not know this version")
    except (_known.HL7apyException, ValueError) as exc:
        findings.add(_complaint("", exc))
        return findings.answer()
    except _STUMBLES as exc:
        return Answer(is_valid=None, text=f"no opinion: it stumbled ({type(exc).__name__})")
    if len(message.children) != len(lines):
        return Answer(is_valid=None, text="no opinion: it lost segments on the way")
    _judge_segments(message, lines, findings)
    _judge_structure(message, findings)
    return findings.answer()


def _text(body: bytes) -> str:
    try:
        return body.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _version(lines: list[str]) -> tuple[int, ...]:
    fields = lines[0].split(lines[0][3:4] or "|") if lines else []
    found = re.match(r"[0-9](?:\.[0-9]){1,2}", fields[11]) if len(fields) > 11 else None  # noqa: PLR2004 - MSH-12
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _judge_segments(message: Any, lines: list[str], findings: _Findings) -> None:
    for segment, line in zip(message.children, lines, strict=True):
        name = line[:3]
        if name.startswith("Z"):
            continue
        try:
            segment.validate()
            _parser.parse_segment(
                line,
                version=message.version,
                encoding_chars=message.encoding_chars,
                validation_level=_levels.STRICT,
            )
        except (_known.HL7apyException, ValueError) as exc:
            findings.add(_complaint(name, exc))
        except _STUMBLES as exc:
            findings.unjudged[f"it stumbled over {name} ({type(exc).__name__})"] = None


def _judge_structure(message: Any, findings: _Findings) -> None:
    reference: Any = getattr(message, "reference", None)
    if not reference or not reference[1]:
        findings.unjudged["it knows no structure for this message type"] = None
        return
    present = {segment.name for segment in message.children}
    for name in sorted(set(_required(reference)) - present):
        findings.add(_Complaint(name, "required by the structure, and not there"))


def _required(reference: Any) -> Iterator[str]:
    """Name the segments every message of this structure has; of a choice none is required."""
    kind, children = reference[0], reference[1]
    if kind != "sequence":
        return
    for name, inner, (least, _), nature in (child[:4] for child in children):
        if least and nature == "SEG":
            yield name
        elif least and nature == "GRP":
            yield from _required(inner)


def _complaint(place: str, exc: Exception) -> _Complaint:
    """Say in words of ours what an exception is about: its own text quotes the message."""
    text = str(exc)
    missing = _MISSING.fullmatch(text)
    if missing and _PLACE.fullmatch(missing["child"]):
        return _Complaint(place, f"{missing['child'].replace('_', '-')} is required, and not there")
    if text.startswith("Child limit exceeded"):
        return _Complaint(place, "something repeats too often")
    if isinstance(exc, _known.ValidationError):
        return _Complaint(place, _UNKNOWN_PART)
    return _Complaint(place, _WORDS.get(type(exc).__name__, "a value of the wrong type"))


def _excuse(complaint: _Complaint, version: tuple[int, ...]) -> str:
    if complaint.what == _UNKNOWN_PART and version >= _WITHDRAWN_SINCE:
        return "from 2.6 on it rejects withdrawn fields that are still sent"
    if complaint.place == "MSH" and version < _THREE_COMPONENTS_SINCE:
        return "in 2.3 it rejects the three components of MSH-9 that are sent"
    return ""
