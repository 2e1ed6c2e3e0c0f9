"""Purchasing in S/4HANA: requisitions, orders and their receipts."""

from canonical.errors import (
    AlreadyShipped,
    InvalidRequest,
    NotFound,
    StateConflict,
    UnknownOrder,
    UpstreamGarbled,
)
from canonical.order import OrderCancellation, PurchaseOrder
from canonical.requisition import PricedRequisition
from canonical.shipment import PostedReceipt, Receipt
from system_apis.erp.s4hana import wire
from system_apis.erp.s4hana.mapping import codes, purchasing, stock
from system_apis.erp.s4hana.odata import keyed, where
from system_apis.erp.s4hana.stockroom import StockRoom

_REQUISITION = "API_PURCHASEREQ_PROCESS_SRV/A_PurchaseRequisitionHeader"
_REQUISITION_ITEM = "API_PURCHASEREQ_PROCESS_SRV/A_PurchaseRequisitionItem"
_ORDER = "API_PURCHASEORDER_PROCESS_SRV/A_PurchaseOrder"
_ORDER_ITEM = "API_PURCHASEORDER_PROCESS_SRV/A_PurchaseOrderItem"
_MOVEMENT = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader"
_MOVEMENT_ITEM = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentItem"
_WHOLE_ORDER = "to_PurchaseOrderItem,to_PurchaseOrderItem/to_ScheduleLine"
_MARK_LENGTH = 12
_DELETED = "X"
_ITEM_DELETED = "L"
_ANY_VERSION = "*"
_READINGS = 3


class Purchasing(StockRoom):
    """From the requisition to the goods at the dock."""

    async def order(self, number: str) -> PurchaseOrder:
        """Return a purchase order."""
        path = keyed(_ORDER, PurchaseOrder=number)
        row = await self._odata.one(path, wire.One[wire.OrderDocument], expand=_WHOLE_ORDER)
        if row is None:
            raise UnknownOrder(f"order {number} is not in the ERP")
        return (await self._canonical((row,)))[0]

    async def orders(self, limit: int) -> tuple[PurchaseOrder, ...]:
        """Return the latest orders, newest first."""
        rows = await self._odata.rows(
            _ORDER,
            wire.Many[wire.OrderDocument],
            expand=_WHOLE_ORDER,
            orderby="PurchaseOrder desc",
            top=str(limit),
        )
        return await self._canonical(rows)

    async def receipts(self, order: str) -> tuple[PostedReceipt, ...]:
        """Return what was received for an order."""
        rows = await self._odata.rows(
            _MOVEMENT_ITEM,
            wire.Many[wire.MaterialDocumentItem],
            filter=where(
                PurchaseOrder=order, GoodsMovementType=stock.RECEIPT, GoodsMovementIsCancelled=False
            ),
            expand="to_SerialNumbers",
        )
        return stock.receipts(rows)

    async def raise_requisition(
        self, requisition: PricedRequisition, *, key: str
    ) -> PricedRequisition:
        """Keep a checked requisition in the ERP; the result carries its number."""
        mark = _requisition_mark(key)
        shape = wire.One[wire.RequisitionDocument]
        found = await self._odata.rows(
            _REQUISITION,
            wire.Many[wire.RequisitionDocument],
            filter=where(PurReqnDescription=mark),
        )
        if found:
            return purchasing.raised(requisition, found[0])
        document = purchasing.requisition_document(requisition, self._settings, mark)
        created = await self._odata.create(_REQUISITION, document, shape)
        return purchasing.raised(requisition, created)

    async def withdraw_requisition(
        self, requisition: PricedRequisition, *, key: str
    ) -> PricedRequisition:
        """Delete what is still open of a requisition; one that is ordered is a conflict. Deleting
        twice is deleting once, so the key needs no mark.
        """
        del key
        if not requisition.number:
            raise InvalidRequest("the requisition has no number", where="number")
        change = wire.ItemChange(IsDeleted=_DELETED)
        for _ in range(_READINGS):
            still_open = purchasing.to_withdraw(await self._requisition_items(requisition.number))
            if not still_open:
                return requisition
            for row in still_open:
                item = {"PurchaseRequisitionItem": row.PurchaseRequisitionItem}
                path = keyed(_REQUISITION_ITEM, PurchaseRequisition=requisition.number, **item)
                await self._odata.change(path, change, row.metadata.etag)
        raise StateConflict(
            f"requisition {requisition.number} stays open: each time it had been changed by others",
            fix="retry when nobody works on it in the ERP",
        )

    async def take_back_requisition(
        self, requisition: PricedRequisition, done: PricedRequisition | None, /, *, key: str
    ) -> PricedRequisition | None:
        """Undo `raise_requisition`: withdraw what was raised under `key`, if anything was."""
        known = done
        if known is None:
            found = await self._odata.rows(
                _REQUISITION,
                wire.Many[wire.RequisitionDocument],
                filter=where(PurReqnDescription=_requisition_mark(key)),
            )
            known = purchasing.raised(requisition, found[0]) if found else None
        if known is None:
            return None
        return await self.withdraw_requisition(known, key=codes.undoing(key))

    async def _requisition_items(self, number: str) -> tuple[wire.KeptRequisitionItem, ...]:
        rows = await self._odata.rows(
            _REQUISITION_ITEM,
            wire.Many[wire.KeptRequisitionItem],
            filter=where(PurchaseRequisition=number),
        )
        if not rows:
            raise NotFound(f"requisition {number} is not in the ERP")
        return rows

    async def place_order(self, requisition: PricedRequisition, *, key: str) -> PurchaseOrder:
        """Turn an approved requisition into an order, and return it as the ERP holds it."""
        mark = codes.reference(key, _MARK_LENGTH)
        found = await self._odata.rows(
            _ORDER,
            wire.Many[wire.OrderDocument],
            filter=where(CorrespncInternalReference=mark),
            expand=_WHOLE_ORDER,
        )
        if found:
            return (await self._canonical(found))[0]
        today = self._clock().date()
        document = purchasing.order_document(requisition, self._settings, today, mark)
        created = await self._odata.create(_ORDER, document, wire.One[wire.OrderDocument])
        return await self.order(created.PurchaseOrder)

    async def cancel_order(
        self, requisition: PricedRequisition, done: PurchaseOrder | None, /, *, key: str
    ) -> OrderCancellation | None:
        """Undo `place_order`: delete every item of the order; what was requested is open again.
        Deleting twice is deleting once. An order whose goods have come is `AlreadyShipped`.
        """
        del requisition
        number = done.number if done else ""
        if not number:
            found = await self._odata.rows(
                _ORDER,
                wire.Many[wire.OrderDocument],
                filter=where(CorrespncInternalReference=codes.reference(key, _MARK_LENGTH)),
            )
            number = found[0].PurchaseOrder if found else ""
        if not number:
            return None
        if await self.receipts(number):
            raise AlreadyShipped(
                f"goods of order {number} have been received",
                fix="send the goods back and reverse their receipt, then retry",
            )
        change = wire.ItemChange(PurchasingDocumentDeletionCode=_ITEM_DELETED)
        order = await self.order(number)
        for line in order.lines:
            path = keyed(_ORDER_ITEM, PurchaseOrder=number, PurchaseOrderItem=str(line.line))
            await self._odata.change(path, change, _ANY_VERSION)
        return OrderCancellation(order=number)

    async def close_lines(self, order: PurchaseOrder, *, key: str) -> PurchaseOrder:
        """Expect no more goods for the lines given here. Saying it twice is saying it once, so the
        key needs no mark.
        """
        del key
        change = wire.ItemChange(IsCompletelyDelivered=True)
        for line in order.lines:
            item = {"PurchaseOrderItem": str(line.line)}
            path = keyed(_ORDER_ITEM, PurchaseOrder=order.number, **item)
            await self._odata.change(path, change, _ANY_VERSION)
        return order

    async def post_receipt(
        self, receipt: Receipt, order: PurchaseOrder, *, key: str
    ) -> PostedReceipt:
        """Take goods in against an order; the result is in base units."""
        mark = codes.reference(key, 16)
        posted = await self._marked(mark)
        if posted is None:
            document = stock.goods_receipt(receipt, order, mark)
            posted = await self._odata.create(_MOVEMENT, document, wire.One[wire.MaterialDocument])
        return await self._taken_in(posted)

    async def take_back_receipt(
        self, receipt: Receipt, order: PurchaseOrder, done: PostedReceipt | None, /, *, key: str
    ) -> PostedReceipt | None:
        """Undo `post_receipt`: what came in under `key` goes out of stock and is awaited again."""
        del receipt, order
        posted = await self._reversed((done.document, done.year) if done else None, key)
        return None if posted is None else await self._taken_in(posted)

    async def _taken_in(self, posted: wire.MaterialDocument) -> PostedReceipt:
        rows = await self._odata.rows(
            _MOVEMENT_ITEM,
            wire.Many[wire.MaterialDocumentItem],
            filter=where(
                MaterialDocumentYear=posted.MaterialDocumentYear,
                MaterialDocument=posted.MaterialDocument,
            ),
            expand="to_SerialNumbers",
        )
        if not rows:
            raise UpstreamGarbled(f"material document {posted.MaterialDocument} has no items")
        return stock.receipts(rows)[0]

    async def _canonical(self, rows: tuple[wire.OrderDocument, ...]) -> tuple[PurchaseOrder, ...]:
        items = await self._packaged(
            line.Material for row in rows for line in row.to_PurchaseOrderItem.results
        )
        return tuple(purchasing.order(row, items) for row in rows)


def _requisition_mark(key: str) -> str:
    return f"Suture {codes.reference(key, 16)}"
