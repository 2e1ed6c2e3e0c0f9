"""Goods are at the dock: what was counted is checked against the order and taken in.

counted → which order line → checked (lot, serials, not more than is open) → goods receipt in the
ERP → announced
"""

from canonical.item import ItemId
from canonical.published import InventoryMoved
from canonical.published_trade import ItemReceived
from canonical.shipment import PostedReceipt, Receipt
from ledger.story import Story
from process_apis.receiving.ports import Codes, GoodsInward
from process_apis.receiving.rules import order_line_of, postable_receipt

VERSION = "1"


async def receiving(
    story: Story, receipt: Receipt, *, erp: GoodsInward, codes: Codes
) -> PostedReceipt:
    order = await story.ask("purchase order", erp.order, receipt.order)
    scanned = list[ItemId | None]()
    for line in receipt.lines:
        known = None
        if line.order_line is None:
            known = await story.ask("item by crosswalk", codes.resolve, line.codes)
        scanned.append(known)
    lines = [
        await story.decide("order line", order_line_of, line, item, order)
        for line, item in zip(receipt.lines, scanned, strict=True)
    ]
    items = [await story.ask(f"item {line.item}", erp.item, line.item) for line in lines]
    earlier = await story.ask("earlier receipts", erp.receipts, order.number)

    checked = await story.decide(
        "receipt against the order", postable_receipt, receipt, order, lines, items, earlier
    )
    posted = await story.step(
        "goods receipt in the ERP",
        erp.post_receipt,
        checked,
        order,
        compensate=erp.take_back_receipt,
    )
    story.identify("receipt", posted.document)
    received = ItemReceived.of(order, receipt, posted)
    moved = InventoryMoved.into(order, receipt, posted)
    story.publish(received, moved, subject=posted.document)
    await story.announce("receipt-posted", posted, key=order.number)
    return posted
