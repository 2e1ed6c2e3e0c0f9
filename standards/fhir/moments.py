"""FHIR date, dateTime and instant (2.24.0.1): text into days and moments in UTC."""

import re
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from canonical.errors import MalformedMessage

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
_FRACTION = re.compile(r"\.(\d{1,6})\d*")


def moment(text: str, zone: ZoneInfo, where: str) -> datetime:
    """Return a dateTime in UTC; a day alone begins at midnight in the facility's `zone`.

    A year or a month is a legal dateTime but no moment: it is refused rather than guessed.
    """
    if _DAY.fullmatch(text):
        return datetime.combine(day(text, where), time(), zone).astimezone(UTC)
    if not _MOMENT.fullmatch(text):
        raise MalformedMessage(
            "not a moment", where=where, expected="YYYY-MM-DD, or YYYY-MM-DDThh:mm:ss with a zone"
        )
    try:
        return datetime.fromisoformat(_FRACTION.sub(r".\1", text)).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise MalformedMessage("no such moment", where=where, expected="a real date") from exc


def day(text: str, where: str) -> date:
    """Return the day of a date or dateTime."""
    if not _DAY.fullmatch(text[:10]) or (len(text) > 10 and not _MOMENT.fullmatch(text)):  # noqa: PLR2004
        raise MalformedMessage("not a day", where=where, expected="YYYY-MM-DD")
    try:
        return date.fromisoformat(text[:10])
    except ValueError as exc:
        raise MalformedMessage("no such day", where=where, expected="a real date") from exc
