"""The state of one interchange while its segments come in: which envelope is open, and what was
wrong.
"""

import re
from typing import Final

import msgspec

from canonical.errors import MalformedMessage
from standards.x12.control import GROUP_OF
from standards.x12.envelope import (
    ElementError,
    Group,
    Interchange,
    InterchangeHeader,
    InterchangeVerdict,
    Segment,
    SegmentError,
    TransactionSet,
)

_CONTROL: Final = frozenset({"", "IS", "GS", "ST", "SE", "GE", "IE", "TA"})
"""How segments begin that may open or close an envelope; all others are content."""

_BETWEEN: Final = frozenset({"ISB", "ISE", "TA3", "ISX"})
"""Interchange service segments that carry nothing for us."""

_MOST_ERRORS: Final = 100
_GS_ELEMENTS: Final = 8
_LONGEST_CONTROL: Final = 9
_DIGITS: Final = re.compile(r"\d+", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)
_SEGMENT_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}", re.ASCII)


class Assembly:
    """Takes segments, checks the envelopes and gives the interchange."""

    def __init__(self, header: InterchangeHeader) -> None:
        self.header = header
        self._element = header.delimiters.element
        composite = header.delimiters.component + header.delimiters.repetition
        self._foreign = re.compile(f"[^\\x20-\\x7e{re.escape(composite)}]")
        self._look_for_foreign = self._look_for_empty = False
        self._opened = self._closed = False
        self._groups = list[Group]()
        self._verdicts = list[InterchangeVerdict]()
        self._group: Group | None = None
        self._group_errors = list[str]()
        self._sets = list[TransactionSet]()
        self._drained = self._handed_out = 0
        self._controls = set[str]()
        self._segments: list[Segment] | None = None

    def expect_foreign_characters(self) -> None:
        """Check every set from now on for characters that X12 does not know."""
        self._look_for_foreign = True

    def take(self, parts: list[str]) -> None:
        """Take the next segments, unsplit."""
        start = 0
        for mark in [i for i, part in enumerate(parts) if part[:2] in _CONTROL]:
            if mark > start:
                self._content(parts[start:mark])
            self._control(parts[mark])
            start = mark + 1
        if start < len(parts):
            self._content(parts[start:])

    def drain(self) -> list[TransactionSet]:
        """Hand out the finished sets and forget them."""
        finished = list[TransactionSet]()
        while self._handed_out < len(self._groups):
            group = self._groups[self._handed_out]
            finished += group.sets
            self._groups[self._handed_out] = msgspec.structs.replace(group, sets=())
            self._handed_out += 1
        finished += self._sets
        self._drained += len(self._sets)
        self._sets = []
        return finished

    def interchange(self) -> Interchange:
        """Return the finished interchange, or raise because its trailer never came."""
        if not self._closed:
            raise MalformedMessage("the interchange does not end", where="IEA", expected="IEA")
        return Interchange(
            header=self.header, groups=tuple(self._groups), verdicts=tuple(self._verdicts)
        )

    def _content(self, parts: list[str]) -> None:
        element = self._element
        segments = [part.split(element) for part in parts]
        if self._segments is not None:
            self._segments += segments
        else:
            for segment in segments:
                self._stray(segment)

    def _control(self, part: str) -> None:
        segment = part.split(self._element)
        match segment[0]:
            case "ST":
                self._open_set(segment)
            case "SE":
                self._close_set(segment)
            case "GS":
                self._open_group(segment)
            case "GE":
                self._close_group(segment)
            case "ISA":
                self._open_interchange()
            case "IEA":
                self._close_interchange(segment)
            case "TA1" if self._group is None:
                self._keep_verdict(segment)
            case _:
                self._look_for_empty = self._look_for_empty or not part
                self._content([part])

    def _stray(self, segment: Segment) -> None:
        """Hold a segment between two sets against the set before it: that one ended too early."""
        if not self._sets:
            if self._group is None and segment[0] in _BETWEEN and not self._groups:
                return
            where = segment[0] if _SEGMENT_ID.fullmatch(segment[0]) else "segment"
            raise MalformedMessage("a segment outside its envelope", where=where, expected="ST")
        last = self._sets[-1]
        if len(last.segment_errors) < _MOST_ERRORS:
            position = len(last.segments) + 1 + len(last.segment_errors)
            error = SegmentError(segment=segment[0], position=position, code="2")
            self._sets[-1] = msgspec.structs.replace(
                last, segment_errors=(*last.segment_errors, error)
            )

    def _open_interchange(self) -> None:
        if self._opened:
            raise MalformedMessage("an interchange within another", where="IEA", expected="IEA")
        self._opened = True

    def _open_group(self, segment: Segment) -> None:
        if self._group is not None:
            self._end_group("", "3")
        if len(segment) <= _GS_ELEMENTS or not all(map(self._is_plain, segment[1:9])):
            raise MalformedMessage("invalid group header", where="GS", expected="GS01 to GS08")
        self._group = Group(
            functional_id=segment[1],
            sender=segment[2],
            receiver=segment[3],
            control=segment[6],
            version=segment[8],
        )
        self._group_errors = [] if _NUMBER.fullmatch(segment[6]) else ["6"]

    def _is_plain(self, element: str) -> bool:
        marks = self.header.delimiters
        composite = marks.component in element or (marks.repetition or "\0") in element
        return bool(element) and element.isascii() and element.isprintable() and not composite

    def _open_set(self, segment: Segment) -> None:
        if self._group is None:
            raise MalformedMessage("a set outside any group", where="ST", expected="GS")
        if self._segments is not None:
            self._end_set("2")
        self._segments = [segment]

    def _close_set(self, segment: Segment) -> None:
        if self._segments is None:
            self._stray(segment)
            return
        self._segments.append(segment)
        self._end_set(*_trailer_errors(self._segments[0], segment, len(self._segments)))

    def _end_set(self, *errors: str) -> None:
        segments = self._segments or []
        opening = segments[0]
        code, control = _at(opening, 1), _at(opening, 2)
        found = [*errors, *self._header_errors(code, control)]
        self._controls.add(control)
        self._segments = None
        self._sets.append(
            TransactionSet(
                code=code,
                control=control,
                segments=segments,
                set_errors=tuple(found),
                segment_errors=self._character_errors(segments) + self._empty_segments(segments),
            )
        )

    def _header_errors(self, code: str, control: str) -> list[str]:
        group = self._group.functional_id if self._group else ""
        found = list[str]()
        if not code or GROUP_OF.get(code, group) != group:
            found.append("6")
        if not 0 < len(control) <= _LONGEST_CONTROL:
            found.append("7")
        elif control in self._controls:
            found.append("23")
        return found

    def _character_errors(self, segments: list[Segment]) -> tuple[SegmentError, ...]:
        if not self._look_for_foreign:
            return ()
        found = list[SegmentError]()
        for position, segment in enumerate(segments, 1):
            wrong = tuple(
                ElementError(element=i, code="6")
                for i, element in enumerate(segment)
                if self._foreign.search(element)
            )
            if wrong and len(found) < _MOST_ERRORS:
                found.append(
                    SegmentError(segment=segment[0], position=position, code="8", elements=wrong)
                )
        return tuple(found)

    def _empty_segments(self, segments: list[Segment]) -> tuple[SegmentError, ...]:
        if not self._look_for_empty:
            return ()
        empty = [i for i, segment in enumerate(segments, 1) if segment == [""]]
        return tuple(SegmentError(segment="", position=i, code="1") for i in empty[:_MOST_ERRORS])

    def _close_group(self, segment: Segment) -> None:
        if self._group is None:
            raise MalformedMessage("a group trailer without group", where="GE", expected="GS")
        if self._segments is not None:
            self._end_set("2")
        declared, control = _at(segment, 1), _at(segment, 2)
        errors = list[str]()
        if not (_NUMBER.fullmatch(control) and _same(control, self._group.control)):
            errors.append("4")
        included = len(self._sets) + self._drained
        if not (_DIGITS.fullmatch(declared) and int(declared[-9:]) == included):
            errors.append("5")
        self._end_group(declared, *errors)

    def _end_group(self, declared: str, *errors: str) -> None:
        if self._segments is not None:
            self._end_set("2")
        if self._group is not None:
            self._groups.append(
                msgspec.structs.replace(
                    self._group,
                    declared=declared,
                    sets=tuple(self._sets),
                    errors=(*self._group_errors, *errors),
                )
            )
        self._group, self._sets, self._drained = None, [], 0
        self._controls.clear()

    def _close_interchange(self, segment: Segment) -> None:
        if self._group is not None:
            self._end_group("", "3")
        declared, control = _at(segment, 1), _at(segment, 2)
        # A TA1 travels without a group, and senders disagree whether that counts as 0 or 1.
        ta1_only = bool(self._verdicts) and not self._groups and declared == "1"
        counts = _NUMBER.fullmatch(declared) and int(declared) == len(self._groups)
        if not (counts or ta1_only):
            raise MalformedMessage(
                "the number of groups is another",
                where="IEA01",
                expected=str(len(self._groups)),
            )
        if control != self.header.control:
            raise MalformedMessage(
                "the control number is another", where="IEA02", expected=self.header.control
            )
        self._closed = True

    def _keep_verdict(self, segment: Segment) -> None:
        self._verdicts.append(
            InterchangeVerdict(
                control=_at(segment, 1), verdict=_at(segment, 4), note=_at(segment, 5)
            )
        )


def _at(segment: Segment, element: int) -> str:
    return segment[element] if element < len(segment) else ""


def _same(one: str, other: str) -> bool:
    """GS06 and GE02 have no padding rule: 0001 is 1."""
    return bool(_NUMBER.fullmatch(other)) and int(one) == int(other)


def _trailer_errors(opening: Segment, trailer: Segment, count: int) -> list[str]:
    errors = list[str]()
    if _at(trailer, 2) != _at(opening, 2):
        errors.append("3")
    declared = _at(trailer, 1)
    if not (_NUMBER.fullmatch(declared) and int(declared) == count):
        errors.append("4")
    return errors
