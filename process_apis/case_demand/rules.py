"""What a case needs and what would be short: pure decisions."""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from canonical.case import PreferenceCard, SurgicalCase
from canonical.deadline import ClinicalNeed
from canonical.errors import WrongUnit
from canonical.inventory import ParLevel, Reservation, ReservationLine, StockLevel
from canonical.item import ItemId, Quantity
from canonical.location import Location
from canonical.published import ShortItem, SupplyShortage
from canonical.requisition import Requisition, RequisitionLine
from canonical.task import TaskDraft

VERSION = "case-demand-rules/2"


class CancellationPolicy(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """What becomes of orders that were placed for a case that is cancelled: they are cancelled too,
    or a buyer is asked.
    """

    orders: Literal["cancel", "ask"] = "cancel"


class ProjectedShortage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One item that the case would take under its threshold, in base units."""

    item: ItemId
    needed: Decimal
    projected: Decimal
    threshold: Decimal
    to_order: Decimal
    supplier: str


class CasePlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What will be reserved for a case, and what must be bought for it."""

    reservation: Reservation
    shortages: tuple[ProjectedShortage, ...]


class CaseReadiness(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a case stands: its reservation (None when it was cancelled) and what was short."""

    reservation: Reservation | None
    shortages: tuple[ProjectedShortage, ...] = ()


def case_plan(
    case: SurgicalCase,
    day: date,
    place: Location,
    card: PreferenceCard,
    levels: list[StockLevel],
    pars: list[ParLevel],
) -> CasePlan:
    """Reserve what the card says; an item is short when the stock projected after the case is under
    its safety level. Projected = on hand, less what is promised to others, plus what is on order or
    requested. `day` is the day of the case at the hospital.
    """
    stock = {level.item: level for level in levels}
    thresholds = {par.item: par for par in pars}
    shortages = list[ProjectedShortage]()
    for item, needed in _needed(card, stock).items():
        projected = stock[item].projected - needed
        par = thresholds.get(item)
        if par is not None and projected < par.safety:
            shortages.append(
                ProjectedShortage(
                    item=item,
                    needed=needed,
                    projected=projected,
                    threshold=par.safety,
                    to_order=par.par - projected,
                    supplier=par.supplier,
                )
            )
    return CasePlan(reservation=_reservation(case, day, place, card), shortages=tuple(shortages))


def _needed(card: PreferenceCard, stock: dict[ItemId, StockLevel]) -> dict[ItemId, Decimal]:
    """Add the card up by item; it speaks of the unit in which stock is counted, or is refused."""
    total = dict[ItemId, Decimal]()
    for line in card.lines:
        unit = stock[line.item].unit
        if line.quantity.unit != unit:
            raise WrongUnit(
                f"the preference card of {card.procedure} asks for {line.item} by"
                f" {line.quantity.unit}",
                expected=unit,
                fix="correct the preference card, then retry",
            )
        total[line.item] = total.get(line.item, Decimal(0)) + line.quantity.value
    return total


def _reservation(
    case: SurgicalCase, day: date, place: Location, card: PreferenceCard
) -> Reservation:
    return Reservation(
        case=case.case,
        facility=case.facility,
        cost_center=place.cost_center,
        needed_on=day,
        lines=tuple(
            ReservationLine(item=line.item, quantity=line.quantity, location=place.id)
            for line in card.lines
        ),
    )


def shortage_news(case: SurgicalCase, plan: CasePlan) -> SupplyShortage:
    """Return what is told of a case that needs more than there will be."""
    return SupplyShortage(
        facility=case.facility,
        location=case.location,
        needed_on=plan.reservation.needed_on,
        case=case.case,
        items=tuple(
            ShortItem(
                item=short.item,
                needed=short.needed,
                projected=short.projected,
                threshold=short.threshold,
            )
            for short in plan.shortages
        ),
    )


def requisitions(
    case: SurgicalCase, place: Location, plan: CasePlan, units: dict[ItemId, str]
) -> list[Requisition]:
    """Return one requisition a supplier for what is short."""
    need = ClinicalNeed(
        case=case.case,
        procedure=case.procedure,
        procedure_name=case.procedure_name,
        clinician=case.surgeon,
        encounter=case.encounter,
        scheduled_at=case.scheduled_at,
    )
    suppliers = sorted({shortage.supplier for shortage in plan.shortages})
    return [
        Requisition(
            facility=case.facility,
            location=place.id,
            cost_center=place.cost_center,
            supplier=supplier,
            needed_on=plan.reservation.needed_on,
            lines=tuple(
                RequisitionLine(
                    item=short.item,
                    quantity=Quantity(value=short.to_order, unit=units[short.item]),
                )
                for short in plan.shortages
                if short.supplier == supplier
            ),
            requested_by="case-demand",
            origin="case-demand",
            need=need,
        )
        for supplier in suppliers
    ]


def requisition_key(case: SurgicalCase, supplier: str) -> str:
    """Return the business key of what is requested of a supplier for a case."""
    return f"{case.case}:{supplier}"


def suppliers_asked(plans: tuple[CaseReadiness, ...]) -> list[str]:
    """Return from whom something was requested for a case."""
    return sorted({short.supplier for plan in plans for short in plan.shortages})


def order_task(case: SurgicalCase, order: str, supplier: str) -> TaskDraft:
    """Return the question for the buyer: an order of a case that no longer takes place."""
    return TaskDraft(
        reason="case-cancelled",
        subject=order,
        title=f"Case cancelled: order {order} was placed for it",
        detail=f"supplier {supplier}; the case of {case.scheduled_at:%Y-%m-%d} is cancelled",
        affected=f"{case.facility}, {case.procedure_name or case.procedure or 'no procedure'}",
        fix="compensate to cancel the order, or accept to keep it for stock",
        owner="supply-chain",
        actions=("compensate", "accept"),
    )
