"""Reservations: stock promised to a cost centre until it is issued or the promise is deleted."""

from sandbox.erp.odata import entered
from sandbox.erp.store import Row, SapError, number, text
from sandbox.erp.system import System


def create(system: System, given: dict[str, object]) -> Row:
    """Keep a reservation. It may exceed what is on hand: availability is not checked here."""
    header, nested = entered(system.store["A_ReservationDocumentHeader"].shape, given)
    system.require_cost_center(text(header, "CostCenter"))
    shape = system.store["A_ReservationDocumentItem"].shape
    items = [
        _item(system, entered(shape, each)[0]) for each in nested["to_ReservationDocumentItem"]
    ]
    if not items:
        raise SapError(400, "M7/088", "Document does not contain any items")
    number_ = system.store.number("0000000101")
    kept = system.store["A_ReservationDocumentHeader"].insert(header | {"Reservation": number_})
    for position, item in enumerate(items, start=1):
        system.store["A_ReservationDocumentItem"].insert(
            item
            | {
                "Reservation": number_,
                "ReservationItem": str(position).zfill(4),
                "GoodsMovementType": header["GoodsMovementType"],
                "GoodsMovementIsAllowed": True,
                "DebitCreditCode": "H",
                "MatlCompRequirementDate": header.get("ReservationDate"),
            }
        )
    return kept


def _item(system: System, row: Row) -> Row:
    material = text(row, "Product")
    product = system.product(material, text(row, "Plant"))
    entered_quantity = number(row, "ResvnItmRequiredQtyInEntryUnit")
    if entered_quantity <= 0:
        raise SapError(400, "M7/030", "Enter a quantity")
    required = entered_quantity * system.factor(material, text(row, "EntryUnit"))
    return row | {
        "BaseUnit": text(product, "BaseUnit"),
        "ResvnItmRequiredQtyInBaseUnit": required,
    }


def delete(system: System, reservation: str) -> None:
    """Mark every item for deletion; the numbers stay."""
    rows = system.store["A_ReservationDocumentItem"].find({"Reservation": reservation})
    if not rows:
        raise SapError(404, "M7/103", f"Reservation {reservation} does not exist")
    for row in rows:
        system.store["A_ReservationDocumentItem"].update(row, ReservationItmIsMarkedForDeltn=True)
