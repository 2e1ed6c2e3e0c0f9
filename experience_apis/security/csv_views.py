"""Audit records as CSV (RFC 4180) that a spreadsheet shows and does not run."""

import csv
import io

import msgspec

from experience_apis.security.views import AuditRow

NAMES = (
    *("id", "at", "evidence", "kind", "actor", "client", "purpose", "action", "object"),
    *("facility", "transaction", "outcome", "refused", "policy", "correlationId", "address"),
    "detail",
)
_FIELDS = tuple("correlation_id" if name == "correlationId" else name for name in NAMES)
# What Excel, LibreOffice and others begin a formula with, also in its full-width forms.
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_line(row: AuditRow) -> bytes:
    """Return a record as a line."""
    return _line([_cell(getattr(row, name)) for name in _FIELDS])


def _cell(value: object) -> str:
    if isinstance(value, dict):
        value = msgspec.json.encode(value).decode() if value else ""
    elif isinstance(value, bool) or not isinstance(value, str):
        value = msgspec.to_builtins(value)
    text = str(value).replace("\0", "\ufffd")
    return f"'{text}" if text.lstrip(" ").startswith(_BEGINS_FORMULA) else text


def _line(cells: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return out.getvalue().encode(errors="replace")


HEAD = _line([*NAMES])
