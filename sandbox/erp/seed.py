"""The opening balance: what a simulated system starts with, read from `sandbox/hospital.toml`."""

import tomllib
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec


class Pack(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A packaging level."""

    unit: str
    factor: Decimal
    gtin: str = ""


class ItemSeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A material."""

    id: str
    description: str
    kind: Literal["implant", "consumable", "reagent", "medication", "equipment"]
    base_unit: str
    cost: Decimal
    gtin: str = ""
    lot_controlled: bool = False
    serial_controlled: bool = False
    active: bool = True
    order_unit: str = ""
    catalogue: str = ""
    packagings: tuple[Pack, ...] = ()


class LotSeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A batch."""

    item: str
    number: str
    expires: date


class StockSeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Opening stock in base units."""

    item: str
    facility: str
    location: str
    quantity: Decimal
    lot: str = ""
    serials: tuple[str, ...] = ()


class SupplierSeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A supplier."""

    id: str
    name: str
    blocked: bool = False


class CostCenterSeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A cost centre with its purchasing budget."""

    id: str
    name: str
    budget: Decimal
    committed: Decimal = Decimal(0)
    active: bool = True


class LocationSeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A storage location."""

    id: str
    facility: str


class PriceSeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a contract says; the ERP knows it as an info record."""

    supplier: str
    item: str
    unit: str
    price: Decimal
    currency: str
    valid_to: date
    supplier_sku: str = ""


class Seed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Everything the ERP starts with."""

    items: tuple[ItemSeed, ...] = ()
    lots: tuple[LotSeed, ...] = ()
    stock: tuple[StockSeed, ...] = ()
    suppliers: tuple[SupplierSeed, ...] = ()
    cost_centers: tuple[CostCenterSeed, ...] = ()
    locations: tuple[LocationSeed, ...] = ()
    contracts: tuple[PriceSeed, ...] = ()


def read(path: Path) -> Seed:
    """Read a seed file; tables that the ERP does not know are for the other simulated systems."""
    return msgspec.convert(tomllib.loads(path.read_text()), Seed)


@cache
def hospital() -> Seed:
    """General Hospital, plant 1710, the house of the demonstration."""
    return read(Path(__file__).parent.parent / "hospital.toml")
