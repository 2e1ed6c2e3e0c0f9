"""Is this usage postable, what does it move, what must be bought again: pure decisions."""

from datetime import date

from canonical.charge import ChargeLine, ChargeReview, CostPosting
from canonical.errors import InactiveItem, InvalidRequest, ItemExpired, UnknownLot
from canonical.inventory import Lot, Movement, MovementLine, ParLevel, PostedMovement, StockLevel
from canonical.item import Item, Quantity
from canonical.location import Location
from canonical.requisition import Requisition, RequisitionLine
from canonical.usage import ResolvedUsage, UsageEvent, UsageLine

VERSION = "usage-rules/1"


def postable_line(line: UsageLine, item: Item, lot: Lot | None, day: date) -> ResolvedUsage:
    """Return the line as it may be posted, or raise why it may not: inactive, no such unit, nothing
    used, lot or serial missing, one serial for several pieces, expired on the `day` of use.
    """
    if not item.active:
        other = f"use {item.substitute}" if item.substitute else "reactivate or replace the item"
        raise InactiveItem(f"item {item.id} is inactive", fix=f"{other}, then retry")
    quantity = item.in_base_unit(line.quantity)
    if not quantity.value > 0:
        raise InvalidRequest(
            f"item {item.id}: {quantity.value} {quantity.unit} used", expected="more than 0"
        )
    if item.lot_controlled and lot is None:
        raise UnknownLot(f"item {item.id} needs a lot", expected="a lot number on the usage line")
    if item.serial_controlled and not line.serial:
        raise UnknownLot(f"item {item.id} needs a serial", expected="a serial on the usage line")
    if item.serial_controlled and quantity.value != 1:
        raise UnknownLot(
            f"item {item.id}: one serial for {quantity.value} pieces", expected="one line a piece"
        )
    _refuse_expired(line, item, lot, day)
    return ResolvedUsage(
        item=item.id,
        description=item.description,
        quantity=quantity,
        lot=lot.number if lot else line.lot,
        serial=line.serial,
        implant=item.kind == "implant",
        reference=line.reference,
    )


def _refuse_expired(line: UsageLine, item: Item, lot: Lot | None, day: date) -> None:
    """Raise when it was expired on `day`: by the date of the lot, else by that of the label."""
    expires = (lot.expires if lot else None) or line.expires
    if expires is not None and expires < day:
        number = lot.number if lot else line.lot
        named = f"lot {number} of {item.id}" if number else item.id
        raise ItemExpired(
            f"{named} expired on {expires}",
            fix="report the use of an expired item, then retry with the right lot or abandon",
        )


def consumption(
    usage: UsageEvent,
    place: Location,
    lines: tuple[ResolvedUsage, ...],
    reservation: str,
    today: date,
) -> Movement:
    """Return the goods issue: from the place of use to its cost centre."""
    return Movement(
        kind="consumption",
        facility=usage.facility,
        cost_center=usage.cost_center or place.cost_center,
        on=today,
        reference=usage.case or usage.encounter,
        reservation=reservation,
        lines=tuple(
            MovementLine(
                item=line.item,
                quantity=line.quantity,
                location=place.id,
                lot=line.lot,
                serial=line.serial,
            )
            for line in lines
        ),
    )


def case_cost(movement: Movement, posted: PostedMovement) -> CostPosting:
    """Return the cost of the movement, moved from the cost centre to the case."""
    return CostPosting(
        facility=movement.facility,
        cost_center=movement.cost_center,
        on=movement.on,
        amount=posted.value,
        reference=posted.document,
        case=movement.reference,
    )


def charge_review(
    usage: UsageEvent, day: date, lines: tuple[ResolvedUsage, ...], posted: PostedMovement
) -> ChargeReview:
    """Return what a charge reviewer needs, under the context token; `day` is the day of use."""
    return ChargeReview(
        context_token=usage.context_token,
        facility=usage.facility,
        occurred_on=day,
        procedure=usage.procedure,
        movement=posted.document,
        lines=tuple(
            ChargeLine(
                item=line.item,
                description=line.description,
                quantity=line.quantity,
                lot=line.lot,
                serial=line.serial,
            )
            for line in lines
        ),
    )


def replenishment(
    place: Location, levels: list[StockLevel], pars: list[ParLevel], today: date
) -> list[Requisition]:
    """Return one requisition a supplier that brings what fell below par back up to par.

    What is on order or requested counts as coming, what is reserved as gone.
    """
    stock = {level.item: level for level in levels}
    short = [par for par in pars if par.item in stock and stock[par.item].projected < par.par]
    return [
        Requisition(
            facility=place.facility,
            location=place.id,
            cost_center=place.cost_center,
            supplier=supplier,
            needed_on=today,
            lines=tuple(
                RequisitionLine(
                    item=par.item,
                    quantity=Quantity(
                        value=par.par - stock[par.item].projected, unit=stock[par.item].unit
                    ),
                )
                for par in short
                if par.supplier == supplier
            ),
            requested_by="usage-to-replenishment",
            origin="usage",
        )
        for supplier in sorted({par.supplier for par in short})
    ]
