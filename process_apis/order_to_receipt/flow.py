"""An order goes to its supplier and comes back as goods.

850 → 997 (syntax) → 855 (acknowledged; a deviation is a buyer's decision) → 856 (under way)
→ receipts until nothing is outstanding; what will not come is closed in the ERP
Whatever does not come in time becomes a task; the order goes on waiting.
"""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from canonical.errors import OrderRejected
from canonical.order import (
    Acknowledgement,
    OrderLine,
    PurchaseOrder,
    SyntaxVerdict,
    TransmissionReceipt,
)
from canonical.published_trade import OrderAcknowledged, OrderClosed, OrderShipped, Standing
from canonical.request import EventName
from canonical.shipment import PostedReceipt, ShipNotice
from ledger.story import Story
from process_apis.order_to_receipt.ports import Orders, Partners, SupplierLink
from process_apis.order_to_receipt.rules import (
    Agreement,
    agreed,
    deviation_task,
    later_review,
    never_came,
    notice_review,
    outstanding,
    rejected_since,
)

VERSION = "1"

SYNTAX_ANSWER_WITHIN = timedelta(hours=4)
ACKNOWLEDGED_WITHIN = timedelta(days=1)
NEXT_NEWS_WITHIN = timedelta(days=7)

_NEWS: Mapping[EventName, type[Acknowledgement | ShipNotice | PostedReceipt]] = {
    "order-acknowledged": Acknowledgement,
    "shipment-notified": ShipNotice,
    "receipt-posted": PostedReceipt,
}


class Delivered(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How an order ended: everything that was agreed has come (`complete`), or it was given up."""

    order: str
    complete: bool
    shipments: tuple[str, ...]
    receipts: tuple[str, ...]


async def order_to_receipt(
    story: Story, order: PurchaseOrder, *, partners: Partners, link: SupplierLink, erp: Orders
) -> Delivered:
    await _sent(story, order, partners, link)
    acknowledged, shipments, receipts = False, list[str](), list[PostedReceipt]()
    agreement = Agreement(order=order, unconfirmed=order.lines)
    while True:
        news = await story.wait_any(
            "855, 856 or receipt",
            _NEWS,
            key=order.number,
            within=NEXT_NEWS_WITHIN if acknowledged else ACKNOWLEDGED_WITHIN,
        )
        if isinstance(news, Acknowledgement):
            standing = await _acknowledged(story, order, agreement, news)
            if standing == "abandon":
                break
            acknowledged = standing == "accept"
            if acknowledged:
                agreement = await _agreed(story, order, agreement, news, erp)
        elif isinstance(news, ShipNotice):
            shipments.append(news.number)
            await story.decide("ship notice against the order", notice_review, order, news)
            story.publish(OrderShipped.of(order, news), subject=order.number)
        else:
            receipts.append(news)
        if isinstance(news, ShipNotice) or not (receipts or acknowledged):
            continue
        left = await story.decide("what is still to come", outstanding, agreement.order, receipts)
        if left.complete:
            break
    await _close(story, order, never_came(order, agreement, receipts), erp)
    complete = bool(receipts) and outstanding(agreement.order, receipts).complete
    return _closed(story, order, complete, shipments, receipts)


def _closed(
    story: Story,
    order: PurchaseOrder,
    complete: bool,  # noqa: FBT001 - a field of both
    shipments: list[str],
    receipts: list[PostedReceipt],
) -> Delivered:
    documents = tuple(receipt.document for receipt in receipts)
    told = OrderClosed(
        facility=order.facility,
        order=order.number,
        supplier=order.supplier,
        complete=complete,
        receipts=documents,
    )
    story.publish(told, subject=order.number)
    return Delivered(
        order=order.number,
        complete=complete,
        shipments=tuple(shipments),
        receipts=documents,
    )


async def _sent(story: Story, order: PurchaseOrder, partners: Partners, link: SupplierLink) -> None:
    partner = await story.ask("trading partner", partners.partner_of, order.supplier)
    sent = await story.step(
        "850 to the supplier", link.send_order, order, partner, compensate=link.cancel_order
    )
    await _readable(story, order, sent)


async def _readable(story: Story, order: PurchaseOrder, sent: TransmissionReceipt) -> None:
    """Wait for the 997 of our group: an order the supplier cannot read was never placed."""
    story.identify("isa13", sent.interchange)
    verdict = await story.wait(
        "997 from the supplier",
        SyntaxVerdict,
        event="syntax-verdict",
        key=f"{order.supplier}:{sent.group}",
        within=SYNTAX_ANSWER_WITHIN,
    )
    if not verdict.accepted:
        raise OrderRejected(
            f"the supplier cannot read order {order.number}: {', '.join(verdict.codes)}",
            fix="correct the partner's profile with the supplier, then abandon and order again",
        )


async def _acknowledged(
    story: Story, order: PurchaseOrder, agreement: Agreement, answer: Acknowledgement
) -> Standing:
    """Return what holds: accepted as it is or by the buyer; rejected (the supplier must answer
    again); or given up.
    """
    review = await story.decide(
        "acknowledgement against the order", later_review, order, agreement, answer
    )
    standing: Standing = "accept"
    if not review.accepted:
        decided = await story.decision("deviation", deviation_task(order, review))
        standing = decided.action if decided.action in ("reject", "abandon") else "accept"
    story.publish(OrderAcknowledged.of(order, answer, standing), subject=order.number)
    return standing


async def _agreed(
    story: Story, order: PurchaseOrder, before: Agreement, answer: Acknowledgement, erp: Orders
) -> Agreement:
    """Note what the supplier will send; what it will not is closed in the ERP at once."""
    after = await story.decide("what is agreed", agreed, order, before, answer)
    await _close(story, order, rejected_since(before, after), erp)
    return after


async def _close(
    story: Story, order: PurchaseOrder, lines: tuple[OrderLine, ...], erp: Orders
) -> None:
    """Tell the ERP which lines will not come, or replenishment would count on them for ever."""
    if lines:
        closing = msgspec.structs.replace(order, lines=lines)
        await story.step("close what will not come in the ERP", erp.close_lines, closing)
