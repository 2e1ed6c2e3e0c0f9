"""ICCBBA UDI carriers: ISBT 128 for medical devices (ST-011) and blood containers.

A row of data structures, each with its own two-character (or longer) identifier and a fixed width.
Dates are the last three digits of the year and the day of that year.
"""

import re
from datetime import date, timedelta
from typing import Final

from canonical.errors import MalformedMessage
from standards.udi.identifier import Udi

_STRUCTURES: Final = re.compile(
    r"\s*(?:"
    r"=\+\d{5}"  # 023 compound message: what follows is one message
    r"|=/(?P<di>[A-Z0-9]{16})"  # 034 processor facility, product and version
    r"|=,(?P<serial>[A-Z0-9]{6})"  # 032 pack or serial number
    r"|=>(?P<expires>\d{6})"  # 004 expiration date
    r"|=\}(?P<made>\d{6})"  # 007 production date
    r"|&,1(?P<lot>[A-Z0-9]{18})"  # 035 lot number
    r"|=\)(?P<container>[A-Z0-9]{10})"  # 017 container manufacturer and catalogue number
    r"|&\)(?P<container_lot>[A-Z0-9]{10})"  # 018 container lot number
    r"|=(?P<donation>[A-NP-Z1-9][A-Z0-9]{4}\d{8}[A-Z0-9]{2})"  # 001 donation, with its flags
    r")\s*",
    re.ASCII,
)
_THIS_CENTURY_UNTIL: Final = 900


def parse(text: str) -> Udi:
    """Read the data structures in any order; each at most once."""
    facts: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = _STRUCTURES.match(text, position)
        if found is None:
            raise MalformedMessage(
                "not readable as ISBT 128 data",
                where=f"UDI character {position + 1}",
                expected="=/ =, => =} &,1 =) &) or a donation number",
            )
        for name, value in found.groupdict().items():
            if value and facts.setdefault(name, value) != value:
                raise MalformedMessage("two different values", where=f"UDI {name}")
        position = found.end()
    return _udi(facts)


def _udi(facts: dict[str, str]) -> Udi:
    di = facts.get("di") or facts.get("container", "")
    if not di or ("di" in facts and "container" in facts):
        raise MalformedMessage(
            "no device identifier, or two", where="UDI =/", expected="one =/ or =) structure"
        )
    return Udi(
        issuer="iccbba",
        di=di,
        lot=facts.get("lot") or facts.get("container_lot", ""),
        serial=facts.get("serial", ""),
        expires=_day(facts.get("expires", "")),
        made=_day(facts.get("made", "")),
        donation=facts.get("donation", ""),
    )


def _day(text: str) -> date | None:
    if not text:
        return None
    year, ordinal = int(text[:3]), int(text[3:])
    first = date(year + (2000 if year < _THIS_CENTURY_UNTIL else 1000), 1, 1)
    day = first + timedelta(days=ordinal - 1)
    if day.year != first.year:
        raise MalformedMessage("no such day", where="UDI date", expected="YYYJJJ")
    return day
