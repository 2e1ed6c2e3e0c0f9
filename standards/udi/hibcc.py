"""HIBCC UDI carriers: the Supplier Labeling Standard, ANSI/HIBC 2.6.

One symbol: `+` LIC PCN U, then `/` data…, then the check character (modulo 43 over all before it).
Two symbols: `+` LIC PCN U check, and `+` data link check, where link repeats the first check
character. Data is `$$` or `$` lot, `$$+` or `$+` serial, five digits and a lot (the oldest form),
or the supplements `S`, `14D`, `16D`, `Q`.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from canonical.errors import MalformedMessage
from standards.udi.identifier import Udi

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
_PRIMARY = re.compile(r"\+(?P<di>[A-Z][A-Z0-9]{3}[A-Z0-9]{1,18}[0-9])")
_SCANS = re.compile(r"[\r\n\t\x1d]+")
_QUANTITY = re.compile(r"8\d{2}|9\d{5}")
_CENTURY: Final = 2000

_Facts = dict[str, str | date]


def parse(scan: str) -> Udi:
    """Read one combined symbol, or the primary and the secondary symbol with a line between."""
    symbols = [_symbol(part) for part in _SCANS.split(scan) if part.strip()]
    if not symbols or len(symbols) > 2:  # noqa: PLR2004  a label has one symbol or two
        raise _malformed("", "one symbol, or a primary and a secondary one")
    body, check = symbols[0]
    primary, *parts = body.split("/")
    device = _PRIMARY.fullmatch(primary)
    if device is None:
        raise _malformed("primary", "+, labeler, product and one unit-of-measure digit")
    if len(symbols) > 1:
        parts.append(_linked(symbols[1][0], check))
    facts: _Facts = {}
    for part in parts:
        _read_part(part, facts)
    return _udi(device["di"], facts)


def _symbol(text: str) -> tuple[str, str]:
    """Verify the check character (section 2.3.2.1) and return what stands before it, and it.

    A blank check character is printed as an underscore; `*` are Code 39 start and stop.
    """
    scan = text.strip("*")
    if scan.endswith("_"):
        scan = scan[:-1] + " "
    body, check = scan[:-1], scan[-1:]
    if not body.startswith("+") or any(letter not in _ALPHABET for letter in scan):
        raise _malformed("", "+ and the characters of Code 39")
    if check_character(body) != check:
        raise MalformedMessage(
            "HIBCC check character does not match",
            where="UDI check character",
            expected="the character modulo 43 gives",
            fix="scan again; a blank at the end is a check character and must be kept",
        )
    return body, check


def check_character(body: str) -> str:
    """Return the modulo 43 character over `body`, the leading + included."""
    return _ALPHABET[sum(_ALPHABET.index(letter) for letter in body) % len(_ALPHABET)]


def _linked(secondary: str, link: str) -> str:
    if secondary[-1:] != link:
        raise _malformed("link character", "the primary symbol's check character")
    return secondary[1:-1]


def _read_part(part: str, facts: _Facts) -> None:
    for prefix, read in _READERS:
        if part.startswith(prefix):
            read(part[len(prefix) :], facts)
            return
    if re.match(r"\d{5}", part):
        _keep(facts, "expires", _ordinal_day(part[:5]))
        _keep(facts, "lot", part[5:])
        return
    raise _malformed("data", "$, $$, $+, $$+, S, 14D, 16D or Q")


def _dated_lot(rest: str, facts: _Facts) -> None:
    quantity = _QUANTITY.match(rest)
    if quantity is not None:
        rest = rest[quantity.end() :]
        if not rest:
            return
    _keep(facts, "lot", _after_date(rest, facts))


def _dated_serial(rest: str, facts: _Facts) -> None:
    _keep(facts, "serial", _after_date(rest, facts))


def _lot(rest: str, facts: _Facts) -> None:
    _keep(facts, "lot", rest)


def _serial(rest: str, facts: _Facts) -> None:
    _keep(facts, "serial", rest)


def _expiry(rest: str, facts: _Facts) -> None:
    _keep(facts, "expires", _full_day(rest))


def _manufacture(rest: str, facts: _Facts) -> None:
    _keep(facts, "made", _full_day(rest))


def _pack_content(rest: str, _facts: _Facts) -> None:
    if not rest.isdigit():
        raise _malformed("Q", "digits")


_READERS: Final[tuple[tuple[str, Callable[[str, _Facts], None]], ...]] = (
    ("$$+", _dated_serial),
    ("$$", _dated_lot),
    ("$+", _serial),
    ("$", _lot),
    ("16D", _manufacture),
    ("14D", _expiry),
    ("S", _serial),
    ("Q", _pack_content),
)


def _after_date(rest: str, facts: _Facts) -> str:
    """Read the expiry date at the front (table 2: flags 2 to 7, or MMYY) and return the rest."""
    flag = rest[:1]
    if flag == "7":
        return rest[1:]
    if flag in ("0", "1"):
        width, day = 4, _month_end(rest[:4])
    elif flag in _FLAGGED:
        length, read = _FLAGGED[flag]
        width, digits = 1 + length, rest[1 : 1 + length]
        if len(digits) != length or not digits.isdigit():
            raise _malformed("expiry date", f"{length} digits after the date flag")
        day = read(digits)
    else:
        raise _malformed("expiry date", "a date flag from 0 to 7")
    _keep(facts, "expires", day)
    return rest[width:]


def _day(text: str) -> date:
    """Read a day written YYMMDD."""
    try:
        return date(_CENTURY + int(text[:2]), int(text[2:4]), int(text[4:6]))
    except ValueError as exc:
        raise _malformed("expiry date", "a day of the calendar") from exc


def _month_end(text: str) -> date:
    if not (len(text) == 4 and text.isdigit() and 1 <= int(text[:2]) <= 12):  # noqa: PLR2004
        raise _malformed("expiry date", "MMYY")
    year, month = _CENTURY + int(text[2:]), int(text[:2])
    return date(year, month, monthrange(year, month)[1])


def _ordinal_day(text: str) -> date:
    """Read a day written YYJJJ: the number of the day in its year."""
    first = date(_CENTURY + int(text[:2]), 1, 1)
    day = first + timedelta(days=int(text[2:5]) - 1)
    if day.year != first.year:
        raise _malformed("expiry date", "a day of that year")
    return day


def _full_day(text: str) -> date:
    if not re.fullmatch(r"\d{8}", text):
        raise _malformed("date", "YYYYMMDD")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as exc:
        raise _malformed("date", "a day of the calendar") from exc


_FLAGGED: Final[dict[str, tuple[int, Callable[[str], date]]]] = {
    "2": (6, lambda text: _day(text[4:] + text[:4])),
    "3": (6, _day),
    "4": (8, _day),
    "5": (5, _ordinal_day),
    "6": (7, _ordinal_day),
}


def _keep(facts: _Facts, name: str, value: str | date) -> None:
    if value and facts.setdefault(name, value) != value:
        raise _malformed(name, "one value")


def _udi(di: str, facts: _Facts) -> Udi:
    lot, serial = facts.get("lot", ""), facts.get("serial", "")
    expires, made = facts.get("expires"), facts.get("made")
    return Udi(
        issuer="hibcc",
        di=di,
        lot=lot if isinstance(lot, str) else "",
        serial=serial if isinstance(serial, str) else "",
        expires=expires if isinstance(expires, date) else None,
        made=made if isinstance(made, date) else None,
    )


def _malformed(place: str, expected: str) -> MalformedMessage:
    return MalformedMessage(
        "not readable as HIBCC data", where=f"UDI {place}".strip(), expected=expected
    )
