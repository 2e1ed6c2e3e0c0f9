"""AK3, AK4, AK5 and AK9 codes in words: the first thing wrong with a group or a set."""

import re
from typing import Final

from canonical.errors import MalformedMessage
from standards.x12.envelope import Group, SegmentError, TransactionSet

_SEGMENT_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}", re.ASCII)

_GROUP: Final = {
    "3": ("GE", "the group does not end", "GE"),
    "4": ("GE02", "the control number is another", "GS06"),
    "5": ("GE01", "the number of sets is another", "as many as there are"),
    "6": ("GS06", "not a control number", "1 to 9 digits"),
}
"""Data element 716 (AK905): where, what, and what is expected."""

_SET: Final = {
    "2": ("SE", "the set does not end", "SE"),
    "3": ("SE02", "the control number is another", "ST02"),
    "4": ("SE01", "the number of segments is another", "as many as there are"),
    "6": ("ST01", "the set does not belong into this group", "the set that GS01 names"),
    "7": ("ST02", "not a control number", "4 to 9 characters"),
    "23": ("ST02", "the control number came before in this group", "one of its own"),
}
"""Data element 718 (AK502)."""

_SEGMENT: Final = {
    "1": "not a segment identifier",
    "2": "an unexpected segment",
    "3": "a mandatory segment is missing",
    "5": "the segment comes too often",
    "7": "the segment is out of order",
}
"""Data element 720 (AK304)."""

_ELEMENT: Final = {
    "1": ("missing", "a value"),
    "2": ("missing although its partner is there", "both or none"),
    "4": ("too short", "a longer value"),
    "5": ("too long", "a shorter value"),
    "6": ("an invalid character", "a character of the basic set"),
    "7": ("not a code of its list", "a code of the list"),
    "8": ("not a date", "CCYYMMDD"),
    "9": ("not a time", "HHMM"),
}
"""Data element 723 (AK403)."""


def group_fault(group: Group) -> MalformedMessage | None:
    """Return what is wrong with the envelope of a group."""
    if not group.errors:
        return None
    code = group.errors[0]
    where, detail, expected = _GROUP.get(code, ("GS", f"rejected with AK905 {code}", ""))
    return MalformedMessage(detail, where=where, expected=expected)


def set_fault(each: TransactionSet) -> MalformedMessage:
    """Return the first thing that is wrong with a set: its envelope before its content."""
    code = next((one for one in each.set_errors if one in _SET), "")
    if code or not each.segment_errors:
        named = _SET.get(code, ("ST", f"rejected with AK502 {', '.join(each.set_errors)}", ""))
        where, detail, expected = named
        return MalformedMessage(detail, where=where, expected=expected)
    return _segment_fault(each.segment_errors[0])


def _segment_fault(error: SegmentError) -> MalformedMessage:
    """Name a segment by its identifier; a broken one may hold anything and is only counted."""
    name = error.segment if _SEGMENT_ID.fullmatch(error.segment) else ""
    place = f"segment {error.position}"
    if not error.elements:
        detail = _SEGMENT.get(error.code, f"rejected with AK304 {error.code}")
        return MalformedMessage(detail, where=f"{name} in {place}".strip() if name else place)
    first = error.elements[0]
    detail, expected = _ELEMENT.get(first.code, (f"rejected with AK403 {first.code}", ""))
    where = f"{name}{first.element:02} in {place}" if name else place
    return MalformedMessage(detail, where=where, expected=expected)
