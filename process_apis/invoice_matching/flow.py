"""A supplier sends an invoice: matched with order and receipts, then posted; or a person decides.

invoice → seen before? → order, receipts, billed so far → three-way match → posted
  goods missing   → wait for the next receipt, match again
  anything else   → exception task with the reason per line: accept, retry, or reject
"""

from datetime import timedelta
from typing import Literal

import msgspec

from canonical.invoice import Invoice, MatchResult, PostedInvoice
from canonical.order import PurchaseOrder
from canonical.published_trade import InvoiceMatched, InvoiceRejected
from canonical.shipment import PostedReceipt
from ledger.story import Story
from process_apis.invoice_matching.ports import Payables
from process_apis.invoice_matching.rules import MatchTolerance, exception_task, three_way_match

VERSION = "1"

GOODS_WITHIN = timedelta(days=5)


class InvoiceOutcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the invoice ended."""

    outcome: Literal["matched", "accepted", "rejected", "duplicate"]
    invoice: str
    order: str
    match: MatchResult | None = None
    posted: PostedInvoice | None = None


async def invoice_matching(
    story: Story, invoice: Invoice, *, erp: Payables, tolerance: MatchTolerance
) -> InvoiceOutcome:
    story.identify("invoice", invoice.number)
    if not (await story.claim("invoice", f"{invoice.supplier}/{invoice.number}")).mine:
        return InvoiceOutcome(outcome="duplicate", invoice=invoice.number, order=invoice.order)

    outcome: Literal["matched", "accepted"] = "matched"
    while True:
        order = await story.ask("purchase order", erp.order, invoice.order)
        receipts = await story.ask("goods receipts", erp.receipts, invoice.order)
        # On a person's retry this invoice may be posted already: it is not held against itself.
        billed = await story.ask("billed so far", erp.invoiced, invoice.order, invoice.number)
        verdict = await story.decide(
            "three-way match", three_way_match, order, receipts, billed, invoice, tolerance
        )
        if verdict.result.matched:
            break
        if verdict.awaits_receipt:
            await _more_goods(story, order)
            continue
        decided = await story.decision("match exception", exception_task(order, verdict.result))
        if decided.action == "reject":
            return _rejected(story, order, invoice, verdict.result)
        if decided.action == "accept":
            outcome = "accepted"
            break

    undo = erp.take_back_invoice
    posted = await story.step("invoice in the ERP", erp.post_invoice, invoice, compensate=undo)
    matched = InvoiceMatched.of(order, invoice, verdict.result, posted)
    story.publish(matched, subject=invoice.number)
    await story.announce("invoice-matched", verdict.result, key=invoice.number)
    return InvoiceOutcome(
        outcome=outcome,
        invoice=invoice.number,
        order=order.number,
        match=verdict.result,
        posted=posted,
    )


def _rejected(
    story: Story, order: PurchaseOrder, invoice: Invoice, match: MatchResult
) -> InvoiceOutcome:
    story.publish(InvoiceRejected.of(order, invoice, match), subject=invoice.number)
    return InvoiceOutcome(
        outcome="rejected", invoice=invoice.number, order=order.number, match=match
    )


async def _more_goods(story: Story, order: PurchaseOrder) -> PostedReceipt:
    return await story.wait(
        "goods for the invoice",
        PostedReceipt,
        event="receipt-posted",
        key=order.number,
        within=GOODS_WITHIN,
    )
