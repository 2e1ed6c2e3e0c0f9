"""Ship notices and goods receipts."""

from datetime import date, datetime

import msgspec

from canonical.item import ItemCode, Quantity


class ShippedLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of a ship notice with its batch."""

    order_line: int
    quantity: Quantity
    supplier_sku: str = ""
    gtin: str = ""
    lot: str = ""
    serials: tuple[str, ...] = ()
    expires: date | None = None


class ShipNotice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is on its way (X12 856)."""

    number: str
    order: str
    supplier: str
    shipped_on: date
    lines: tuple[ShippedLine, ...]
    expected_on: date | None = None
    carrier: str = ""
    tracking: str = ""


class ReceivedLine(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What a person counted at the dock. `order_line`, or `codes` that may name the item."""

    quantity: Quantity
    order_line: int | None = None
    codes: tuple[ItemCode, ...] = ()
    lot: str = ""
    serials: tuple[str, ...] = ()
    expires: date | None = None


class Receipt(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Goods taken in against an order."""

    order: str
    received_at: datetime
    lines: tuple[ReceivedLine, ...]
    received_by: str = ""
    delivery_note: str = ""
    complete: bool = False


class PostedReceipt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The ERP's document for a goods receipt: lines by order line, in base units."""

    document: str
    year: str
    order: str
    lines: tuple[ReceivedLine, ...]
