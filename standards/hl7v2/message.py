"""A message and its segments, cut into fields on first touch (HL7 v2 2.5 to 2.7). Sans-IO.

Numbers count as the standard does: MSH-1 is the separator itself, component and subcomponent 1 are
the first and 0 means the whole; repetitions and indexes count from 0. `""` means delete and stays
apart from empty, which means no change: see `DELETE`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from canonical.errors import MalformedMessage
from standards.hl7v2.separators import Separators, unescaped

DELETE = '""'

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_NAME_LENGTH = 3


class Segment:
    """One segment of a message: a name and numbered fields."""

    __slots__ = ("_message", "_position")

    def __init__(self, message: "Message", position: int) -> None:
        self._message = message
        self._position = position

    @property
    def name(self) -> str:
        return self.raw[:_NAME_LENGTH]

    @property
    def raw(self) -> str:
        """The segment as it came, decoded but not unescaped, without its terminator."""
        return self._message.lines[self._position]

    def text(
        self, field: int, component: int = 0, subcomponent: int = 0, repetition: int = 0
    ) -> str:
        """Return the value at that place, unescaped; '' where there is none."""
        return self._message.cell(self._position, field, component, subcomponent, repetition)

    def plain(self, field: int, component: int = 1, repetition: int = 0) -> str:
        """Return the first subcomponent of one component, trimmed, with «delete» read as absent."""
        value = self._message.cell(self._position, field, component, 1, repetition)
        return "" if value == DELETE else value.strip()

    def place(self, field: int, component: int = 0) -> str:
        """Name a place for people: `FT1-7.1`, or `FT1[2]-7.1` in the second FT1."""
        index = self._message.segments(self.name).index(self) + 1
        part = f".{component}" if component else ""
        return f"{self.name}{f'[{index}]' if index > 1 else ''}-{field}{part}"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Segment)
            and other._message is self._message
            and other._position == self._position
        )

    def __hash__(self) -> int:
        return hash((id(self._message), self._position))

    def repetitions(self, field: int) -> int:
        """Return how often the field repeats; 0 where it is empty."""
        return self._message.repetitions(self._position, field)


class Group(NamedTuple):
    """A segment with those that follow and belong to it."""

    leader: Segment
    members: tuple[Segment, ...]

    def every(self, name: str) -> tuple[Segment, ...]:
        return tuple(one for one in self.members if one.name == name)


class Message:
    """One message: made by `read`, never changed."""

    __slots__ = ("_by_key", "_cut", "body", "charset", "lines", "separators")

    def __init__(self, body: bytes, charset: str, separators: Separators, lines: list[str]) -> None:
        self.body = body
        self.charset = charset
        self.separators = separators
        self.lines = lines
        self._by_key = _positions(lines, separators.field)
        self._cut: dict[int, list[str]] = {}

    def encode(self) -> bytes:
        """Return the message exactly as it was read."""
        return self.body

    @property
    def type(self) -> str:
        return self.text("MSH", 9, 1)

    @property
    def event(self) -> str:
        return self.text("MSH", 9, 2)

    @property
    def control_id(self) -> str:
        return self.text("MSH", 10)

    def text(
        self,
        name: str,
        field: int,
        component: int = 0,
        subcomponent: int = 0,
        repetition: int = 0,
        index: int = 0,
    ) -> str:
        """Return a value of the `index`-th segment of that name, unescaped; '' where none is."""
        found = self._by_key.get(name + self.separators.field)
        if found is None or index >= len(found):
            return ""
        return self.cell(found[index], field, component, subcomponent, repetition)

    def segments(self, name: str = "") -> list[Segment]:
        """Return the segments of that name in order, or all of them."""
        if not name:
            return [Segment(self, position) for position in range(len(self.lines))]
        found = self._by_key.get(name + self.separators.field, ())
        return [Segment(self, position) for position in found]

    def first(self, name: str) -> Segment | None:
        found = self._by_key.get(name + self.separators.field)
        return Segment(self, found[0]) if found else None

    def groups(self, leader: str, until: frozenset[str] = frozenset()) -> Iterator[Group]:
        """Yield each `leader` with what follows it, up to the next one or one in `until`."""
        yield from grouped(self.segments(), leader, until)

    def fields(self, position: int) -> list[str]:
        """Return the raw fields of a segment; index 0 is its name."""
        found = self._cut.get(position)
        if found is None:
            line = self.lines[position]
            found = line.split(self.separators.field)
            if position == 0:  # MSH-1 is the separator itself (HL7 v2 2.14.9.1)
                found.insert(1, self.separators.field)
            self._cut[position] = found
        return found

    def cell(
        self, position: int, field: int, component: int, subcomponent: int, repetition: int
    ) -> str:
        """Return one value of the segment at `position`; the hot path of every mapping."""
        found = self._cut.get(position) or self.fields(position)
        if field >= len(found):
            return ""
        value = found[field]
        marks = self.separators
        if not value or (position == 0 and field <= 2):  # noqa: PLR2004 - MSH-1 and MSH-2 are data
            return value
        if repetition or marks.repetition in value:
            value = _part(value, marks.repetition, repetition)
        if component and (component > 1 or marks.component in value):
            value = _part(value, marks.component, component - 1)
        if subcomponent and (subcomponent > 1 or marks.subcomponent in value):
            value = _part(value, marks.subcomponent, subcomponent - 1)
        return unescaped(value, marks, self.charset) if marks.escape in value else value

    def repetitions(self, position: int, field: int) -> int:
        found = self.fields(position)
        value = found[field] if field < len(found) else ""
        return value.count(self.separators.repetition) + 1 if value else 0


def grouped(
    segments: Sequence[Segment], leader: str, until: frozenset[str] = frozenset()
) -> Iterator[Group]:
    """Yield the groups that `leader` opens among `segments`, in order."""
    head: Segment | None = None
    members = list[Segment]()
    for segment in segments:
        name = segment.name
        if name != leader and name not in until:
            members.append(segment)
            continue
        if head is not None:
            yield Group(head, tuple(members))
        head = segment if name == leader else None
        members = []
    if head is not None:
        yield Group(head, tuple(members))


def _positions(lines: list[str], field: str) -> dict[str, list[int]]:
    """Return where each segment name occurs, or raise on what is no segment."""
    found: dict[str, list[int]] = {}
    for position, line in enumerate(lines):
        known = found.get(line[:4])
        if known is not None:
            known.append(position)
            continue
        if not _opens(line[:4], field):
            raise MalformedMessage(
                "a line that is no segment, or a line break inside a value",
                where=f"segment {position + 1}",
                expected=f"three capitals or digits and {field}",
                fix="escape line breaks inside values as \\.br\\ or \\X0D\\",
            )
        found.setdefault(line[:3] + field, []).append(position)
    if len(found["MSH" + field]) > 1:
        raise MalformedMessage(
            "more than one MSH",
            where=f"segment {found['MSH' + field][1] + 1}",
            expected="one message, or a batch with BHS and BTS",
        )
    return found


@lru_cache(maxsize=4096)
def _opens(head: str, field: str) -> bool:
    """Return whether a line that starts so is a segment; cached, because names are few."""
    return _NAME.match(head) is not None and head[_NAME_LENGTH:] in {field, ""}


def _part(value: str, separator: str, number: int) -> str:
    parts = value.split(separator)
    return parts[number] if number < len(parts) else ""
