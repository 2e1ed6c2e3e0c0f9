"""What an X12 interchange is made of, and the facts an acknowledgement needs about it.

Names follow X12.5 (interchange control), X12.6 (syntax) and the 997/999 transaction sets. Binary
segments (BIN, BDS) are not supported: their content may hold delimiters.
"""

from typing import Literal, NamedTuple

import msgspec

Segment = list[str]
"""A segment as its elements, the identifier first: `segment[3]` is element 03. Composites stay
unsplit.
"""


class Delimiters(NamedTuple):
    """The separators of one interchange. `repetition` is '' before version 00402."""

    element: str = "*"
    component: str = ">"
    terminator: str = "~"
    repetition: str = ""


class InterchangeHeader(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """ISA, padding removed except in the control number."""

    sender_qualifier: str
    sender: str
    receiver_qualifier: str
    receiver: str
    date: str
    time: str
    version: str
    control: str
    wants_ta1: bool
    test: bool
    delimiters: Delimiters


class ElementError(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One AK4/IK4: `code` is of data element 723, `reference` the data element's number."""

    element: int
    code: str
    reference: str = ""
    value: str = ""


class SegmentError(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One AK3/IK3: `position` counts from ST = 1, `code` is of data element 720."""

    segment: str
    position: int
    code: str
    elements: tuple[ElementError, ...] = ()


class TransactionSet(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """ST to SE. `set_errors` are AK502 codes (data element 718)."""

    code: str
    control: str
    segments: list[Segment]
    set_errors: tuple[str, ...] = ()
    segment_errors: tuple[SegmentError, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether nothing was found wrong with it."""
        return not (self.set_errors or self.segment_errors)

    @property
    def syntax_codes(self) -> tuple[str, ...]:
        """The AK502 codes to report: 5 says that segments are in error."""
        found = (*self.set_errors, *(("5",) if self.segment_errors else ()))
        return tuple(dict.fromkeys(found))


class Group(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """GS to GE. `errors` are AK905 codes (data element 716); `declared` is GE01 as sent."""

    functional_id: str
    sender: str
    receiver: str
    control: str
    version: str
    declared: str = ""
    sets: tuple[TransactionSet, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def accepted_sets(self) -> tuple[TransactionSet, ...]:
        """The sets that may be used: none when the group itself is broken."""
        return () if self.errors else tuple(each for each in self.sets if each.accepted)

    @property
    def verdict(self) -> Literal["A", "P", "R"]:
        """AK901: accepted, partially accepted or rejected."""
        accepted = len(self.accepted_sets)
        if accepted and accepted == len(self.sets):
            return "A"
        return "P" if accepted else "R"


class InterchangeVerdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A TA1 that came in: about the interchange `control` that we sent."""

    control: str
    verdict: str
    note: str


class Interchange(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """ISA to IEA, its envelopes checked."""

    header: InterchangeHeader
    groups: tuple[Group, ...] = ()
    verdicts: tuple[InterchangeVerdict, ...] = ()
