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

from canonical.case import CaseChange, SurgicalCase
from canonical.charge import ChargeLine, ChargeReview
from canonical.inventory import Movement, MovementLine, PostedMovement
from canonical.item import ItemId
from canonical.order import PurchaseOrder
from canonical.shipment import PostedReceipt, Receipt
from canonical.usage import ResolvedUsage, UsageEvent


class Published(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every payload has. `facility` is where it happened, '' where it concerns none or all."""

    facility: str = ""


class CaseScheduled(Published, frozen=True, kw_only=True):
    """A surgical case was scheduled, moved or cancelled."""

    location: str
    procedure: str
    procedure_name: str = ""
    scheduled_at: datetime
    change: CaseChange
    case: str = ""

    @classmethod
    def of(cls, case: SurgicalCase) -> "CaseScheduled":
        return cls(
            facility=case.facility,
            location=case.location,
            procedure=case.procedure,
            procedure_name=case.procedure_name,
            scheduled_at=case.scheduled_at,
            change=case.change,
            case=case.case,
        )


class ItemConsumed(Published, frozen=True, kw_only=True):
    """Items left the shelf for a case: the posting, with everything a recall needs."""

    location: str
    cost_center: str
    document: str
    occurred_at: datetime
    procedure: str = ""
    case: str = ""
    lines: tuple[ResolvedUsage, ...]

    @classmethod
    def of(
        cls,
        usage: UsageEvent,
        movement: Movement,
        posted: PostedMovement,
        lines: tuple[ResolvedUsage, ...],
    ) -> "ItemConsumed":
        return cls(
            facility=usage.facility,
            location=usage.location,
            cost_center=movement.cost_center,
            document=posted.document,
            occurred_at=usage.occurred_at,
            procedure=usage.procedure,
            case=usage.case,
            lines=lines,
        )


class ProcedureUsage(Published, frozen=True, kw_only=True):
    """What a procedure used, as clinical context: who, where, for which procedure."""

    location: str
    procedure: str
    occurred_at: datetime
    clinician: str = ""
    case: str = ""
    encounter: str = ""
    lines: tuple[ResolvedUsage, ...]

    @classmethod
    def of(cls, usage: UsageEvent, lines: tuple[ResolvedUsage, ...]) -> "ProcedureUsage":
        return cls(
            facility=usage.facility,
            location=usage.location,
            procedure=usage.procedure,
            occurred_at=usage.occurred_at,
            clinician=usage.clinician,
            case=usage.case,
            encounter=usage.encounter,
            lines=lines,
        )


class InventoryMoved(Published, frozen=True, kw_only=True):
    """Stock of a location went up or down, as the ERP posted it."""

    kind: Literal["consumption", "consumption-reversal", "receipt"]
    document: str
    occurred_at: datetime
    lines: tuple[MovementLine, ...]

    @classmethod
    def out(
        cls, movement: Movement, posted: PostedMovement, occurred_at: datetime
    ) -> "InventoryMoved":
        return cls(
            facility=movement.facility,
            kind=movement.kind,
            document=posted.document,
            occurred_at=occurred_at,
            lines=movement.lines,
        )

    @classmethod
    def into(
        cls, order: PurchaseOrder, receipt: Receipt, posted: PostedReceipt
    ) -> "InventoryMoved":
        items = {line.line: line.item for line in order.lines}
        return cls(
            facility=order.facility,
            kind="receipt",
            document=posted.document,
            occurred_at=receipt.received_at,
            lines=tuple(
                MovementLine(
                    item=items[line.order_line],
                    quantity=line.quantity,
                    location=order.location,
                    lot=line.lot,
                )
                for line in posted.lines
                if line.order_line in items
            ),
        )


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

    @classmethod
    def of(cls, charge: ChargeReview) -> "ChargeEligible":
        return cls(
            facility=charge.facility,
            movement=charge.movement,
            occurred_on=charge.occurred_on,
            procedure=charge.procedure,
            lines=charge.lines,
        )


class TaskRaised(Published, frozen=True, kw_only=True):
    """A person must look: work is stuck or refused, a decision is due, something did not come."""

    task: str
    kind: Literal["stuck", "decision", "refused", "overdue", "alert"]
    reason: str
    title: str
    owner: str
    raised_at: datetime


class DecisionOverdue(Published, frozen=True, kw_only=True):
    """A question that nobody answered in its time: it is escalated, once."""

    task: str
    reason: str
    title: str
    deadline: str
    tier: str
    due_at: datetime
    owner: str
    affected: str


class Ping(Published, frozen=True, kw_only=True):
    """A test: nothing happened."""

    text: str
