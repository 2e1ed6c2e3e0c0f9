"""What subscribers are told of requisitions, orders, receipts and invoices; see `published.py`."""

from datetime import date, datetime
from typing import Literal

from canonical.invoice import Invoice, LineMatch, MatchResult, PostedInvoice
from canonical.money import Money
from canonical.order import AcknowledgedLine, Acknowledgement, OrderLine, PurchaseOrder
from canonical.published import Published
from canonical.requisition import Approval, PricedRequisition, Requisition, RequisitionLine
from canonical.shipment import PostedReceipt, Receipt, ReceivedLine, ShipNotice, ShippedLine

Standing = Literal["accept", "reject", "abandon"]
"""What a buyer, or the rule, makes of a supplier's answer."""


class OrderPlaced(Published, frozen=True, kw_only=True):
    """A purchase order exists in the ERP and goes to its supplier."""

    order: str
    supplier: str
    location: str
    ordered_on: date
    needed_on: date
    lines: tuple[OrderLine, ...]
    total: Money

    @classmethod
    def of(cls, order: PurchaseOrder) -> "OrderPlaced":
        return cls(
            facility=order.facility,
            order=order.number,
            supplier=order.supplier,
            location=order.location,
            ordered_on=order.ordered_on,
            needed_on=order.needed_on,
            lines=order.lines,
            total=order.total,
        )


class OrderAcknowledged(Published, frozen=True, kw_only=True):
    """The supplier answered; `standing` is what the hospital made of it."""

    order: str
    supplier: str
    acknowledged_on: date
    standing: Standing
    lines: tuple[AcknowledgedLine, ...]

    @classmethod
    def of(
        cls, order: PurchaseOrder, answer: Acknowledgement, standing: Standing
    ) -> "OrderAcknowledged":
        return cls(
            facility=order.facility,
            order=order.number,
            supplier=order.supplier,
            acknowledged_on=answer.acknowledged_on,
            standing=standing,
            lines=answer.lines,
        )


class OrderShipped(Published, frozen=True, kw_only=True):
    """The supplier says that goods are under way."""

    order: str
    supplier: str
    notice: str
    shipped_on: date
    expected_on: date | None = None
    lines: tuple[ShippedLine, ...]

    @classmethod
    def of(cls, order: PurchaseOrder, notice: ShipNotice) -> "OrderShipped":
        return cls(
            facility=order.facility,
            order=order.number,
            supplier=order.supplier,
            notice=notice.number,
            shipped_on=notice.shipped_on,
            expected_on=notice.expected_on,
            lines=notice.lines,
        )


class OrderClosed(Published, frozen=True, kw_only=True):
    """Nothing more will come for this order; `complete` where all that was agreed has come."""

    order: str
    supplier: str
    complete: bool
    receipts: tuple[str, ...]


class RequisitionRaised(Published, frozen=True, kw_only=True):
    """Something below par, or needed by a case, is to be bought."""

    location: str
    supplier: str
    needed_on: date
    origin: Literal["case-demand", "usage", "person"]
    lines: tuple[RequisitionLine, ...]

    @classmethod
    def of(cls, requisition: Requisition) -> "RequisitionRaised":
        return cls(
            facility=requisition.facility,
            location=requisition.location,
            supplier=requisition.supplier,
            needed_on=requisition.needed_on,
            origin=requisition.origin,
            lines=requisition.lines,
        )


class ApprovalDecided(Published, frozen=True, kw_only=True):
    """A requisition was approved or declined, by the rule or in person."""

    requisition: str
    approved: bool
    by: str
    at: datetime
    reason: str = ""

    @classmethod
    def of(cls, raised: PricedRequisition, approval: Approval) -> "ApprovalDecided":
        return cls(
            facility=raised.facility,
            requisition=raised.number,
            approved=approval.approved,
            by=approval.by,
            at=approval.at,
            reason=approval.reason,
        )


class ItemReceived(Published, frozen=True, kw_only=True):
    """Goods were taken in against an order and stand in the ERP, in base units."""

    order: str
    supplier: str
    location: str
    document: str
    received_at: datetime
    lines: tuple[ReceivedLine, ...]

    @classmethod
    def of(cls, order: PurchaseOrder, receipt: Receipt, posted: PostedReceipt) -> "ItemReceived":
        return cls(
            facility=order.facility,
            order=order.number,
            supplier=order.supplier,
            location=order.location,
            document=posted.document,
            received_at=receipt.received_at,
            lines=posted.lines,
        )


class InvoiceMatched(Published, frozen=True, kw_only=True):
    """An invoice agrees with order and receipts, or was accepted by a person; it is posted."""

    invoice: str
    order: str
    supplier: str
    outcome: Literal["matched", "accepted"]
    total: Money
    document: str
    lines: tuple[LineMatch, ...]

    @classmethod
    def of(
        cls, order: PurchaseOrder, invoice: Invoice, match: MatchResult, posted: PostedInvoice
    ) -> "InvoiceMatched":
        return cls(
            facility=order.facility,
            invoice=invoice.number,
            order=order.number,
            supplier=invoice.supplier,
            outcome="matched" if match.matched else "accepted",
            total=posted.total,
            document=posted.document,
            lines=match.lines,
        )


class InvoiceRejected(Published, frozen=True, kw_only=True):
    """An invoice was refused by a person, with the reasons of the match."""

    invoice: str
    order: str
    supplier: str
    total: Money
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, order: PurchaseOrder, invoice: Invoice, match: MatchResult) -> "InvoiceRejected":
        return cls(
            facility=order.facility,
            invoice=invoice.number,
            order=order.number,
            supplier=invoice.supplier,
            total=invoice.total,
            reasons=(*match.reasons, *(why for line in match.lines for why in line.reasons)),
        )
