"""Material documents: goods receipt for an order (101), issue to a cost centre (201), and what
reverses them (102, 202). A document posts as a whole or not at all, its accounting with it.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from sandbox.erp import books, reversals, stock
from sandbox.erp.odata import entered
from sandbox.erp.store import Row, SapError, day, flag, number, text
from sandbox.erp.system import ZERO, System, cents

_RECEIPT, _RETURN, _ISSUE, _REVERSAL = "101", "102", "201", "202"
_ALLOWED = {"01": {_RECEIPT, _RETURN}, "03": {_ISSUE, _REVERSAL}}
_LEAVES = (_RETURN, _ISSUE)


@dataclass(frozen=True)
class Move:
    """One checked line: its row as it will be kept, its serial numbers, its order item if any."""

    row: Row
    serials: tuple[str, ...]
    order_item: Row | None = None
    reverses: Row | None = None

    @property
    def kind(self) -> str:
        """The movement type."""
        return text(self.row, "GoodsMovementType")

    @property
    def quantity(self) -> Decimal:
        """The quantity in base units."""
        return number(self.row, "QuantityInBaseUnit")

    @property
    def place(self) -> tuple[str, str]:
        """Plant and storage location."""
        return text(self.row, "Plant"), text(self.row, "StorageLocation")


@dataclass
class Draft:
    """What the lines checked so far will take, so that two lines cannot take the same piece."""

    taken: dict[tuple[str, ...], Decimal] = field(default_factory=dict[tuple[str, ...], Decimal])
    serials: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


def post(system: System, given: dict[str, object]) -> Row:
    """Post a material document and return its header."""
    shape = system.store["A_MaterialDocumentHeader"].shape
    header, nested = entered(shape, given)
    code = text(header, "GoodsMovementCode")
    if code not in _ALLOWED:
        raise SapError(400, "M7/207", f"Goods movement code {code} is not allowed")
    draft = Draft()
    moves = [_checked(system, code, each, draft) for each in nested["to_MaterialDocumentItem"]]
    if not moves:
        raise SapError(400, "M7/088", "Document does not contain any items")
    return _commit(system, header, moves)


def _checked(system: System, code: str, given: dict[str, object], draft: Draft) -> Move:
    row, nested = entered(system.store["A_MaterialDocumentItem"].shape, given)
    kind = text(row, "GoodsMovementType")
    if kind not in _ALLOWED[code]:
        raise SapError(400, "M7/209", f"Movement type {kind} not allowed with code {code}")
    material = text(row, "Material")
    product = system.product(material, text(row, "Plant"))
    quantity = number(row, "QuantityInEntryUnit") * system.factor(material, text(row, "EntryUnit"))
    if quantity <= 0:
        raise SapError(400, "M7/030", "Enter a quantity")
    if flag(product, "IsBatchManagementRequired") and not text(row, "Batch"):
        raise SapError(400, "M7/018", f"Enter Batch for material {material}")
    row |= {"QuantityInBaseUnit": quantity, "MaterialBaseUnit": text(product, "BaseUnit")}
    serials = tuple(str(each["SerialNumber"]) for each in nested.get("to_SerialNumbers", []))
    if text(product, "SerialNumberProfile") and len(serials) != quantity:
        raise SapError(400, "IO/304", f"Maintain serial numbers for total quantity of {material}")
    for serial in serials:
        stock.require_serial(system, row, serial, here=kind in _LEAVES)
        if (material, serial) in draft.serials:
            raise SapError(400, "IO/227", f"Serial number {serial} of {material} entered twice")
        draft.serials.add((material, serial))
    return _CHECKS[kind](system, Move(row, serials), draft)


def _issue(system: System, move: Move, draft: Draft) -> Move:
    system.require_cost_center(text(move.row, "CostCenter"))
    return _from_stock(system, move, draft)


def _from_stock(system: System, move: Move, draft: Draft) -> Move:
    material, batch = text(move.row, "Material"), text(move.row, "Batch")
    key = (material, *move.place, batch)
    left = stock.on_hand(system, material, move.place, batch) - draft.taken.get(key, ZERO)
    if left < move.quantity:
        missing = f"{move.quantity - left:f} {text(move.row, 'MaterialBaseUnit')}"
        where = " ".join(key)
        raise SapError(400, "M7/021", f"Deficit of BA Unrestricted-use {missing} : {where}")
    draft.taken[key] = draft.taken.get(key, ZERO) + move.quantity
    return move


def _reversal(system: System, move: Move, draft: Draft) -> Move:
    system.require_cost_center(text(move.row, "CostCenter"))
    batch = text(move.row, "Batch")
    if batch and system.store["Batch"].get(text(move.row, "Material"), "", batch) is None:
        raise SapError(400, "M7/042", f"Batch {batch} does not exist")
    reversed_ = reversals.reversed_item(system, move.row, move.quantity, draft.taken)
    return Move(move.row, move.serials, reverses=reversed_)


def _return(system: System, move: Move, draft: Draft) -> Move:
    reversed_ = reversals.reversed_item(system, move.row, move.quantity, draft.taken)
    if reversed_ is None:
        raise SapError(400, "M7/226", "Enter the document that is reversed")
    _from_stock(system, move, draft)
    order, item = text(reversed_, "PurchaseOrder"), text(reversed_, "PurchaseOrderItem")
    if reversals.billed_beyond(system, order, item, move.quantity):
        raise SapError(400, "M7/256", f"Order item {order} {item} is invoiced; reverse the invoice")
    row = move.row | {"PurchaseOrder": order, "PurchaseOrderItem": item}
    line = system.store["A_PurchaseOrderItem"].get(order, item)
    return Move(row, move.serials, line, reversed_)


def _receipt(system: System, move: Move, draft: Draft) -> Move:
    order, item = text(move.row, "PurchaseOrder"), text(move.row, "PurchaseOrderItem")
    line = system.store["A_PurchaseOrderItem"].get(order, item)
    if line is None or text(line, "PurchasingDocumentDeletionCode"):
        raise SapError(400, "M7/001", f"Purchase order {order} {item} does not exist or is deleted")
    material = text(line, "Material")
    if text(move.row, "Material") != material:
        raise SapError(400, "M7/126", f"Material differs from order item {order} {item}")
    ordered = number(line, "OrderQuantity") * system.factor(
        material, text(line, "PurchaseOrderQuantityUnit")
    )
    key = ("received", order, item)
    before = received(system, order, item) + draft.taken.get(key, ZERO)
    limit = ordered * (1 + number(line, "OverdelivTolrtdLmtRatioInPct") / 100)
    over = before + move.quantity - limit
    if over > 0 and not flag(line, "UnlimitedOverdeliveryIsAllowed"):
        unit = text(move.row, "MaterialBaseUnit")
        raise SapError(
            400, "M7/022", f"PU Ordered quantity exceeded by {over:f} {unit} : {material}"
        )
    draft.taken[key] = draft.taken.get(key, ZERO) + move.quantity
    return Move(move.row, move.serials, line)


_CHECKS = {_ISSUE: _issue, _REVERSAL: _reversal, _RECEIPT: _receipt, _RETURN: _return}


def received(system: System, order: str, item: str) -> Decimal:
    """Return what came in for an order item and was not sent back, in base units."""
    return reversals.received(system, order, item)


def _commit(system: System, header: Row, moves: list[Move]) -> Row:
    on = day(header, "PostingDate", system.today)
    receipt = text(header, "GoodsMovementCode") == "01"
    document = system.store.number("5000000000" if receipt else "4900000000")
    kept = system.store["A_MaterialDocumentHeader"].insert(
        header
        | {
            "MaterialDocument": document,
            "MaterialDocumentYear": str(on.year),
            "InventoryTransactionType": "WE" if receipt else "WA",
            "PostingDate": on,
            "CreationDate": system.today,
            "CreatedByUser": system.user,
        }
    )
    lines: list[books.Line] = []
    for position, move in enumerate(moves, start=1):
        name = _keep(system, kept, position, move)
        moved = _moved(system, move)
        system.worths[name] = abs(moved[1].amount)
        lines += moved
    voucher = books.Voucher(
        kind="WE" if receipt else "WA",
        on=on,
        original_type="MKPF",
        original=f"{document}{on.year}",
        lines=tuple(lines),
        reference=text(header, "ReferenceDocument"),
        header_text=text(header, "MaterialDocumentHeaderText"),
    )
    books.post(system, voucher)
    return kept


def _keep(system: System, header: Row, position: int, move: Move) -> tuple[str, str, str]:
    key: Row = {
        "MaterialDocument": header["MaterialDocument"],
        "MaterialDocumentYear": header["MaterialDocumentYear"],
        "MaterialDocumentItem": str(position),
    }
    system.store["A_MaterialDocumentItem"].insert(
        move.row
        | key
        | {"InventoryStockType": "01", "CompanyCodeCurrency": system.company.currency}
    )
    for serial in move.serials:
        system.store["A_SerialNumberMaterialDocument"].insert(
            {"Material": move.row["Material"], "SerialNumber": serial} | key
        )
    if move.reverses is not None:
        reversals.note(system, move.reverses)
    return text(key, "MaterialDocumentYear"), text(key, "MaterialDocument"), str(position)


def _moved(system: System, move: Move) -> list[books.Line]:
    """Move stock and serial numbers; return the accounting lines of it."""
    material, batch = text(move.row, "Material"), text(move.row, "Batch")
    inwards = move.kind not in _LEAVES
    if inwards:
        expires = move.row.get("ShelfLifeExpirationDate")
        stock.keep_batch(
            system,
            material,
            batch,
            None if isinstance(expires, str | bool | Decimal) else expires,
        )
    signed = move.quantity if inwards else -move.quantity
    stock.change(system, material, move.place, batch, signed)
    for serial in move.serials:
        stock.place_serial(system, move.row, serial, here=inwards)
    if move.order_item is not None and move.reverses is not None:
        return reversals.returned(system, move.row, move.order_item, move.reverses)
    if move.order_item is not None:
        return _received(system, move, move.order_item)
    _withdraw(system, move)
    valuation = system.valuation(material, move.place[0])
    if inwards:
        worth = cents(move.quantity * valuation.price)
        if move.reverses is not None:
            worth = reversals.worth(system, move.reverses, move.quantity)
        valuation.put(move.quantity, worth)
    else:
        worth = -valuation.take(move.quantity)
    account, center = system.company.consumption, text(move.row, "CostCenter")
    return [
        books.Line(system.company.inventory, worth, material=material, plant=move.place[0]),
        books.Line(account, -worth, cost_center=center, material=material, plant=move.place[0]),
    ]


def _received(system: System, move: Move, line: Row) -> list[books.Line]:
    order, item = text(line, "PurchaseOrder"), text(line, "PurchaseOrderItem")
    material, plant = text(line, "Material"), move.place[0]
    factor = system.factor(material, text(line, "PurchaseOrderQuantityUnit"))
    price = number(line, "NetPriceAmount") / number(line, "NetPriceQuantity")
    worth = cents(move.quantity / factor * price)
    system.valuation(material, plant).put(move.quantity, worth)
    complete = received(system, order, item) >= number(line, "OrderQuantity") * factor
    if complete or flag(move.row, "IsCompletelyDelivered"):
        system.store["A_PurchaseOrderItem"].update(line, IsCompletelyDelivered=True)
    tail = (material, plant, order, item)
    return [
        books.Line(system.company.inventory, worth, "", "", *tail),
        books.Line(system.company.clearing, -worth, "", "", *tail),
    ]


def _withdraw(system: System, move: Move) -> None:
    reservation, item = text(move.row, "Reservation"), text(move.row, "ReservationItem")
    row = system.store["A_ReservationDocumentItem"].get(reservation, item, "")
    if row is None:
        return
    signed = move.quantity if move.kind == _ISSUE else -move.quantity
    withdrawn = max(number(row, "ResvnItmWithdrawnQtyInBaseUnit") + signed, ZERO)
    issued = withdrawn >= number(row, "ResvnItmRequiredQtyInBaseUnit")
    system.store["A_ReservationDocumentItem"].update(
        row,
        ResvnItmWithdrawnQtyInBaseUnit=withdrawn,
        ReservationItemIsFinallyIssued=issued or flag(move.row, "ReservationIsFinallyIssued"),
    )
