"""Codes that both sides spell differently: units, dates, batches, serial numbers, references."""

import base64
import hashlib
import re
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal

from canonical.errors import InvalidRequest, UpstreamGarbled, WrongUnit
from canonical.item import Quantity

_UNITS = (
    ("EA", "ST", "PC EA"),
    ("BX", "BX", ""),
    ("CA", "KAR", "CAR"),
    ("PK", "PAK", "PAC"),
    ("PR", "PAA", "PR"),
    ("DZ", "DZ", "DR"),
    ("BT", "FL", "BOT"),
    ("RL", "ROL", ""),
    ("KT", "KIT", ""),
    ("PL", "PAL", ""),
    ("ML", "ML", ""),
    ("L", "L", ""),
    ("G", "G", ""),
    ("KG", "KG", ""),
)
"""Hospital unit, S/4HANA's internal unit (table T006), its spellings in other logon languages."""

_TO_SAP = {ours: theirs for ours, theirs, _ in _UNITS}
_FROM_SAP = {
    spelling: ours
    for ours, theirs, others in _UNITS
    for spelling in (theirs, *others.split())
}  # fmt: skip
_DATE = re.compile(r"/Date\((-?\d+)(?:[+-]\d+)?\)/")
_CENT = Decimal("0.01")
_BATCH_LENGTH = 10
_SERIAL_LENGTH = 18
_LOT_TEXT = "LOT "


def unit(theirs: str) -> str:
    """Return the hospital unit of an S/4HANA unit."""
    found = _FROM_SAP.get(theirs)
    if found is None:
        raise UpstreamGarbled(f"unit {theirs} is not in the unit table")
    return found


def sap_unit(ours: str) -> str:
    """Return the S/4HANA unit of a hospital unit."""
    found = _TO_SAP.get(ours)
    if found is None:
        raise WrongUnit(
            f"unit {ours} has no S/4HANA unit",
            expected=f"one of {', '.join(_TO_SAP)}",
            fix="correct the unit, or add it to the unit table of the connector",
        )
    return found


def quantity(value: Decimal, theirs: str) -> Quantity:
    """Return an amount in a hospital unit, without the zeros S/4HANA pads with."""
    plain = value.to_integral_value() if value == value.to_integral_value() else value.normalize()
    return Quantity(value=plain, unit=unit(theirs))


def day(theirs: str | None) -> date | None:
    """Read `/Date(ms)/` (OData V2 JSON, Edm.DateTime)."""
    if not theirs:
        return None
    found = _DATE.fullmatch(theirs)
    if found is None:
        raise UpstreamGarbled("a date is not readable", expected="/Date(milliseconds)/")
    return datetime.fromtimestamp(int(found[1]) // 1000, UTC).date()


def sap_day(ours: date) -> str:
    """Write a date as `/Date(ms)/`."""
    midnight = datetime.combine(ours, time(), UTC)
    return f"/Date({int(midnight.timestamp()) * 1000})/"


def reference(key: str, length: int) -> str:
    """Return the mark under which a document of this idempotency key is found again.

    S/4HANA takes no idempotency key, so the key's digest travels in a reference field: 12
    characters are 60 bits, 16 are 80.
    """
    return base64.b32encode(hashlib.sha256(key.encode()).digest()).decode()[:length]


def undoing(key: str) -> str:
    """Return the key under which what `key` did is undone: that is another document."""
    return f"undo:{key}"


def batch(lot: str) -> str:
    """Return the batch number of a lot. Ten characters is all a batch has: a longer lot is kept by
    its digest, and in full in the text of its receipt.
    """
    plain = lot.strip().upper()
    if len(plain) <= _BATCH_LENGTH:
        return plain
    return f"#{reference(plain, _BATCH_LENGTH - 1)}"


def lot_text(lot: str) -> str:
    """Return the item text that keeps a lot too long for a batch number."""
    return f"{_LOT_TEXT}{lot.strip()}" if batch(lot).startswith("#") else ""


def lot(theirs: str, item_text: str) -> str:
    """Return the lot of a batch as its receipt recorded it."""
    if theirs.startswith("#") and item_text.startswith(_LOT_TEXT):
        return item_text.removeprefix(_LOT_TEXT)
    return theirs


def serial(ours: str) -> str:
    """Return a serial number as S/4HANA keeps it."""
    plain = ours.strip().upper()
    if len(plain) > _SERIAL_LENGTH:
        raise InvalidRequest(
            "serial number is longer than S/4HANA keeps",
            expected=f"at most {_SERIAL_LENGTH} characters",
        )
    return plain


def invoice_number(ours: str) -> str:
    """Return a supplier's invoice number in 16 characters; a longer one keeps its end readable and
    stays distinct by a digest.
    """
    if len(ours) <= _INVOICE_LENGTH:
        return ours
    return f"{reference(ours, 7)}-{ours[-8:]}"


_INVOICE_LENGTH = 16


def net_price(price: Decimal) -> tuple[Decimal, Decimal]:
    """Return a price in cents and how many units it buys: 0.0925 each is 92.50 for 1000."""
    for per in (Decimal(1), Decimal(10), Decimal(100)):
        if price * per == (price * per).quantize(_CENT):
            return (price * per).quantize(_CENT), per
    return (price * 1000).quantize(_CENT, rounding=ROUND_HALF_UP), Decimal(1000)
