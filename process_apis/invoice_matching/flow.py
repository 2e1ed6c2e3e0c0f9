"""A supplier sends an invoice: matched with order and receipts, then posted; or a person decides.

invoice → seen before? → order, receipts, billed so far → three-way match → posted
  goods missing   → wait for the next receipt, match again
  anything else   → exception task with the reason per line: accept, retry, or reject
"""

from typing import Literal

import msgspec

from canonical.deadline import Deadlines
from canonical.invoice import Invoice, MatchResult, PostedInvoice
from canonical.order import PurchaseOrder
from canonical.published_trade import InvoiceMatched, InvoiceRejected
from canonical.shipment import PostedReceipt
from ledger.story import Story
from process_apis.invoice_matching.deadlines import Ordered, invoice_due
from process_apis.invoice_matching.ports import Payables
from process_apis.invoice_matching.rules import (
    MatchTolerance,
    Verdict,
    exception_task,
    three_way_match,
)

VERSION = "1"


class InvoiceOutcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the invoice ended."""

    outcome: Literal["matched", "accepted", "rejected", "duplicate"]
    invoice: str
    order: str
    match: MatchResult | None = None
    posted: PostedInvoice | None = None


async def invoice_matching(
    story: Story,
    invoice: Invoice,
    *,
    erp: Payables,
    tolerance: MatchTolerance,
    deadlines: Deadlines,
) -> InvoiceOutcome:
    story.identify("invoice", invoice.number)
    if not (await story.claim("invoice", f"{invoice.supplier}/{invoice.number}")).mine:
        return InvoiceOutcome(outcome="duplicate", invoice=invoice.number, order=invoice.order)

    outcome: Literal["matched", "accepted"] = "matched"
    ordered = await story.began_with("what was ordered", "order-to-receipt", invoice.order, Ordered)
    while True:
        order, verdict = await _matched(story, invoice, erp, tolerance)
        if verdict.result.matched:
            break
        if verdict.awaits_receipt:
            await _more_goods(story, invoice, ordered, deadlines)
            continue
        due = invoice_due(invoice, ordered, "invoice-exception", deadlines)
        question = exception_task(order, verdict.result)
        decided = await story.decision("match exception", question, due)
        if decided.action == "reject":
            return _rejected(story, order, invoice, verdict)
        if decided.action == "accept":
            outcome = "accepted"
            break

    undo = erp.take_back_invoice
    posted = await story.step("invoice in the ERP", erp.post_invoice, invoice, compensate=undo)
    matched = InvoiceMatched.of(order, invoice, verdict.result, posted)
    story.publish(matched, subject=invoice.number)
    await story.announce("invoice-matched", verdict.result, key=invoice.number)
    return _ended(outcome, invoice, verdict, posted)


def _ended(
    outcome: Literal["matched", "accepted", "rejected"],
    invoice: Invoice,
    verdict: Verdict,
    posted: PostedInvoice | None = None,
) -> InvoiceOutcome:
    return InvoiceOutcome(
        outcome=outcome,
        invoice=invoice.number,
        order=invoice.order,
        match=verdict.result,
        posted=posted,
    )


def _rejected(
    story: Story, order: PurchaseOrder, invoice: Invoice, verdict: Verdict
) -> InvoiceOutcome:
    story.publish(InvoiceRejected.of(order, invoice, verdict.result), subject=invoice.number)
    return _ended("rejected", invoice, verdict)


async def _matched(
    story: Story, invoice: Invoice, erp: Payables, tolerance: MatchTolerance
) -> tuple[PurchaseOrder, Verdict]:
    """Ask for what the ERP knows of the order, and hold the invoice against it."""
    order = await story.ask("purchase order", erp.order, invoice.order)
    receipts = await story.ask("goods receipts", erp.receipts, invoice.order)
    # On a person's retry this invoice may be posted already: it is not held against itself.
    billed = await story.ask("billed so far", erp.invoiced, invoice.order, invoice.number)
    verdict = await story.decide(
        "three-way match", three_way_match, order, receipts, billed, invoice, tolerance
    )
    return order, verdict


async def _more_goods(
    story: Story, invoice: Invoice, ordered: Ordered | None, deadlines: Deadlines
) -> PostedReceipt:
    return await story.wait(
        "goods for the invoice",
        PostedReceipt,
        event="receipt-posted",
        key=invoice.order,
        within=invoice_due(invoice, ordered, "goods-for-invoice", deadlines),
    )
