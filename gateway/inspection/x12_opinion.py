"""What pyx12 says about an X12 interchange: its reader about envelopes, a map where it has one.

pyx12 ships maps for claims, eligibility and acknowledgements only: it has none for an order (850),
its answer (855), a ship notice (856) or an invoice (810). Where a map would judge wrongly it is not
asked: a set that is not of the map, 005010 without ST03, which it accepts unseen, and a 997 about a
group of the supply chain, which is in none of its code lists.
"""

import io
import re
from typing import Any, Final, NamedTuple

import msgspec
import pyx12.errors
import pyx12.map_index
import pyx12.params
import pyx12.x12file
import pyx12.x12n_document

from gateway.inspection.second_opinion import Answer
from standards.x12.control import GROUPS

_RELEASES: Final = ("00401", "00501")
_ISA12: Final = slice(84, 89)
_TERMINATOR: Final = slice(105, 106)
_SEGMENT_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}", re.ASCII)
_SUPPLY_GROUPS: Final = GROUPS - {"FA", "RA"}
_SHOWN: Final = 3
_STUMBLES: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(OSError, RecursionError, TypeError, ValueError),
)


class _Segment(msgspec.Struct):
    seg_id: str


class _Transaction(msgspec.Struct):
    segments: list[_Segment]


class _Group(msgspec.Struct):
    transactions: list[_Transaction]


class _Interchange(msgspec.Struct):
    groups: list[_Group]


class _Report(msgspec.Struct):
    """Its list of errors, as far as it names segments."""

    interchanges: list[_Interchange]


_report = msgspec.json.Decoder(_Report)


class _Set(NamedTuple):
    """A set and the group it is in: what a map is found by."""

    release: str
    functional_id: str
    code: str
    has_convention: bool


class _Envelopes:
    """What its reader finds: error codes by level, the sets, and how many segments it saw."""

    def __init__(self) -> None:
        self.codes = dict[str, None]()
        self.sets = list[_Set]()
        self.acknowledged = set[str]()
        self.segments = 0


def opinion(body: bytes) -> Answer:
    """Judge one interchange."""
    text = body.decode("latin-1").lstrip("\r\n\t ")
    if not text.startswith("ISA") or text[_ISA12] not in _RELEASES:
        return _none("it reads interchanges of version 00401 and 00501 only")
    try:
        found = _envelopes(text)
    except pyx12.errors.X12Error:
        return Answer(is_valid=False, text="its reader finds no interchange")
    except _STUMBLES as exc:
        return _none(f"its reader stumbled ({type(exc).__name__})")
    if found.segments < _segments(text):
        return _none("its reader stops at an empty segment, and says nothing about the rest")
    if found.codes:
        return Answer(is_valid=False, text=f"its reader reports {_list(list(found.codes))}")
    return _by_map(text, found)


def _envelopes(text: str) -> _Envelopes:
    found = _Envelopes()
    group = ("", "")
    reader = pyx12.x12file.X12Reader(io.StringIO(text))
    for segment in reader:
        found.segments += 1
        for level, code, *_ in reader.pop_errors():
            found.codes[f"{level} {code}"] = None
        name = segment.get_seg_id()
        if name == "GS":
            group = (_value(segment, "GS08"), _value(segment, "GS01"))
        elif name == "AK1":
            found.acknowledged.add(_value(segment, "AK101"))
        elif name == "ST":
            is_modern = bool(_value(segment, "ST03"))
            found.sets.append(_Set(*group, _value(segment, "ST01"), is_modern))
    reader.cleanup()
    for level, code, *_ in reader.pop_errors():
        found.codes[f"{level} {code}"] = None
    return found


def _value(segment: Any, place: str) -> str:
    return segment.get_value(place) or ""


def _segments(text: str) -> int:
    return sum(1 for part in text.split(text[_TERMINATOR])[:-1] if part.strip("\r\n"))


def _by_map(text: str, found: _Envelopes) -> Answer:
    release = text[_ISA12]
    index = pyx12.map_index.map_index()
    unmapped = [
        one.code
        for one in found.sets
        if not (index.get_abbr(release, one.release, one.functional_id) or "").startswith(one.code)
    ]
    if unmapped or not found.sets:
        codes = _list(sorted({code if code.isdigit() else "…" for code in unmapped}))
        return _enveloped(f"no map for {codes or 'anything'}")
    if release == _RELEASES[1] and not all(one.has_convention for one in found.sets):
        return _enveloped("its map needs ST03 and was not asked")
    if found.acknowledged & _SUPPLY_GROUPS:
        return _enveloped("its map of acknowledgements knows insurance groups only")
    report = io.StringIO()
    try:
        is_valid = pyx12.x12n_document.x12n_document(
            pyx12.params.ParamsBase(), io.StringIO(text), None, None, fd_json=report
        )
    except (pyx12.errors.EngineError, pyx12.errors.X12Error, *_STUMBLES) as exc:
        return _none(f"envelopes in order; its map stumbled ({type(exc).__name__})")
    if is_valid:
        return Answer(is_valid=True, text="envelopes in order, and so is the content by its map")
    return Answer(is_valid=False, text=f"its map rejects {_rejected(report.getvalue())}")


def _rejected(report: str) -> str:
    """Name the segments its report is about, and nothing of what is in them."""
    names = dict.fromkeys(
        segment.seg_id
        for interchange in _report.decode(report).interchanges
        for group in interchange.groups
        for transaction in group.transactions
        for segment in transaction.segments
        if _SEGMENT_ID.fullmatch(segment.seg_id)
    )
    return _list(list(names)) or "the envelope"


def _list(words: list[str]) -> str:
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _enveloped(rest: str) -> Answer:
    return Answer(is_valid=True, text=f"envelopes in order; {rest}", is_partial=True)


def _none(why: str) -> Answer:
    return Answer(is_valid=None, text=f"no opinion: {why}")
