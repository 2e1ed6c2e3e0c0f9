"""What subscribers are told: the payload of each event, and nothing that leads to a patient.

Only these Structs may leave (`Story.publish` takes no other). They have no context token, no name
of a patient and no link to one: `case` and `encounter` are keyed pseudonyms, useless outside. A
field that is added is a change others can live with; a field that goes or changes its meaning is a
new event version, beside the old one (`canonical/events.py`).
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from canonical.case import CaseChange
from canonical.charge import ChargeLine
from canonical.inventory import MovementLine
from canonical.invoice import LineMatch
from canonical.item import ItemId
from canonical.money import Money
from canonical.order import AcknowledgedLine, OrderLine
from canonical.requisition import RequisitionLine
from canonical.shipment import ReceivedLine, ShippedLine
from canonical.usage import ResolvedUsage


class Published(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every payload has. `facility` is where it happened, '' where it concerns none or all."""

    facility: str = ""


class OrderPlaced(Published, frozen=True, kw_only=True):
    """A purchase order exists in the ERP and goes to its supplier."""

    order: str
    supplier: str
    location: str
    ordered_on: date
    needed_on: date
    lines: tuple[OrderLine, ...]
    total: Money


class OrderAcknowledged(Published, frozen=True, kw_only=True):
    """The supplier answered; `standing` is what the hospital made of it."""

    order: str
    supplier: str
    acknowledged_on: date
    standing: Literal["accept", "reject", "abandon"]
    lines: tuple[AcknowledgedLine, ...]


class OrderShipped(Published, frozen=True, kw_only=True):
    """The supplier says that goods are under way."""

    order: str
    supplier: str
    notice: str
    shipped_on: date
    expected_on: date | None = None
    lines: tuple[ShippedLine, ...]


class OrderClosed(Published, frozen=True, kw_only=True):
    """Nothing more will come for this order; `complete` where all that was agreed has come."""

    order: str
    supplier: str
    complete: bool
    receipts: tuple[str, ...]


class RequisitionRaised(Published, frozen=True, kw_only=True):
    """Something below par, or needed by a case, is to be bought."""

    location: str
    supplier: str
    needed_on: date
    origin: Literal["case-demand", "usage", "person"]
    lines: tuple[RequisitionLine, ...]


class ApprovalDecided(Published, frozen=True, kw_only=True):
    """A requisition was approved or declined, by the rule or in person."""

    requisition: str
    approved: bool
    by: str
    at: datetime
    reason: str = ""


class ItemReceived(Published, frozen=True, kw_only=True):
    """Goods were taken in against an order and stand in the ERP, in base units."""

    order: str
    supplier: str
    location: str
    document: str
    received_at: datetime
    lines: tuple[ReceivedLine, ...]


class InventoryMoved(Published, frozen=True, kw_only=True):
    """Stock of a location went up or down, as the ERP posted it."""

    kind: Literal["consumption", "consumption-reversal", "receipt"]
    document: str
    on: date
    lines: tuple[MovementLine, ...]


class ItemConsumed(Published, frozen=True, kw_only=True):
    """Items left the shelf for a case: the posting, with everything a recall needs."""

    location: str
    cost_center: str
    document: str
    occurred_at: datetime
    procedure: str = ""
    case: str = ""
    lines: tuple[ResolvedUsage, ...]


class ProcedureUsage(Published, frozen=True, kw_only=True):
    """What a procedure used, as clinical context: who, where, for which procedure."""

    location: str
    procedure: str
    occurred_at: datetime
    clinician: str = ""
    case: str = ""
    encounter: str = ""
    lines: tuple[ResolvedUsage, ...]


class CaseScheduled(Published, frozen=True, kw_only=True):
    """A surgical case was scheduled, moved or cancelled."""

    location: str
    procedure: str
    procedure_name: str = ""
    scheduled_at: datetime
    change: CaseChange
    case: str = ""


class ShortItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One item that will fall under its threshold, in base units."""

    item: ItemId
    needed: Decimal
    projected: Decimal
    threshold: Decimal


class SupplyShortage(Published, frozen=True, kw_only=True):
    """A case needs more than there will be; what is short is being bought."""

    location: str
    needed_on: date
    case: str = ""
    items: tuple[ShortItem, ...]


class ChargeEligible(Published, frozen=True, kw_only=True):
    """Items used that can be charged: recorded for review, the trigger of billing."""

    movement: str
    occurred_on: date
    procedure: str
    lines: tuple[ChargeLine, ...]


class InvoiceMatched(Published, frozen=True, kw_only=True):
    """An invoice agrees with order and receipts, or was accepted by a person; it is posted."""

    invoice: str
    order: str
    supplier: str
    outcome: Literal["matched", "accepted"]
    total: Money
    document: str
    lines: tuple[LineMatch, ...]


class InvoiceRejected(Published, frozen=True, kw_only=True):
    """An invoice was refused by a person, with the reasons of the match."""

    invoice: str
    order: str
    supplier: str
    total: Money
    reasons: tuple[str, ...]


class TaskRaised(Published, frozen=True, kw_only=True):
    """A person must look: work is stuck or refused, a decision is due, something did not come."""

    task: str
    kind: Literal["stuck", "decision", "refused", "overdue"]
    reason: str
    title: str
    owner: str
    raised_at: datetime


class Ping(Published, frozen=True, kw_only=True):
    """A test: nothing happened."""

    text: str
