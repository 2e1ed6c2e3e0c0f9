"""Purchase requisitions and their approval."""

from datetime import date, datetime
from typing import Literal

import msgspec

from canonical.deadline import ClinicalNeed
from canonical.item import ItemId, Quantity
from canonical.money import Money


class RequisitionLine(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    item: ItemId
    quantity: Quantity


class Requisition(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A wish to buy, before any check. `origin` says what caused it, `need` for which case."""

    facility: str
    location: str
    cost_center: str
    supplier: str
    needed_on: date
    lines: tuple[RequisitionLine, ...]
    requested_by: str = ""
    origin: Literal["case-demand", "usage", "person"] = "person"
    urgent: bool = False
    need: ClinicalNeed | None = None


class PricedLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line with its contract price; `quantity` in the contract's ordering unit."""

    line: int
    item: ItemId
    description: str
    quantity: Quantity
    unit_price: Money
    contract: str
    supplier_sku: str = ""
    gtin: str = ""
    base_quantity: Quantity


class PricedRequisition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A checked requisition: every line eligible and priced. `number` is the ERP's."""

    facility: str
    location: str
    cost_center: str
    supplier: str
    needed_on: date
    lines: tuple[PricedLine, ...]
    total: Money
    requested_by: str = ""
    number: str = ""


class Approval(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who let it pass, by which rule or in person."""

    approved: bool
    by: str
    at: datetime
    reason: str = ""
