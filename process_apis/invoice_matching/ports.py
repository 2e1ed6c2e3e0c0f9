"""What invoice matching needs of others, in canonical words."""

from typing import Protocol

from canonical.invoice import Invoice, PostedInvoice
from canonical.order import PurchaseOrder
from canonical.shipment import PostedReceipt


class Payables(Protocol):
    """Orders, receipts and supplier invoices of the ERP."""

    async def order(self, number: str) -> PurchaseOrder: ...
    async def receipts(self, order: str) -> tuple[PostedReceipt, ...]: ...
    async def post_invoice(self, invoice: Invoice, *, key: str) -> PostedInvoice: ...
