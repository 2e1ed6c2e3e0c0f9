"""Stock levels, lots, reservations and goods movements."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from canonical.errors import InvalidRequest, NothingToPost
from canonical.inventory import Lot, Movement, Reservation, StockLevel
from canonical.item import Item, ItemCode, ItemId
from canonical.order import OrderLine, PurchaseOrder
from canonical.shipment import PostedReceipt, Receipt, ReceivedLine
from system_apis.erp.s4hana import wire
from system_apis.erp.s4hana.mapping import codes

_ISSUE, _ISSUE_REVERSAL = "201", "202"
_RECEIPT_CODE, _ISSUE_CODE = "01", "03"
RECEIPT = "101"
ZERO = Decimal(0)


def stock_level(
    item: Item,
    place: tuple[str, str],
    on_hand: Iterable[wire.MaterialStock],
    promised: Iterable[wire.ReservationItem],
    on_order: Decimal,
) -> StockLevel:
    """Return what is at (facility, location): batches added up, promises not yet withdrawn."""
    open_promises = (
        row.ResvnItmRequiredQtyInBaseUnit - row.ResvnItmWithdrawnQtyInBaseUnit for row in promised
    )
    return StockLevel(
        item=item.id,
        facility=place[0],
        location=place[1],
        unit=item.base_unit,
        on_hand=_plain(_on_hand(on_hand)),
        reserved=_plain(sum((max(each, ZERO) for each in open_promises), ZERO)),
        on_order=_plain(on_order),
    )


def still_to_come(
    item: Item, line: wire.OrderItem, received: Iterable[wire.MaterialDocumentItem]
) -> Decimal:
    """Return what an order item still owes, in base units."""
    came = sum((row.QuantityInBaseUnit for row in received), ZERO)
    return max(_ordered_in_base_units(item, line) - came, ZERO)


def still_requested(
    item: Item, row: wire.KeptRequisitionItem, ordered: Iterable[wire.OrderItem]
) -> Decimal:
    """Return what a requisition item asks for beyond its orders, in base units. What an order line
    took over counts from whichever side knows of it, the item or the line, and once.
    """
    noted, asked = (
        item.in_base_unit(codes.quantity(value, row.BaseUnit)).value
        for value in (row.OrderedQuantity, row.RequestedQuantity)
    )
    taken_over = sum(
        (_ordered_in_base_units(item, line) for line in ordered if _refers(line, row)),
        ZERO,
    )
    return max(asked - max(noted, taken_over), ZERO)


def _ordered_in_base_units(item: Item, line: wire.OrderItem) -> Decimal:
    ordered = codes.quantity(line.OrderQuantity, line.PurchaseOrderQuantityUnit)
    return item.in_base_unit(ordered).value


def _refers(line: wire.OrderItem, row: wire.KeptRequisitionItem) -> bool:
    named = (line.PurchaseRequisition, line.PurchaseRequisitionItem)
    return named == (row.PurchaseRequisition, row.PurchaseRequisitionItem)


def lot(item: ItemId, number: str, row: wire.Batch, on_hand: Iterable[wire.MaterialStock]) -> Lot:
    """Return a lot under the number it was asked by."""
    return Lot(
        item=item,
        number=number,
        on_hand=_plain(_on_hand(on_hand)),
        expires=codes.day(row.ShelfLifeExpirationDate),
    )


def _on_hand(rows: Iterable[wire.MaterialStock]) -> Decimal:
    return sum((row.MatlWrhsStkQtyInMatlBaseUnit for row in rows), ZERO)


def _plain(value: Decimal) -> Decimal:
    whole = value.to_integral_value()
    return whole if whole == value else value.normalize()


def reservation_document(reservation: Reservation, mark: str) -> wire.ReservationDocument:
    """Promise stock for issues to the cost centre; the recipient field carries our mark."""
    return wire.ReservationDocument(
        GoodsMovementType=_ISSUE,
        CostCenter=reservation.cost_center,
        GoodsRecipientName=mark,
        ReservationDate=codes.sap_day(reservation.needed_on),
        to_ReservationDocumentItem=wire.Results(
            tuple(
                wire.ReservationItem(
                    Product=line.item,
                    Plant=reservation.facility,
                    StorageLocation=line.location,
                    EntryUnit=codes.sap_unit(line.quantity.unit),
                    ResvnItmRequiredQtyInEntryUnit=line.quantity.value,
                    ReservationItemText=reservation.case[:50],
                )
                for line in reservation.lines
            )
        ),
    )


def reserved(reservation: Reservation, row: wire.ReservationDocument) -> Reservation:
    """Return the reservation with its number."""
    return msgspec.structs.replace(reservation, number=row.Reservation)


def goods_issue(
    movement: Movement, promised: Mapping[tuple[str, str], str], mark: str
) -> wire.MaterialDocument:
    """Issue to the cost centre (201) or take back (202), line by line. `promised` names the
    reservation item of each (item, location).
    """
    back = movement.kind == "consumption-reversal"

    def line(at: int) -> wire.MaterialDocumentItem:
        used = movement.lines[at]
        promise = promised.get((used.item, used.location), "")
        reversed_ = movement.reverses if used.reverses else None
        return wire.MaterialDocumentItem(
            Material=used.item,
            Plant=movement.facility,
            StorageLocation=used.location,
            GoodsMovementType=_ISSUE_REVERSAL if back else _ISSUE,
            Batch=codes.batch(used.lot),
            CostCenter=movement.cost_center,
            EntryUnit=codes.sap_unit(used.quantity.unit),
            QuantityInEntryUnit=used.quantity.value,
            Reservation=movement.reservation if promise else "",
            ReservationItem=promise,
            ReversedMaterialDocument=reversed_.document if reversed_ else "",
            ReversedMaterialDocumentYear=reversed_.year if reversed_ else "",
            ReversedMaterialDocumentItem=str(used.reverses) if reversed_ else "",
            to_SerialNumbers=_serials(used.item, (used.serial,) if used.serial else ()),
        )

    return wire.MaterialDocument(
        GoodsMovementCode=_ISSUE_CODE,
        DocumentDate=codes.sap_day(movement.on),
        PostingDate=codes.sap_day(movement.on),
        MaterialDocumentHeaderText=movement.reference[:25],
        ReferenceDocument=mark,
        to_MaterialDocumentItem=wire.Results(tuple(map(line, range(len(movement.lines))))),
    )


def goods_receipt(receipt: Receipt, order: PurchaseOrder, mark: str) -> wire.MaterialDocument:
    """Take goods in against an order (101); S/4HANA converts the unit by the item's packagings."""
    lines = [line for line in receipt.lines if line.quantity.value > 0]
    if not lines:
        raise NothingToPost("no line of the receipt has a quantity", fix="count what came")
    on = codes.sap_day(receipt.received_at.date())
    return wire.MaterialDocument(
        GoodsMovementCode=_RECEIPT_CODE,
        DocumentDate=on,
        PostingDate=on,
        MaterialDocumentHeaderText=receipt.delivery_note[:25],
        ReferenceDocument=mark,
        to_MaterialDocumentItem=wire.Results(
            tuple(_taken_in(line, receipt, order) for line in lines)
        ),
    )


def _taken_in(
    line: ReceivedLine, receipt: Receipt, order: PurchaseOrder
) -> wire.MaterialDocumentItem:
    ordered = _ordered(line, order)
    return wire.MaterialDocumentItem(
        Material=ordered.item,
        Plant=order.facility,
        StorageLocation=order.location,
        GoodsMovementType=RECEIPT,
        GoodsMovementRefDocType="B",
        PurchaseOrder=order.number,
        PurchaseOrderItem=str(ordered.line),
        Batch=codes.batch(line.lot),
        MaterialDocumentItemText=codes.lot_text(line.lot),
        ShelfLifeExpirationDate=codes.sap_day(line.expires) if line.expires else None,
        EntryUnit=codes.sap_unit(line.quantity.unit),
        QuantityInEntryUnit=line.quantity.value,
        IsCompletelyDelivered=receipt.complete,
        to_SerialNumbers=_serials(ordered.item, line.serials),
    )


def _serials(item: ItemId, serials: tuple[str, ...]) -> wire.Results[wire.SerialNumber]:
    return wire.Results(
        tuple(wire.SerialNumber(Material=item, SerialNumber=codes.serial(each)) for each in serials)
    )


def _ordered(line: ReceivedLine, order: PurchaseOrder) -> OrderLine:
    for candidate in order.lines:
        named = line.order_line is None and any(_names(code, candidate) for code in line.codes)
        if line.order_line == candidate.line or named:
            return candidate
    raise InvalidRequest(
        f"a received line names no line of order {order.number}",
        where="lines",
        expected=f"order line {', '.join(str(each.line) for each in order.lines)}, or its code",
    )


def _names(code: ItemCode, line: OrderLine) -> bool:
    if not code.value:
        return False
    known = {"gtin": line.gtin, "supplier-sku": line.supplier_sku, "erp": line.item}
    return known.get(code.scheme) == code.value


def receipts(rows: Iterable[wire.MaterialDocumentItem]) -> tuple[PostedReceipt, ...]:
    """Return the receipts of one order, one a material document, in base units."""
    documents: dict[tuple[str, str], list[wire.MaterialDocumentItem]] = {}
    for row in rows:
        documents.setdefault((row.MaterialDocumentYear, row.MaterialDocument), []).append(row)
    return tuple(
        PostedReceipt(
            document=document,
            year=year,
            order=found[0].PurchaseOrder,
            lines=tuple(map(_received_line, found)),
        )
        for (year, document), found in sorted(documents.items())
    )


def _received_line(row: wire.MaterialDocumentItem) -> ReceivedLine:
    return ReceivedLine(
        order_line=int(row.PurchaseOrderItem or 0) or None,
        quantity=codes.quantity(row.QuantityInBaseUnit, row.MaterialBaseUnit),
        lot=codes.lot(row.Batch, row.MaterialDocumentItemText),
        serials=tuple(each.SerialNumber for each in row.to_SerialNumbers.results),
        expires=codes.day(row.ShelfLifeExpirationDate),
    )
