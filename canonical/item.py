"""Items, their codes in other systems, quantities and packaging."""

from datetime import date
from decimal import Decimal
from typing import Literal, NewType

import msgspec

from canonical.errors import InvalidRequest, WrongUnit

Gtin = NewType("Gtin", str)
"""GS1 Global Trade Item Number, always 14 digits with a valid check digit; also the GS1 form of a
UDI-DI.
"""

ItemId = NewType("ItemId", str)
"""The hospital's own item number: the ERP material number."""


def gtin(text: str) -> Gtin:
    """Return `text` (8, 12, 13 or 14 digits) as a GTIN-14, or raise `InvalidRequest` (GS1 General
    Specifications 7.9).
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) in (8, 12, 13, 14)):
        raise InvalidRequest("not a GTIN", expected="8, 12, 13 or 14 digits")
    padded = digits.zfill(14)
    total = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(padded[:13]))
    if (10 - total % 10) % 10 != int(padded[13]):
        raise InvalidRequest(
            "GTIN check digit does not match", expected=str((10 - total % 10) % 10)
        )
    return Gtin(padded)


class Quantity(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """An amount with its unit. `unit` is a UCUM-style hospital unit code such as EA, BX, CA."""

    value: Decimal
    unit: str

    def __add__(self, other: "Quantity") -> "Quantity":
        if other.unit != self.unit:
            raise WrongUnit(f"cannot add {other.unit} to {self.unit}", expected=self.unit)
        return Quantity(value=self.value + other.value, unit=self.unit)


class Packaging(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One packaging level: 1 `unit` holds `factor` base units. A level may carry its own GTIN."""

    unit: str
    factor: Decimal
    gtin: Gtin | None = None


ItemKind = Literal["implant", "consumable", "reagent", "medication", "equipment"]


class Item(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An item as the hospital's item master knows it (owner: ERP)."""

    id: ItemId
    description: str
    base_unit: str
    kind: ItemKind = "consumable"
    active: bool = True
    substitute: ItemId | None = None
    lot_controlled: bool = False
    serial_controlled: bool = False
    gtin: Gtin | None = None
    manufacturer: str = ""
    brand: str = ""
    group: str = ""
    packagings: tuple[Packaging, ...] = ()

    def in_base_unit(self, quantity: Quantity) -> Quantity:
        """Convert `quantity` to the base unit by this item's packaging, or raise `WrongUnit`."""
        if quantity.unit == self.base_unit:
            return quantity
        for level in self.packagings:
            if level.unit == quantity.unit:
                return Quantity(value=quantity.value * level.factor, unit=self.base_unit)
        known = ", ".join([self.base_unit, *(level.unit for level in self.packagings)])
        raise WrongUnit(
            f"item {self.id} has no packaging {quantity.unit}",
            expected=f"one of {known}",
            fix="correct the unit, or add the packaging to the item master",
        )


CodeScheme = Literal["gtin", "hibcc", "iccbba", "erp", "ehr", "supplier-sku", "catalogue"]


class ItemCode(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One name of an item in one scheme. `issuer` is the supplier or system that gave it (''
    where global).
    """

    scheme: CodeScheme
    value: str
    issuer: str = ""


class ScannedLabel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a barcode says: the codes it may mean, and the batch it carries."""

    codes: tuple[ItemCode, ...]
    lot: str = ""
    serial: str = ""
    expires: date | None = None
