"""Segments of a set with their place, so that every refusal names the element it is about."""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Final

from canonical.errors import MalformedMessage, WrongUnit
from canonical.item import Quantity
from standards.units.codes import from_x12
from standards.x12.envelope import ElementError, Segment, SegmentError, TransactionSet

_REAL: Final = re.compile(r"-?(\d+\.?\d*|\.\d+)", re.ASCII)
_WHOLE: Final = re.compile(r"-?\d+", re.ASCII)
_DAY: Final = re.compile(r"\d{8}", re.ASCII)
_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]{1,2}?)(\d\d) in segment (\d+)")
_INVALID_CODE: Final = "7"
_SEGMENT_IN_ERROR: Final = "8"


class Placed:
    """One segment and its position in the set (ST is 1)."""

    __slots__ = ("name", "position", "segment")

    def __init__(self, segment: Segment, position: int) -> None:
        self.segment = segment
        self.position = position
        self.name = segment[0]

    def text(self, element: int) -> str:
        """Return an element without trailing blanks, '' where it is not there."""
        return self.segment[element].rstrip() if element < len(self.segment) else ""

    def required(self, element: int) -> str:
        """Return an element that must be there."""
        return self.text(element) or self._missing(element)

    def _missing(self, element: int) -> str:
        raise self.refusal(element, "missing", "a value")

    def decimal(self, element: int) -> Decimal:
        """Return a type R element: its decimal point is written."""
        text = self.required(element)
        if not _REAL.fullmatch(text):
            raise self.refusal(element, "not a number", "a decimal number")
        return Decimal(text)

    def cents(self, element: int) -> Decimal:
        """Return a type N2 element: two decimals are implied."""
        text = self.required(element)
        if not _WHOLE.fullmatch(text):
            raise self.refusal(element, "not an amount", "digits, two decimals implied")
        return Decimal(text).scaleb(-2)

    def number(self, element: int) -> int:
        """Return an element as a whole number, such as our own line numbers come back."""
        text = self.required(element)
        if not (text.isascii() and text.isdigit()):
            raise self.refusal(element, "not a line number", "the order's line number")
        return int(text)

    def day(self, element: int) -> date:
        """Return a CCYYMMDD element."""
        text = self.required(element)
        try:
            if _DAY.fullmatch(text):
                return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError as exc:
            raise self.refusal(element, "no such day", "CCYYMMDD") from exc
        raise self.refusal(element, "not a date", "CCYYMMDD")

    def quantity(self, amount: int, unit: int) -> Quantity:
        """Return an amount with its unit (data element 355) as the hospital's unit."""
        value = self.decimal(amount)
        try:
            return Quantity(value=value, unit=from_x12(self.required(unit)))
        except WrongUnit as exc:
            raise self.refusal(unit, "unknown unit of measure", exc.expected) from exc

    def products(self, first: int) -> dict[str, str]:
        """Return the qualifier-value pairs (data elements 235 and 234) that start at `first`."""
        pairs = range(first, len(self.segment) - 1, 2)
        return {self.text(i): self.text(i + 1) for i in pairs if self.text(i)}

    def refusal(self, element: int, detail: str, expected: str) -> MalformedMessage:
        """Return the failure that names this element."""
        where = f"{self.name}{element:02} in segment {self.position}"
        return MalformedMessage(detail, where=where, expected=expected)


def placed(each: TransactionSet) -> list[Placed]:
    """Return the set's segments with their places."""
    return [Placed(segment, position) for position, segment in enumerate(each.segments, 1)]


def named(segments: list[Placed], name: str) -> Iterator[Placed]:
    """Return the segments called `name`."""
    return (each for each in segments if each.name == name)


def only(segments: list[Placed], name: str) -> Placed:
    """Return the first segment called `name`, which must be there."""
    for each in segments:
        if each.name == name:
            return each
    raise MalformedMessage("a mandatory segment is missing", where=f"{name}01", expected=name)


def syntax_note(failure: MalformedMessage) -> SegmentError | None:
    """Return the AK3/AK4 facts of a refusal made here."""
    found = _PLACE.fullmatch(failure.where)
    if found is None:
        return None
    name, element, position = found.groups()
    return SegmentError(
        segment=name,
        position=int(position),
        code=_SEGMENT_IN_ERROR,
        elements=(ElementError(element=int(element), code=_INVALID_CODE),),
    )


GTIN_LENGTH: Final = 14


def gtin_of(products: dict[str, str]) -> str:
    """Return the trade item number the partner named, padded to 14 digits."""
    for qualifier in ("UK", "EN", "UP", "EO"):
        if code := products.get(qualifier, ""):
            return code.zfill(GTIN_LENGTH) if code.isdigit() else code
    return ""


def supplier_sku_of(products: dict[str, str]) -> str:
    """Return the supplier's own number for the item."""
    return next((products[each] for each in ("VN", "VP", "VC") if products.get(each)), "")


def named_code(text: str) -> str:
    """Return what identifies a party; N104 takes two characters at least."""
    return text.ljust(2, "-")
