"""What we answer: 997 (004010), 999 (005010) and TA1, built from an examined interchange.

A 997 is itself never acknowledged: whoever answers leaves out the groups of kind FA.
"""

import re
from typing import Final

from standards.x12.control import ACCEPTED
from standards.x12.envelope import Group, InterchangeHeader, Segment, SegmentError
from standards.x12.writer import OutgoingSet

_FIRST_WITH_999: Final = "005010"
_SEGMENT_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}", re.ASCII)
_MOST_CODES: Final = 5
_LONGEST_COPY: Final = 99


def answers_with_999(group: Group) -> bool:
    """Whether the partner's release knows the 999."""
    return group.version >= _FIRST_WITH_999


def functional_acknowledgement(group: Group) -> OutgoingSet:
    """Return the 997 or 999 of one group."""
    modern = answers_with_999(group)
    segments: list[Segment] = [_group_header(group, modern=modern)]
    for each in group.sets:
        segments.append(["AK2", _echo(each.code, "000"), _echo(each.control, "0000")])
        for error in each.segment_errors:
            segments += _notes(error, "IK" if modern else "AK")
        status = "A" if each.accepted else "R"
        trailer = "IK5" if modern else "AK5"
        segments.append([trailer, status, *each.syntax_codes[:_MOST_CODES]])
    segments.append(_group_trailer(group))
    if modern:
        return OutgoingSet(code="999", segments=tuple(segments), convention="005010X231A1")
    return OutgoingSet(code="997", segments=tuple(segments))


def interchange_acknowledgement(header: InterchangeHeader, note: str) -> Segment:
    """Return the TA1 for the interchange with this header; note 000 accepts, all others reject."""
    verdict = "A" if note == ACCEPTED else "R"
    return ["TA1", header.control, header.date, header.time, verdict, note]


def _group_header(group: Group, *, modern: bool) -> Segment:
    control = _echo(group.control, "0")
    version = _echo(group.version, "") if modern else ""
    return ["AK1", _echo(group.functional_id, "ZZ"), control, version]


def _echo(value: str, otherwise: str) -> str:
    """Repeat what the partner sent, unless it is empty or cannot be spelled."""
    return value if re.fullmatch(r"[A-Za-z0-9]+", value) else otherwise


def _group_trailer(group: Group) -> Segment:
    received = str(len(group.sets))
    declared = group.declared if group.declared.isdigit() else received
    accepted = str(len(group.accepted_sets))
    return ["AK9", group.verdict, declared, received, accepted, *group.errors[:_MOST_CODES]]


def _notes(error: SegmentError, prefix: str) -> list[Segment]:
    if not _SEGMENT_ID.fullmatch(error.segment):
        return []  # AK301 cannot spell it; AK5 still says that segments are in error
    segments: list[Segment] = [[f"{prefix}3", error.segment, str(error.position), "", error.code]]
    for each in error.elements:
        if each.element:
            copy = each.value if _can_be_copied(each.value) else ""
            segments.append([f"{prefix}4", str(each.element), each.reference, each.code, copy])
    return segments


def _can_be_copied(value: str) -> bool:
    """AK404 is optional: a value with separators or foreign characters is left out."""
    return len(value) <= _LONGEST_COPY and bool(re.fullmatch(r"[A-Za-z0-9 .,/+-]*", value))
