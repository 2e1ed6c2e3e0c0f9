"""What invoice matching needs of others, in canonical words."""

from typing import Protocol

from canonical.invoice import Invoice, InvoiceLine, PostedInvoice
from canonical.order import PurchaseOrder
from canonical.shipment import PostedReceipt


class Payables(Protocol):
    """Orders, receipts and supplier invoices of the ERP. `invoiced` is what was billed of an order,
    by order line and in ordering units, by any invoice `besides` the one with this number.
    """

    async def order(self, number: str) -> PurchaseOrder: ...
    async def receipts(self, order: str) -> tuple[PostedReceipt, ...]: ...
    async def invoiced(self, order: str, besides: str) -> tuple[InvoiceLine, ...]: ...
    async def post_invoice(self, invoice: Invoice, *, key: str) -> PostedInvoice: ...
    async def take_back_invoice(
        self, invoice: Invoice, done: PostedInvoice | None, /, *, key: str
    ) -> PostedInvoice | None: ...
