"""The demonstration's master data: read from the sandbox's data file, as a facility pack."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from canonical.case import PreferenceCard
from canonical.contract import ContractPrice
from canonical.inventory import ParLevel
from canonical.item import ItemCode, ItemId
from canonical.location import Location
from canonical.money import Money
from canonical.supplier import TradingPartner
from gateway.master_data import FacilityPack

FILE = Path(__file__).resolve().parent.parent.parent / "sandbox" / "hospital.toml"
SENDER = "GENERAL"
OWN = ("ZZ", "GENERALHOSP")
CLIENT = "demo-supplier"
PARTNERS = {"17300001": "NORTHFIELD", "17300002": "LAKESIDE", "17300003": "HARBOR"}


def hospital() -> dict[str, Any]:
    """Return the data file."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def pack(endpoint: str) -> FacilityPack:
    """Return the pack; every supplier is reached at `endpoint`, one of the upstreams."""
    data = hospital()
    return FacilityPack(
        locations=tuple(
            Location(
                id=row["id"],
                facility=row["facility"],
                name=row["name"],
                cost_center=row["cost-center"],
            )
            for row in data["locations"]
        ),
        par_levels=msgspec.convert(data["par-levels"], tuple[ParLevel, ...], strict=False),
        preference_cards=tuple(_card(row) for row in data["preference-cards"]),
        contracts=tuple(_price(row) for row in data["contracts"]),
        partners=tuple(_partner(supplier, name, endpoint) for supplier, name in PARTNERS.items()),
        codes=tuple(_codes(data)),
    )


def _card(row: dict[str, Any]) -> PreferenceCard:
    lines = [
        {"item": line["item"], "quantity": {"value": line["quantity"], "unit": line["unit"]}}
        for line in row["lines"]
    ]
    card = {"procedure": row["procedure"], "surgeon": row["surgeon"], "lines": lines}
    return msgspec.convert(card, PreferenceCard, strict=False)


def _price(row: dict[str, Any]) -> ContractPrice:
    return ContractPrice(
        contract=row["contract"],
        supplier=row["supplier"],
        item=ItemId(row["item"]),
        unit=row["unit"],
        price=Money(amount=Decimal(row["price"]), currency=row["currency"]),
        valid_from=row["valid-from"],
        valid_to=row["valid-to"],
        supplier_sku=row["supplier-sku"],
    )


def _partner(supplier: str, name: str, endpoint: str) -> TradingPartner:
    return TradingPartner(
        supplier=supplier,
        qualifier="ZZ",
        interchange_id=name,
        application_id=name,
        own_qualifier=OWN[0],
        own_interchange_id=OWN[1],
        own_application_id=OWN[1],
        endpoint=endpoint,
        client=CLIENT,
    )


def _codes(data: dict[str, Any]) -> list[tuple[ItemCode, ItemId]]:
    codes = list[tuple[ItemCode, ItemId]]()
    for row in data["items"]:
        item = ItemId(row["id"])
        codes.append((ItemCode(scheme="erp", value=row["id"]), item))
        if "gtin" in row:
            codes.append((ItemCode(scheme="gtin", value=row["gtin"]), item))
    for row in data["contracts"]:
        sku = ItemCode(scheme="supplier-sku", value=row["supplier-sku"], issuer=row["supplier"])
        codes.append((sku, ItemId(row["item"])))
    for row in data["crosswalk"]:
        issuer = SENDER if row["scheme"] == "ehr" else row["issuer"]
        code = ItemCode(scheme=row["scheme"], value=row["value"], issuer=issuer)
        codes.append((code, ItemId(row["item"])))
    return codes
