"""HL7 v2 value types as Python values: DTM/TS, DT and NM (HL7 v2 2A.21, 2A.22, 2A.45).

A point in time may be cut short from the right. `timestamp` says how far it went, so that a caller
decides whether a day is enough; what is missing counts as its beginning. Without an offset the
facility's zone applies; of a local time that occurs twice, the first is meant.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Literal, NamedTuple

from canonical.errors import MalformedMessage

Precision = Literal["year", "month", "day", "hour", "minute", "second"]

_BY_DIGITS: dict[int, Precision] = {
    4: "year",
    6: "month",
    8: "day",
    10: "hour",
    12: "minute",
    14: "second",
}
_TIMESTAMP = re.compile(
    r"(?P<digits>[0-9]{4,14})(?:\.(?P<fraction>[0-9]{1,6}))?(?P<zone>[+-][0-9]{4})?"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,16})?|\.[0-9]{1,16})")
_DAY_DIGITS = 8
_MINUTES = 60


class Timestamp(NamedTuple):
    """A point in time in UTC, and how much of it the sender gave."""

    at: datetime
    precision: Precision


def timestamp(text: str, zone: tzinfo, where: str) -> Timestamp:
    """Read `YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ]`; `zone` is for a time without offset."""
    found = _TIMESTAMP.fullmatch(text)
    precision = _BY_DIGITS.get(len(found["digits"])) if found else None
    if found is None or precision is None or (found["fraction"] and precision != "second"):
        raise _no_timestamp(where)
    digits = found["digits"] + "00000101000000"[len(found["digits"]) :]
    try:
        local = datetime(
            int(digits[:4]),
            int(digits[4:6]),
            int(digits[6:8]),
            int(digits[8:10]),
            int(digits[10:12]),
            int(digits[12:14]),
            int((found["fraction"] or "0").ljust(6, "0")),
            tzinfo=_offset(found["zone"], where) if found["zone"] else zone,
        )
        return Timestamp(local.astimezone(UTC), precision)
    except (ValueError, OverflowError) as exc:
        raise _no_timestamp(where) from exc


def day(text: str, where: str) -> date:
    """Read the day of a date or timestamp as it stands, without turning it into UTC."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None or len(found["digits"]) < _DAY_DIGITS:
        raise MalformedMessage("not a date to the day", where=where, expected="YYYYMMDD")
    timestamp(text, UTC, where)
    digits = found["digits"]
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))


def number(text: str, where: str) -> Decimal:
    """Read an NM: digits with an optional sign and point, no exponent."""
    if _NUMBER.fullmatch(text) is None:
        raise MalformedMessage("not a number", where=where, expected="digits with a decimal point")
    return Decimal(text)


def written(at: datetime) -> str:
    """Write a point in time as a timestamp to the second, in UTC."""
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")


def _offset(text: str, where: str) -> timezone:
    minutes = int(text[3:])
    if minutes >= _MINUTES:
        raise _no_timestamp(where)
    offset = timedelta(hours=int(text[1:3]), minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _no_timestamp(where: str) -> MalformedMessage:
    return MalformedMessage(
        "not a timestamp", where=where, expected="YYYYMMDD[HH[MM[SS[.S]]]][+/-ZZZZ]"
    )
