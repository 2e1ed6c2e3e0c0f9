"""What a scanner shows and sends."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from canonical.inventory import StockLevel
from canonical.item import Item, ItemId, Quantity, ScannedLabel

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Maybe = Annotated[str, msgspec.Meta(max_length=64)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Availability(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Can I take one? In base units; `lot`, `serial` and `expires` are what the label said."""

    item: ItemId
    description: str
    unit: str
    facility: str
    location: str
    on_hand: Decimal
    available: Decimal
    on_order: Decimal
    active: bool
    substitute: ItemId | None = None
    lot: str = ""
    serial: str = ""
    expires: date | None = None


def availability(item: Item, level: StockLevel, label: ScannedLabel) -> Availability:
    """Return the one answer a scan asks for."""
    return Availability(
        item=item.id,
        description=item.description,
        unit=level.unit,
        facility=level.facility,
        location=level.location,
        on_hand=level.on_hand,
        available=max(level.on_hand - level.reserved, Decimal(0)),
        on_order=level.on_order,
        active=item.active,
        substitute=item.substitute,
        lot=label.lot,
        serial=label.serial,
        expires=label.expires,
    )


class ScannedUse(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One scan at the table. What the label says of lot and serial need not be typed."""

    code: Code
    quantity: Quantity
    lot: Maybe = ""
    serial: Maybe = ""
    reference: Maybe = ""


class MobileUsage(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What was scanned during a procedure. `encounter`, `caseNumber` and `patientId` (the
    wristband) are sealed on arrival.
    """

    facility: Text
    location: Text
    occurred_at: datetime
    encounter: Text
    lines: Annotated[tuple[ScannedUse, ...], msgspec.Meta(min_length=1, max_length=200)]
    case_number: Maybe = ""
    patient_id: Maybe = ""
    procedure: Maybe = ""
    clinician: Maybe = ""


class ScannedReceipt(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One scan at the dock; `serials` for items counted by serial."""

    code: Code
    quantity: Quantity
    lot: Maybe = ""
    serials: Annotated[tuple[Text, ...], msgspec.Meta(max_length=500)] = ()
    expires: date | None = None


class MobileReceipt(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What was scanned at the dock against one order."""

    order: Text
    received_at: datetime
    lines: Annotated[tuple[ScannedReceipt, ...], msgspec.Meta(min_length=1, max_length=500)]
    delivery_note: Maybe = ""
