"""GS1 UDI carriers (General Specifications 7.8, 7.9, 7.12; Digital Link URI 1.2) by way of biip.

biip finds the application identifiers; what it forgives is refused here:
- a wrong GTIN check digit (it leaves `gtin` empty without a word);
- text it skips over in bracketed form, and blanks inside a value;
- a variable-length value that runs into the next identifier because the scanner dropped FNC1.
"""

import re
from datetime import date
from typing import Final

from biip import ParseError
from biip.gs1_digital_link_uris import GS1DigitalLinkURI
from biip.gs1_element_strings import GS1ElementString, GS1ElementStrings
from biip.gs1_messages import GS1Message

from canonical.errors import InvalidRequest, MalformedMessage
from canonical.item import Gtin, gtin
from standards.udi.identifier import Udi

FNC1: Final = "\x1d"
FIRST_IDENTIFIERS: Final = frozenset({"01", "10", "11", "17", "21"})

_BLANKS_AROUND_AI = re.compile(r"[ \t\r\n\x1d]*(\(\d{2,4}\))[ \t\r\n]*")
_HIDDEN = {
    "10": re.compile(r"^.{1,20}?(?:21.|1[17]\d{6})"),
    "21": re.compile(r"^.{1,20}?(?:10.|1[17]\d{6})"),
}
"""What a lot or serial looks like that may have swallowed its neighbour."""


def from_gtin(digits: str) -> Udi:
    """Read a device identifier alone: GTIN-8, -12, -13 or -14."""
    return Udi(issuer="gs1", di=digits, gtin=_checked(digits))


def from_human_readable(text: str) -> Udi:
    """Read `(01)…(17)…(10)…(21)…` (General Specifications 4.14)."""
    compact = _BLANKS_AROUND_AI.sub(r"\1", text).strip()
    if any(character.isspace() for character in compact):
        raise MalformedMessage("blank inside a value", where="UDI", expected="(AI)value(AI)value")
    try:
        message = GS1Message.parse_hri(compact)
    except (ParseError, ValueError) as exc:
        raise _unreadable() from exc
    if message.as_hri() != compact:
        raise _unreadable()
    return _udi(message.element_strings)


def from_element_string(scan: str, *, separators_kept: bool) -> Udi:
    """Read a scanned element string; `separators_kept` when the scanner proves to send FNC1."""
    text = scan.strip(" \t\r\n").lstrip(FNC1)
    elements = GS1ElementStrings()
    rest = text
    while rest:
        try:
            element = GS1ElementString.extract(rest)
        except (ParseError, ValueError) as exc:
            raise _unreadable() from exc
        elements.append(element)
        rest = rest[len(element) :]
        if element.ai.separator_required and rest and not rest.startswith(FNC1):
            raise _lost_separator(element.ai.ai)
        rest = rest.lstrip(FNC1)
    if not separators_kept and FNC1 not in text and elements:
        _refuse_swallowed(elements)
    return _udi(elements)


def from_digital_link(uri: str) -> Udi:
    """Read `https://id.gs1.org/01/…/10/…?17=…` (GS1 Digital Link: URI syntax 1.2)."""
    try:
        link = GS1DigitalLinkURI.parse(uri)
    except (ParseError, ValueError) as exc:
        raise _unreadable() from exc
    return _udi(link.element_strings)


def _udi(elements: GS1ElementStrings) -> Udi:
    by_ai: dict[str, GS1ElementString] = {}
    for element in elements:
        known = by_ai.setdefault(element.ai.ai, element)
        if known.value != element.value:
            raise MalformedMessage(
                "two different values", where=f"UDI ({element.ai.ai})", expected="one value"
            )
    device = by_ai.get("01")
    if device is None:
        raise MalformedMessage(
            "no device identifier", where="UDI (01)", expected="a GTIN under (01)"
        )
    return Udi(
        issuer="gs1",
        di=device.value,
        gtin=_checked(device.value),
        lot=_text(by_ai, "10"),
        serial=_text(by_ai, "21"),
        expires=_day(by_ai, "17") or _day(by_ai, "7003"),
        made=_day(by_ai, "11"),
    )


def _text(by_ai: dict[str, GS1ElementString], ai: str) -> str:
    element = by_ai.get(ai)
    return element.value if element is not None else ""


def _day(by_ai: dict[str, GS1ElementString], ai: str) -> date | None:
    element = by_ai.get(ai)
    return element.date if element is not None else None


def _checked(digits: str) -> Gtin:
    try:
        return gtin(digits)
    except InvalidRequest as exc:
        raise MalformedMessage(
            "GTIN check digit does not match", where="UDI (01)", expected="a valid GTIN"
        ) from exc


def _refuse_swallowed(elements: GS1ElementStrings) -> None:
    last = elements[-1]
    hidden = _HIDDEN.get(last.ai.ai)
    if hidden is not None and hidden.match(last.value):
        raise _lost_separator(last.ai.ai)


def _lost_separator(ai: str) -> MalformedMessage:
    return MalformedMessage(
        "cannot tell where the value ends: the separator is missing",
        where=f"UDI ({ai})",
        expected="FNC1 (group separator) after a variable-length value",
        fix="let the scanner send FNC1 as GS and the symbology identifier, or send (01) text",
    )


def _unreadable() -> MalformedMessage:
    return MalformedMessage(
        "not readable as GS1 data",
        where="UDI",
        expected="application identifiers with values of their format",
    )
