"""What a reversal takes back of which document, at the value at which that was posted.

The reversing item is kept before its stock moves.
"""

from decimal import Decimal

from sandbox.erp import books
from sandbox.erp.store import Row, SapError, flag, number, text
from sandbox.erp.system import ZERO, System, cents

_REVERSES = {"102": "101", "202": "201"}
_KEYS = ("MaterialDocumentYear", "MaterialDocument", "MaterialDocumentItem")
_SAME = ("Material", "Plant", "StorageLocation", "Batch")


def reversed_item(
    system: System, row: Row, quantity: Decimal, taken: dict[tuple[str, ...], Decimal]
) -> Row | None:
    """Return the item that `row` reverses, None where it names none; refuse what does not fit."""
    name = tuple(text(row, f"Reversed{key}") for key in _KEYS)
    if not any(name):
        return None
    found = system.store["A_MaterialDocumentItem"].get(*name)
    if found is None:
        raise SapError(400, "M7/001", f"Document {' '.join(name)} does not exist")
    if text(found, "GoodsMovementType") != _REVERSES[text(row, "GoodsMovementType")]:
        raise SapError(400, "M7/209", f"Movement type does not reverse document {' '.join(name)}")
    if any(row.get(key, "") != found[key] for key in _SAME):
        raise SapError(400, "M7/126", f"Item differs from document {' '.join(name)}")
    left = _left(system, found) - taken.get(name, ZERO)
    if quantity > left:
        raise SapError(400, "SIM/422", f"Only {left:f} of document {' '.join(name)} are left")
    taken[name] = taken.get(name, ZERO) + quantity
    return found


def _reversing(system: System, item: Row) -> list[Row]:
    return system.store["A_MaterialDocumentItem"].find(
        {f"Reversed{key}": item[key] for key in _KEYS}
    )


def _left(system: System, item: Row) -> Decimal:
    gone = sum((number(row, "QuantityInBaseUnit") for row in _reversing(system, item)), ZERO)
    return number(item, "QuantityInBaseUnit") - gone


def worth(system: System, item: Row, quantity: Decimal) -> Decimal:
    """Return the value of `quantity` of a posted item; the last piece takes the last cent."""
    whole = system.worths[_name(item)]
    if _left(system, item) == 0:
        gone = (system.worths.get(_name(row), ZERO) for row in _reversing(system, item))
        return whole - sum(gone, ZERO)
    return cents(whole * quantity / number(item, "QuantityInBaseUnit"))


def _name(item: Row) -> tuple[str, str, str]:
    year, document, position = (text(item, key) for key in _KEYS)
    return year, document, position


def note(system: System, item: Row) -> None:
    """Note that an item is cancelled, once nothing of it is left."""
    if _left(system, item) == 0:
        system.store["A_MaterialDocumentItem"].update(item, GoodsMovementIsCancelled=True)


def received(system: System, order: str, item: str) -> Decimal:
    """Return what came in for an order item and was not sent back, in base units."""
    rows = system.store["A_MaterialDocumentItem"].find(
        {"PurchaseOrder": order, "PurchaseOrderItem": item}
    )
    return sum((_signed(row) for row in rows), ZERO)


def _signed(row: Row) -> Decimal:
    quantity = number(row, "QuantityInBaseUnit")
    return -quantity if text(row, "GoodsMovementType") == "102" else quantity


def billed_beyond(system: System, order: str, item: str, quantity: Decimal) -> bool:
    """Say whether invoices bill goods that would no longer be there."""
    line = system.store["A_PurchaseOrderItem"].get(order, item) or {}
    factor = system.factor(text(line, "Material"), text(line, "PurchaseOrderQuantityUnit"))
    billed = system.invoiced(order, item) * factor
    return billed > received(system, order, item) - quantity


def returned(system: System, row: Row, line: Row, reversed_: Row) -> list[books.Line]:
    """Take a receipt back: stock and clearing lose what they gained, the order item is open again
    where that receipt had completed it.
    """
    order, item = text(line, "PurchaseOrder"), text(line, "PurchaseOrderItem")
    material, plant = text(line, "Material"), text(row, "Plant")
    quantity = number(row, "QuantityInBaseUnit")
    posted = worth(system, reversed_, quantity)
    taken = system.valuation(material, plant).give_back(quantity, posted)
    factor = system.factor(material, text(line, "PurchaseOrderQuantityUnit"))
    before = received(system, order, item) + quantity
    completed = before >= number(line, "OrderQuantity") * factor
    if completed or flag(reversed_, "IsCompletelyDelivered"):
        system.store["A_PurchaseOrderItem"].update(line, IsCompletelyDelivered=False)
    tail = (material, plant, order, item)
    return [
        books.Line(system.company.inventory, -taken, "", "", *tail),
        books.Line(system.company.clearing, posted, "", "", *tail),
        books.Line(system.company.price_difference, taken - posted, "", "", *tail),
    ]
