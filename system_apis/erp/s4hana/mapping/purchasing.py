"""Requisitions and purchase orders.

A stock order has no account assignment in S/4HANA, so the cost centre that pays from its budget
travels as the requisitioner, and the contract as the requirement tracking number. Line numbers are
S/4HANA's item numbers, the same in requisition, order, receipt and invoice.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from canonical.errors import StateConflict
from canonical.item import Item, ItemId
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from canonical.requisition import PricedLine, PricedRequisition
from system_apis.erp.s4hana import wire
from system_apis.erp.s4hana.mapping import codes
from system_apis.erp.s4hana.settings import S4Settings

Status = Literal["open", "received", "closed", "cancelled"]


def requisition_document(
    requisition: PricedRequisition, settings: S4Settings, mark: str
) -> wire.RequisitionDocument:
    """Write a priced requisition; its description carries our mark."""
    items = tuple(_wanted(line, requisition, settings) for line in requisition.lines)
    return wire.RequisitionDocument(
        PurchaseRequisitionType=settings.requisition_type,
        PurReqnDescription=mark,
        to_PurchaseReqnItem=wire.Results(items),
    )


def raised(requisition: PricedRequisition, row: wire.RequisitionDocument) -> PricedRequisition:
    """Return the requisition with its number."""
    return msgspec.structs.replace(requisition, number=row.PurchaseRequisition)


def to_withdraw(
    rows: Iterable[wire.KeptRequisitionItem],
) -> tuple[wire.KeptRequisitionItem, ...]:
    """Return the items that are still open. Once one is ordered, even in part, the requisition is
    no longer a wish that can be taken back.
    """
    kept = [row for row in rows if not row.IsDeleted]
    orders = sorted({row.PurchasingDocument for row in kept if row.OrderedQuantity > 0})
    if orders:
        raise StateConflict(
            f"the requisition has become order {', '.join(orders)}",
            fix="cancel the order in the ERP, and tell the supplier",
        )
    return tuple(row for row in kept if not row.IsClosed)


def _wanted(
    line: PricedLine, requisition: PricedRequisition, settings: S4Settings
) -> wire.RequisitionItem:
    amount, per = codes.net_price(line.unit_price.amount)
    return wire.RequisitionItem(
        PurchaseRequisitionItem=str(line.line),
        Material=line.item,
        Plant=requisition.facility,
        StorageLocation=requisition.location,
        RequestedQuantity=line.quantity.value,
        BaseUnit=codes.sap_unit(line.quantity.unit),
        PurchaseRequisitionPrice=amount,
        PurReqnPriceQuantity=per,
        PurReqnItemCurrency=line.unit_price.currency,
        DeliveryDate=codes.sap_day(requisition.needed_on),
        FixedSupplier=requisition.supplier,
        CompanyCode=settings.company_code,
        PurchasingOrganization=settings.purchasing_organization,
        PurchasingGroup=settings.purchasing_group,
        RequisitionerName=requisition.cost_center[:12],
        RequirementTracking=line.contract[:10],
        PurchaseRequisitionItemText=line.description[:40],
        SupplierMaterialNumber=line.supplier_sku[:35],
    )


def order_document(
    requisition: PricedRequisition, settings: S4Settings, on: date, mark: str
) -> wire.OrderDocument:
    """Turn an approved requisition into an order at contract prices."""
    items = tuple(_bought(line, requisition, settings) for line in requisition.lines)
    return wire.OrderDocument(
        Supplier=requisition.supplier,
        CompanyCode=settings.company_code,
        PurchaseOrderType=settings.order_type,
        PurchasingOrganization=settings.purchasing_organization,
        PurchasingGroup=settings.purchasing_group,
        PurchaseOrderDate=codes.sap_day(on),
        DocumentCurrency=requisition.total.currency,
        Language=settings.language,
        CorrespncInternalReference=mark,
        to_PurchaseOrderItem=wire.Results(items),
    )


def _bought(
    line: PricedLine, requisition: PricedRequisition, settings: S4Settings
) -> wire.OrderItem:
    amount, per = codes.net_price(line.unit_price.amount)
    schedule = wire.ScheduleLine(
        ScheduleLineDeliveryDate=codes.sap_day(requisition.needed_on),
        ScheduleLineOrderQuantity=line.quantity.value,
    )
    return wire.OrderItem(
        PurchaseOrderItem=str(line.line),
        Material=line.item,
        Plant=requisition.facility,
        StorageLocation=requisition.location,
        OrderQuantity=line.quantity.value,
        PurchaseOrderQuantityUnit=codes.sap_unit(line.quantity.unit),
        NetPriceAmount=amount,
        NetPriceQuantity=per,
        DocumentCurrency=line.unit_price.currency,
        PurchaseOrderItemText=line.description[:40],
        SupplierMaterialNumber=line.supplier_sku[:35],
        RequisitionerName=requisition.cost_center[:12],
        PurchaseRequisition=requisition.number,
        PurchaseRequisitionItem=str(line.line) if requisition.number else "",
        TaxCode=settings.tax_code,
        to_ScheduleLine=wire.Results((schedule,)),
    )


def order(row: wire.OrderDocument, items: Mapping[ItemId, Item]) -> PurchaseOrder:
    """Return an order as S/4HANA holds it; deleted items are gone."""
    kept = [each for each in _items(row) if not each.PurchasingDocumentDeletionCode]
    lines = tuple(_line(each, items[ItemId(each.Material)]) for each in kept)
    first = kept[0] if kept else None
    days = [codes.day(each.ScheduleLineDeliveryDate) for item in kept for each in _schedule(item)]
    ordered_on = codes.day(row.PurchaseOrderDate) or date.min
    amounts = (line.unit_price.times(line.quantity.value).amount for line in lines)
    return PurchaseOrder(
        number=row.PurchaseOrder,
        supplier=row.Supplier,
        facility=first.Plant if first else "",
        location=first.StorageLocation if first else "",
        cost_center=first.RequisitionerName if first else "",
        ordered_on=ordered_on,
        needed_on=min((each for each in days if each), default=ordered_on),
        lines=lines,
        total=Money(amount=sum(amounts, Decimal("0.00")), currency=row.DocumentCurrency),
        status=_status(row, kept),
    )


def _items(row: wire.OrderDocument) -> tuple[wire.OrderItem, ...]:
    return row.to_PurchaseOrderItem.results


def _schedule(item: wire.OrderItem) -> tuple[wire.ScheduleLine, ...]:
    return item.to_ScheduleLine.results


def _line(row: wire.OrderItem, item: Item) -> OrderLine:
    quantity = codes.quantity(row.OrderQuantity, row.PurchaseOrderQuantityUnit)
    by_unit = {item.base_unit: item.gtin} | {each.unit: each.gtin for each in item.packagings}
    return OrderLine(
        line=int(row.PurchaseOrderItem),
        item=item.id,
        description=row.PurchaseOrderItemText or item.description,
        quantity=quantity,
        unit_price=Money(
            amount=row.NetPriceAmount / row.NetPriceQuantity, currency=row.DocumentCurrency
        ),
        base_quantity=item.in_base_unit(quantity),
        supplier_sku=row.SupplierMaterialNumber,
        gtin=by_unit.get(quantity.unit) or item.gtin or "",
    )


def _status(row: wire.OrderDocument, kept: list[wire.OrderItem]) -> Status:
    if row.PurchasingDocumentDeletionCode or not kept:
        return "cancelled"
    if not all(each.IsCompletelyDelivered for each in kept):
        return "open"
    return "closed" if all(each.IsFinallyInvoiced for each in kept) else "received"
