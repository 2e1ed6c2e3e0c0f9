"""Stock of S/4HANA: levels, lots, serial numbers, reservations, issues to cost centres."""

import asyncio
from decimal import Decimal

from canonical.errors import InvalidRequest, UnknownLot
from canonical.inventory import Lot, Movement, PostedMovement, Reservation, StockLevel
from canonical.item import Item, ItemId
from system_apis.erp.s4hana import wire, wire_finance
from system_apis.erp.s4hana.catalogue import Catalogue
from system_apis.erp.s4hana.mapping import codes, finance, reversals, stock
from system_apis.erp.s4hana.odata import keyed, where

_STOCK = "API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod"
_SERIAL = "API_MATERIAL_STOCK_SRV/A_MaterialSerialNumber"
_BATCH = "API_BATCH_SRV/Batch"
_RESERVATION = "API_RESERVATION_DOCUMENT_SRV/A_ReservationDocumentHeader"
_RESERVATION_ITEM = "API_RESERVATION_DOCUMENT_SRV/A_ReservationDocumentItem"
_MOVEMENT = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader"
_MOVEMENT_ITEM = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentItem"
_REQUISITION_ITEM = "API_PURCHASEREQ_PROCESS_SRV/A_PurchaseRequisitionItem"
_ORDER_ITEM = "API_PURCHASEORDER_PROCESS_SRV/A_PurchaseOrderItem"
_JOURNAL = "API_OPLACCTGDOCITEMCUBE_SRV/A_OperationalAcctgDocItemCube"
_UNRESTRICTED = "01"
_MARK_LENGTH = 12


class StockRoom(Catalogue):
    """What is where, what is promised, and what leaves."""

    async def stock(self, item: ItemId, facility: str, location: str) -> StockLevel:
        """Return on hand, reserved, and on order or requested, in the item's base unit.

        Requisitions are read before orders: one that becomes an order meanwhile is seen as both,
        and the order line says which requisition item it took over.
        """
        at = {"Plant": facility, "StorageLocation": location}
        known, on_hand, promised, requested = await asyncio.gather(
            self.item(item),
            self._on_hand(Material=item, **at),
            self._odata.rows(
                _RESERVATION_ITEM,
                wire.Many[wire.ReservationItem],
                filter=where(
                    Product=item,
                    ReservationItemIsFinallyIssued=False,
                    ReservationItmIsMarkedForDeltn=False,
                    **at,
                ),
            ),
            self._odata.rows(
                _REQUISITION_ITEM,
                wire.Many[wire.KeptRequisitionItem],
                filter=where(Material=item, IsDeleted="", IsClosed=False, **at),
            ),
        )
        ordered = await self._ordered(Material=item, **at)
        coming = await asyncio.gather(*(self._still_to_come(known, line) for line in ordered))
        asked = (stock.still_requested(known, row, ordered) for row in requested)
        on_order = sum((*coming, *asked), Decimal(0))
        return stock.stock_level(known, (facility, location), on_hand, promised, on_order)

    async def lot(self, item: ItemId, facility: str, location: str, number: str) -> Lot:
        """Return a lot with what is on hand of it at a location."""
        batch = codes.batch(number)
        path = keyed(_BATCH, Material=item, BatchIdentifyingPlant="", Batch=batch)
        row = await self._odata.one(path, wire.One[wire.Batch])
        if row is None:
            raise UnknownLot(f"item {item} was never received with this lot")
        rows = await self._on_hand(
            Material=item, Plant=facility, StorageLocation=location, Batch=batch
        )
        return stock.lot(item, number, row, rows)

    async def serial_on_hand(self, item: ItemId, facility: str, location: str, serial: str) -> bool:
        """Return whether this piece lies in stock at a location."""
        path = keyed(_SERIAL, Material=item, SerialNumber=codes.serial(serial))
        row = await self._odata.one(path, wire.One[wire.MaterialSerialNumber])
        return row is not None and (row.Plant, row.StorageLocation) == (facility, location)

    async def reserve(self, reservation: Reservation, *, key: str) -> Reservation:
        """Promise stock to a case; the result carries the reservation's number."""
        mark = codes.reference(key, _MARK_LENGTH)
        found = await self._odata.rows(
            _RESERVATION,
            wire.Many[wire.ReservationDocument],
            filter=where(GoodsRecipientName=mark),
        )
        if found:
            return stock.reserved(reservation, found[0])
        document = stock.reservation_document(reservation, mark)
        created = await self._odata.create(
            _RESERVATION, document, wire.One[wire.ReservationDocument]
        )
        return stock.reserved(reservation, created)

    async def release(self, reservation: Reservation, *, key: str) -> Reservation:
        """Give back what a reservation still promises. Deleting twice is deleting once, so the key
        needs no mark.
        """
        del key
        if not reservation.number:
            raise InvalidRequest("the reservation has no number", where="number")
        await self._odata.delete(keyed(_RESERVATION, Reservation=reservation.number))
        return reservation

    async def unreserve(
        self, reservation: Reservation, done: Reservation | None, /, *, key: str
    ) -> Reservation | None:
        """Undo `reserve`: give back what was promised under `key`, if anything was."""
        known = done
        if known is None:
            found = await self._odata.rows(
                _RESERVATION,
                wire.Many[wire.ReservationDocument],
                filter=where(GoodsRecipientName=codes.reference(key, _MARK_LENGTH)),
            )
            known = stock.reserved(reservation, found[0]) if found else None
        return None if known is None else await self.release(known, key=codes.undoing(key))

    async def post_movement(self, movement: Movement, *, key: str) -> PostedMovement:
        """Issue to a cost centre, or take back; the value is what the accounting document moved."""
        mark = codes.reference(key, 16)
        posted = await self._marked(mark)
        if posted is None:
            promised = await self._promised(movement.reservation)
            document = stock.goods_issue(movement, promised, mark)
            posted = await self._odata.create(_MOVEMENT, document, wire.One[wire.MaterialDocument])
        return await self._valued(posted)

    async def take_back_movement(
        self, movement: Movement, done: PostedMovement | None, /, *, key: str
    ) -> PostedMovement | None:
        """Undo `post_movement`: bring back what is still gone of what was posted under `key`."""
        del movement
        posted = await self._reversed((done.document, done.year) if done else None, key)
        return None if posted is None else await self._valued(posted)

    async def _reversed(
        self, name: tuple[str, str] | None, key: str
    ) -> wire.MaterialDocument | None:
        """Reverse what is left of a material document: the named one, or that which `key` marks."""
        mark = codes.reference(codes.undoing(key), 16)
        done_before = await self._marked(mark)
        if done_before is not None:
            return done_before
        if name is None:
            known = await self._marked(codes.reference(key, 16))
            if known is None:
                return None
            name = (known.MaterialDocument, known.MaterialDocumentYear)
        shape = wire.Many[wire.MaterialDocumentItem]
        posted, gone = await asyncio.gather(
            self._odata.rows(
                _MOVEMENT_ITEM,
                shape,
                filter=where(MaterialDocumentYear=name[1], MaterialDocument=name[0]),
                expand="to_SerialNumbers",
            ),
            self._odata.rows(
                _MOVEMENT_ITEM,
                shape,
                filter=where(
                    ReversedMaterialDocument=name[0], ReversedMaterialDocumentYear=name[1]
                ),
                expand="to_SerialNumbers",
            ),
        )
        document = reversals.reversal(posted, gone, self._clock().date(), mark)
        if document is None:
            return None
        return await self._odata.create(_MOVEMENT, document, wire.One[wire.MaterialDocument])

    async def _valued(self, posted: wire.MaterialDocument) -> PostedMovement:
        journal = await self._odata.rows(
            _JOURNAL,
            wire.Many[wire_finance.JournalItem],
            filter=where(
                OriginalReferenceDocument=f"{posted.MaterialDocument}{posted.MaterialDocumentYear}",
                ReferenceDocumentType="MKPF",
            ),
        )
        return finance.posted_movement(posted, journal, self._settings.currency)

    async def _marked(self, mark: str) -> wire.MaterialDocument | None:
        """Return the material document that carries this mark."""
        found = await self._odata.rows(
            _MOVEMENT, wire.Many[wire.MaterialDocument], filter=where(ReferenceDocument=mark)
        )
        return found[0] if found else None

    async def _on_hand(self, **conditions: str) -> tuple[wire.MaterialStock, ...]:
        return await self._odata.rows(
            _STOCK,
            wire.Many[wire.MaterialStock],
            filter=where(InventoryStockType=_UNRESTRICTED, **conditions),
        )

    async def _ordered(self, **conditions: str) -> tuple[wire.OrderItem, ...]:
        rows = await self._odata.rows(
            _ORDER_ITEM,
            wire.Many[wire.OrderItem],
            filter=where(IsCompletelyDelivered=False, **conditions),
        )
        return tuple(row for row in rows if not row.PurchasingDocumentDeletionCode)

    async def _still_to_come(self, item: Item, line: wire.OrderItem) -> Decimal:
        received = await self._odata.rows(
            _MOVEMENT_ITEM,
            wire.Many[wire.MaterialDocumentItem],
            filter=where(
                PurchaseOrder=line.PurchaseOrder,
                PurchaseOrderItem=line.PurchaseOrderItem,
                GoodsMovementType=stock.RECEIPT,
                GoodsMovementIsCancelled=False,
            ),
        )
        return stock.still_to_come(item, line, received)

    async def _promised(self, reservation: str) -> dict[tuple[str, str], str]:
        """Return the open reservation item of each (item, location)."""
        if not reservation:
            return {}
        rows = await self._odata.rows(
            _RESERVATION_ITEM,
            wire.Many[wire.ReservationItem],
            filter=where(Reservation=reservation, ReservationItmIsMarkedForDeltn=False),
        )
        return {(row.Product, row.StorageLocation): row.ReservationItem for row in rows}
