"""Segments to bytes: envelopes, counts and padding (X12.5, X12.6).

X12 has no escape: an element that holds a delimiter is refused by name. Free text is made fit
beforehand with `plain_text`, which replaces what X12 cannot carry by a space.
"""

import unicodedata
from datetime import datetime
from typing import Final

import msgspec

from canonical.errors import InvalidRequest
from standards.x12.control import GROUP_OF
from standards.x12.envelope import Delimiters, Segment

_HIGHEST: Final = 999_999_999
_USUAL_DELIMITERS: Final = frozenset("*~>^|:")
_SPELLED_OUT: Final = str.maketrans(
    {"ß": "ss", "\u00d7": "x", "\u2013": "-", "µ": "u", "ø": "o", "Ø": "O"}
)
_COMPOSITE_ALLOWED: Final = frozenset({"AK4", "IK4", "CTX"})


class OutgoingSet(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a set; the writer adds ST and SE. `convention` is ST03 ('' before 005010)."""

    code: str
    segments: tuple[Segment, ...]
    convention: str = ""


class OutgoingGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Sets of one kind; `control` becomes GS06."""

    sender: str
    receiver: str
    control: int
    sets: tuple[OutgoingSet, ...]
    version: str = "004010"


class OutgoingInterchange(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into ISA. `notes` are TA1 segments, which stand before the groups."""

    sender_qualifier: str
    sender: str
    receiver_qualifier: str
    receiver: str
    at: datetime
    control: int
    groups: tuple[OutgoingGroup, ...] = ()
    notes: tuple[Segment, ...] = ()
    version: str = "00401"
    test: bool = False
    delimiters: Delimiters = Delimiters()


def control_number(number: int) -> int:
    """Fold a counter into 1 to 999999999: control numbers wrap."""
    return (number - 1) % _HIGHEST + 1


def control_text(number: int) -> str:
    """Spell a counter as ISA13: nine digits."""
    return f"{control_number(number):09}"


def plain_text(text: str, limit: int = 80) -> str:
    """Make free text fit: accents dropped, what X12 cannot carry replaced by a space, cut to
    `limit`.
    """
    parted = unicodedata.normalize("NFKD", text.translate(_SPELLED_OUT))
    kept = "".join(
        each if each.isascii() and each.isprintable() and each not in _USUAL_DELIMITERS else " "
        for each in parted
        if not unicodedata.combining(each)
    )
    return " ".join(kept.split())[:limit].rstrip()


def write(interchange: OutgoingInterchange) -> bytes:
    """Spell the interchange, or raise `InvalidRequest` for an element that X12 cannot carry."""
    segments = [_header(interchange), *interchange.notes]
    for group in interchange.groups:
        segments += _group(group, interchange.at)
    segments.append(["IEA", str(len(interchange.groups)), control_text(interchange.control)])
    marks = interchange.delimiters
    spelled = [_spell(segments[0], marks, header=True)]
    spelled += [_spell(segment, marks) for segment in segments[1:]]
    return (marks.terminator.join(spelled) + marks.terminator).encode("ascii")


def _header(interchange: OutgoingInterchange) -> Segment:
    marks = interchange.delimiters
    return [
        "ISA",
        "00",
        " " * 10,
        "00",
        " " * 10,
        _fixed(interchange.sender_qualifier, 2, "ISA05"),
        _fixed(interchange.sender, 15, "ISA06"),
        _fixed(interchange.receiver_qualifier, 2, "ISA07"),
        _fixed(interchange.receiver, 15, "ISA08"),
        interchange.at.strftime("%y%m%d"),
        interchange.at.strftime("%H%M"),
        marks.repetition or "U",
        _fixed(interchange.version, 5, "ISA12"),
        control_text(interchange.control),
        "0",
        "T" if interchange.test else "P",
        marks.component,
    ]


def _fixed(value: str, width: int, where: str) -> str:
    if not value or len(value) > width:
        raise InvalidRequest(
            "does not fit the interchange header",
            where=where,
            expected=f"1 to {width} characters",
            fix="correct the trading partner",
        )
    return value.ljust(width)


def _group(group: OutgoingGroup, at: datetime) -> list[Segment]:
    kinds = {GROUP_OF.get(each.code, "") for each in group.sets}
    if len(kinds) != 1 or "" in kinds:
        raise InvalidRequest("a group holds sets of one kind", where="GS01")
    control = str(control_number(group.control))
    opening = ["GS", kinds.pop(), group.sender, group.receiver, at.strftime("%Y%m%d")]
    segments: list[Segment] = [[*opening, at.strftime("%H%M"), control, "X", group.version]]
    for number, each in enumerate(group.sets, 1):
        own = f"{number:04}"
        segments.append(["ST", each.code, own, each.convention])
        segments += each.segments
        segments.append(["SE", str(len(each.segments) + 2), own])
    return [*segments, ["GE", str(len(group.sets)), control]]


def _spell(segment: Segment, marks: Delimiters, *, header: bool = False) -> str:
    last = len(segment)
    while last > 1 and not segment[last - 1]:
        last -= 1
    kept = segment[:last]
    allowed = marks.component + marks.repetition
    forbidden = marks.element + marks.terminator
    if not header and segment[0] not in _COMPOSITE_ALLOWED:
        forbidden, allowed = forbidden + allowed, ""
    for number, element in enumerate(kept):
        clean = element.isascii() and (element.isprintable() or set(element) <= set(allowed))
        if not clean or any(mark in element for mark in forbidden):
            raise InvalidRequest(
                "an element holds a character that X12 cannot carry",
                where=f"{segment[0]}{number:02}",
                expected="no delimiter, printable ASCII",
                fix="remove the character, or let plain_text replace it",
            )
    return marks.element.join(kept)
