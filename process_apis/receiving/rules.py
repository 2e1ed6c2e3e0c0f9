"""May this be taken in against that order: pure decisions."""

from decimal import Decimal

import msgspec

from canonical.errors import InvalidRequest, QuantityExceeded, UnknownItem, UnknownLot
from canonical.item import Item, ItemId
from canonical.order import OrderLine, PurchaseOrder
from canonical.shipment import PostedReceipt, Receipt, ReceivedLine

VERSION = "receiving-rules/1"


def order_line_of(line: ReceivedLine, item: ItemId | None, order: PurchaseOrder) -> OrderLine:
    """Return the order line that was received: by its number, or by the item that was scanned."""
    for ordered in order.lines:
        if line.order_line is None and ordered.item == item:
            return ordered
        if ordered.line == line.order_line:
            return ordered
    named = f"line {line.order_line}" if line.order_line is not None else f"item {item}"
    raise UnknownItem(
        f"order {order.number} has no {named}",
        expected=", ".join(f"{known.line} ({known.item})" for known in order.lines),
        fix="check which order these goods belong to",
    )


def postable_receipt(
    receipt: Receipt,
    order: PurchaseOrder,
    lines: list[OrderLine],
    items: list[Item],
    earlier: tuple[PostedReceipt, ...],
) -> Receipt:
    """Return the receipt by order line in base units, or raise why it may not be posted: a lot is
    missing, or more has come than is still open.
    """
    room = _room(order, earlier)
    posted = list[ReceivedLine]()
    for counted, ordered, item in zip(receipt.lines, lines, items, strict=True):
        if item.lot_controlled and not counted.lot:
            raise UnknownLot(
                f"item {item.id} needs a lot number", expected="the lot printed on the package"
            )
        quantity = item.in_base_unit(counted.quantity)
        if not quantity.value > 0:
            raise InvalidRequest(
                f"item {item.id}: {quantity.value} {quantity.unit} counted", expected="more than 0"
            )
        serials = len(set(counted.serials))
        if item.serial_controlled and Decimal(serials) != quantity.value:
            raise UnknownLot(f"item {item.id}: {serials} serials for {quantity.value} pieces")
        room[ordered.line] = room.get(ordered.line, Decimal(0)) - quantity.value
        if room[ordered.line] < 0:
            raise QuantityExceeded(
                f"line {ordered.line} of order {order.number}: {-room[ordered.line]} too many",
                fix="count again; send back or have the order raised",
            )
        posted.append(
            msgspec.structs.replace(counted, order_line=ordered.line, quantity=quantity, codes=())
        )
    return msgspec.structs.replace(receipt, lines=tuple(posted))


def _room(order: PurchaseOrder, earlier: tuple[PostedReceipt, ...]) -> dict[int, Decimal]:
    room = {line.line: line.base_quantity.value for line in order.lines}
    for receipt in earlier:
        for line in receipt.lines:
            if line.order_line in room:
                room[line.order_line] -= line.quantity.value
    return room
