"""Purchase requisitions and purchase orders, with the commitment they make against a budget.

A requisition item is open until its quantity is ordered, or it is closed or deleted; what is open
of it stays committed, the rest is committed by the order lines that took it over.
"""

from decimal import Decimal

from sandbox.erp import goods
from sandbox.erp.odata import entered
from sandbox.erp.store import Row, SapError, Value, day, flag, number, text
from sandbox.erp.system import ZERO, System, cents

_NOT_EDITED, _ORDERED = "N", "B"
_SCALE = Decimal("0.001")
_CHANGEABLE = frozenset({"IsDeleted", "IsClosed"})


def create_requisition(system: System, given: dict[str, object]) -> Row:
    """Keep a requisition and commit its value to the requisitioner's budget."""
    header, nested = entered(system.store["A_PurchaseRequisitionHeader"].shape, given)
    items = [_wanted(system, each) for each in nested["to_PurchaseReqnItem"]]
    if not items:
        raise SapError(400, "06/024", "Document does not contain any items")
    _distinct([text(item, "PurchaseRequisitionItem") for item in items])
    number_ = system.store.number("10000000")
    kept = system.store["A_PurchaseRequisitionHeader"].insert(
        header | {"PurchaseRequisition": number_}
    )
    for position, item in enumerate(items, start=1):
        system.store["A_PurchaseRequisitionItem"].insert(
            item
            | {
                "PurchaseRequisition": number_,
                "PurchaseRequisitionItem": text(item, "PurchaseRequisitionItem")
                or str(position * 10),
                "CreationDate": system.today,
                "CreatedByUser": system.user,
                "LastChangeDateTime": system.stamp(),
            }
        )
        system.commit_budget(text(item, "RequisitionerName"), number(item, "ItemNetAmount"))
    return kept


def change_requisition_item(system: System, row: Row, given: dict[str, object]) -> None:
    """Delete or close an item, or take that back; its commitment goes and comes with it."""
    table = system.store["A_PurchaseRequisitionItem"]
    changes, _ = entered(table.shape, given)
    if not changes.keys() <= _CHANGEABLE:
        raise SapError(501, "/IWBEP/CM_MGW_RT/037", "Only IsDeleted and IsClosed can be changed")
    if changes.get("IsDeleted") and number(row, "OrderedQuantity") > 0:
        order = text(row, "PurchasingDocument")
        raise SapError(400, "SIM/409", f"Requisition item is in order {order}; not deleted")
    _updated(system, row, **changes)


def _updated(system: System, row: Row, **changes: Value) -> None:
    """Change a requisition item, and its commitment with it."""
    before = _committed(row)
    stamped = changes | {"LastChangeDateTime": system.stamp()}
    system.store["A_PurchaseRequisitionItem"].update(row, **stamped)
    system.commit_budget(text(row, "RequisitionerName"), _committed(row) - before)


def _committed(row: Row) -> Decimal:
    if text(row, "IsDeleted") or flag(row, "IsClosed"):
        return ZERO
    requested = number(row, "RequestedQuantity")
    still_open = max(requested - number(row, "OrderedQuantity"), ZERO)
    return cents(number(row, "ItemNetAmount") * still_open / requested)


def _distinct(given: list[str]) -> None:
    numbers = [each for each in given if each]
    if len(set(numbers)) != len(numbers) or len(numbers) not in (0, len(given)):
        raise SapError(400, "06/012", "Item numbers must be given for all items, each once")


def _wanted(system: System, given: dict[str, object]) -> Row:
    row, _ = entered(system.store["A_PurchaseRequisitionItem"].shape, given)
    product = system.procurable(text(row, "Material"), text(row, "Plant"))
    system.factor(text(row, "Material"), text(row, "BaseUnit"))
    quantity = number(row, "RequestedQuantity")
    if quantity <= 0:
        raise SapError(400, "06/065", "Enter a quantity")
    wanted = text(row, "FixedSupplier") or text(row, "Supplier")
    if wanted:
        _supplier(system, wanted)
    price = number(row, "PurchaseRequisitionPrice") / (number(row, "PurReqnPriceQuantity") or 1)
    return row | {
        "MaterialGroup": text(product, "ProductGroup"),
        "ItemNetAmount": cents(quantity * price),
        "PurReqnReleaseStatus": "02",
        "ProcessingStatus": _NOT_EDITED,
        "OrderedQuantity": ZERO,
        "IsDeleted": "",
        "IsClosed": False,
    }


def _supplier(system: System, supplier: str) -> Row:
    row = system.store["A_Supplier"].get(supplier)
    if row is None:
        raise SapError(400, "F2/145", f"Supplier {supplier} does not exist")
    if flag(row, "PurchasingIsBlocked"):
        raise SapError(400, "06/027", f"Supplier {supplier} is blocked for purchasing")
    return row


def create_order(system: System, given: dict[str, object]) -> Row:
    """Keep an order; requisition items it refers to are noted as ordered, closed once they are in
    full, and their commitment moves over.
    """
    header, nested = entered(system.store["A_PurchaseOrder"].shape, given)
    _supplier(system, text(header, "Supplier"))
    if text(header, "CompanyCode") != system.company.code:
        raise SapError(400, "06/140", f"Company code {text(header, 'CompanyCode')} not defined")
    lines = [_ordered(system, header, each) for each in nested["to_PurchaseOrderItem"]]
    if not lines:
        raise SapError(400, "06/024", "Document does not contain any items")
    _distinct([text(item, "PurchaseOrderItem") for item, _ in lines])
    number_ = system.store.number("4500000001")
    kept = system.store["A_PurchaseOrder"].insert(
        header
        | {
            "PurchaseOrder": number_,
            "PurchaseOrderDate": day(header, "PurchaseOrderDate", system.today),
            "CreationDate": system.today,
            "CreatedByUser": system.user,
            "PurchasingProcessingStatus": "05",
        }
    )
    for position, (item, schedule) in enumerate(lines, start=1):
        _keep(system, number_, position, item, schedule)
    return kept


def _ordered(system: System, header: Row, given: dict[str, object]) -> tuple[Row, list[Row]]:
    row, nested = entered(system.store["A_PurchaseOrderItem"].shape, given)
    material = text(row, "Material")
    product = system.procurable(material, text(row, "Plant"))
    unit = text(row, "PurchaseOrderQuantityUnit")
    system.factor(material, unit)
    if number(row, "OrderQuantity") <= 0:
        raise SapError(400, "06/065", "Enter a quantity")
    wanted = _referred(system, row)
    if wanted is not None and text(wanted, "IsDeleted"):
        raise SapError(400, "06/020", "The document has already been deleted")
    if number(row, "NetPriceAmount") <= 0:
        row |= _info_price(system, text(header, "Supplier"), material, unit)
    shape = system.store["A_PurchaseOrderScheduleLine"].shape
    schedule = [entered(shape, each)[0] for each in nested.get("to_ScheduleLine", [])]
    row |= {
        "NetPriceQuantity": number(row, "NetPriceQuantity") or Decimal(1),
        "OrderPriceUnit": unit,
        "MaterialGroup": text(product, "ProductGroup"),
        "InternationalArticleNumber": text(product, "ProductStandardID"),
        "GoodsReceiptIsExpected": True,
        "InvoiceIsExpected": True,
        "InvoiceIsGoodsReceiptBased": True,
    }
    return row, schedule


def _info_price(system: System, supplier: str, material: str, unit: str) -> Row:
    for record in system.store["A_PurchasingInfoRecord"].find(
        {"Supplier": supplier, "Material": material}
    ):
        if text(record, "PurgDocOrderQuantityUnit") == unit:
            link = system.store["A_PurchasingInfoRecord"].shape.links["to_PurgInfoRecdOrgPlantData"]
            price = system.store.linked(record, link)[0]
            return {
                "NetPriceAmount": price["NetPriceAmount"],
                "NetPriceQuantity": price["MaterialPriceUnitQty"],
                "PurchasingInfoRecord": record["PurchasingInfoRecord"],
            }
    raise SapError(400, "06/215", "Net price must be greater than 0")


def _keep(system: System, order: str, position: int, item: Row, schedule: list[Row]) -> None:
    item["PurchaseOrder"] = order
    item["PurchaseOrderItem"] = text(item, "PurchaseOrderItem") or str(position * 10)
    kept = system.store["A_PurchaseOrderItem"].insert(item)
    for at, line in enumerate(schedule or [{}], start=1):
        system.store["A_PurchaseOrderScheduleLine"].insert(
            {
                "ScheduleLineDeliveryDate": system.today,
                "ScheduleLineOrderQuantity": item["OrderQuantity"],
                "PurchaseOrderQuantityUnit": item["PurchaseOrderQuantityUnit"],
            }
            | line
            | {
                "PurchasingDocument": order,
                "PurchasingDocumentItem": item["PurchaseOrderItem"],
                "ScheduleLine": str(at),
            }
        )
    _take_over(system, kept)
    system.commit_budget(text(kept, "RequisitionerName"), value_of(kept))


def _take_over(system: System, line: Row) -> None:
    """Note the order on the requisition item it refers to, in the item's own unit."""
    row = _referred(system, line)
    if row is None:
        return
    ordered = number(row, "OrderedQuantity") + _taken(system, line, row)
    _updated(
        system,
        row,
        OrderedQuantity=ordered,
        PurchasingDocument=line["PurchaseOrder"],
        PurchasingDocumentItem=line["PurchaseOrderItem"],
        ProcessingStatus=_ORDERED,
        IsClosed=flag(row, "IsClosed") or ordered >= number(row, "RequestedQuantity"),
    )


def _taken(system: System, line: Row, row: Row) -> Decimal:
    """Return what an order item takes over of its requisition item, in that one's unit."""
    pieces = system.factor(text(line, "Material"), text(line, "PurchaseOrderQuantityUnit"))
    taken = number(line, "OrderQuantity") * pieces
    return (taken / system.factor(text(row, "Material"), text(row, "BaseUnit"))).quantize(_SCALE)


def _referred(system: System, line: Row) -> Row | None:
    return system.store["A_PurchaseRequisitionItem"].get(
        text(line, "PurchaseRequisition"), text(line, "PurchaseRequisitionItem")
    )


def value_of(line: Row) -> Decimal:
    """Return the net value of an order item."""
    price = number(line, "NetPriceAmount") / number(line, "NetPriceQuantity")
    return cents(number(line, "OrderQuantity") * price)


def change_order_item(system: System, row: Row, given: dict[str, object]) -> None:
    """Expect no more goods for an order item, or delete it; its rest is committed no longer."""
    table = system.store["A_PurchaseOrderItem"]
    changes, _ = entered(table.shape, given)
    if changes == {"PurchasingDocumentDeletionCode": "L"}:
        _delete(system, row)
        return
    if changes != {"IsCompletelyDelivered": True}:
        message = "Only IsCompletelyDelivered and the deletion code L can be set"
        raise SapError(501, "/IWBEP/CM_MGW_RT/037", message)
    if flag(row, "IsCompletelyDelivered") or text(row, "PurchasingDocumentDeletionCode"):
        return
    _free(system, row)
    table.update(row, **changes)


def _delete(system: System, row: Row) -> None:
    """Delete an order item that has received nothing; its requisition item is open again."""
    order, item = text(row, "PurchaseOrder"), text(row, "PurchaseOrderItem")
    if text(row, "PurchasingDocumentDeletionCode"):
        return
    if goods.received(system, order, item) or system.invoiced(order, item):
        raise SapError(400, "06/115", f"Item {order} {item} has history; it cannot be deleted")
    if not flag(row, "IsCompletelyDelivered"):
        _free(system, row)
    system.store["A_PurchaseOrderItem"].update(row, PurchasingDocumentDeletionCode="L")
    wanted = _referred(system, row)
    if wanted is not None:
        ordered = number(wanted, "OrderedQuantity") - _taken(system, row, wanted)
        _updated(
            system,
            wanted,
            OrderedQuantity=max(ordered, ZERO),
            PurchasingDocument="",
            PurchasingDocumentItem="",
            ProcessingStatus=_NOT_EDITED,
            IsClosed=False,
        )


def _free(system: System, row: Row) -> None:
    """Commit no longer what an order item has not received."""
    factor = system.factor(text(row, "Material"), text(row, "PurchaseOrderQuantityUnit"))
    key = (text(row, "PurchaseOrder"), text(row, "PurchaseOrderItem"))
    ordered = number(row, "OrderQuantity") * factor
    missing = max(ordered - goods.received(system, *key), ZERO)
    system.commit_budget(text(row, "RequisitionerName"), -cents(value_of(row) * missing / ordered))
