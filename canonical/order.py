"""Purchase orders and what suppliers answer to them."""

from datetime import date
from typing import Literal

import msgspec

from canonical.deadline import Urgency
from canonical.item import ItemId, Quantity
from canonical.money import Money


class OrderLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line; `quantity` in the ordering unit, `base_quantity` in the item's base unit."""

    line: int
    item: ItemId
    description: str
    quantity: Quantity
    unit_price: Money
    base_quantity: Quantity
    supplier_sku: str = ""
    gtin: str = ""


class PurchaseOrder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An order as the ERP holds it. `number` is the ERP's; the supplier sees no cost centre and
    no case. `urgency` is ours: no ERP knows it.
    """

    number: str
    supplier: str
    facility: str
    location: str
    cost_center: str
    ordered_on: date
    needed_on: date
    lines: tuple[OrderLine, ...]
    total: Money
    status: Literal["open", "acknowledged", "shipped", "received", "closed", "cancelled"] = "open"
    urgency: Urgency | None = None


AcknowledgedStatus = Literal[
    "accepted",
    "accepted-with-changes",
    "backordered",
    "price-changed",
    "quantity-changed",
    "substituted",
    "rejected",
]


class AcknowledgedLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the supplier says to one line (X12 855 ACK01). `supplier_sku` is the part it will send
    instead, '' where it sends the ordered one.
    """

    line: int
    status: AcknowledgedStatus
    quantity: Quantity
    unit_price: Money | None = None
    ships_on: date | None = None
    supplier_sku: str = ""
    note: str = ""


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A supplier's answer to an order (X12 855 BAK)."""

    order: str
    supplier: str
    acknowledged_on: date
    accepted: bool
    lines: tuple[AcknowledgedLine, ...]


class TransmissionReceipt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a document went and under which control numbers, so that its 997 finds it again."""

    partner: str
    interchange: str
    group: str
    transaction_set: str
    message: str


class SyntaxVerdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The partner's functional acknowledgement of what we sent (X12 997/999): accepted or not,
    with its codes.
    """

    group: str
    accepted: bool
    codes: tuple[str, ...] = ()


class ChangeAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A supplier's answer to a change or cancellation of an order (X12 865 BCA)."""

    order: str
    supplier: str
    accepted: bool
    note: str = ""


class OrderCancellation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An order that nobody fills any more."""

    order: str
