"""What order to receipt needs of others, in canonical words."""

from typing import Protocol

from canonical.order import OrderCancellation, PurchaseOrder, TransmissionReceipt
from canonical.supplier import TradingPartner


class Partners(Protocol):
    """How suppliers are reached."""

    async def partner_of(self, supplier: str) -> TradingPartner: ...


class SupplierLink(Protocol):
    """The way a document takes to a supplier."""

    async def send_order(
        self, order: PurchaseOrder, partner: TradingPartner, *, key: str
    ) -> TransmissionReceipt: ...
    async def cancel_order(
        self,
        order: PurchaseOrder,
        partner: TradingPartner,
        sent: TransmissionReceipt | None,
        /,
        *,
        key: str,
    ) -> OrderCancellation | None: ...


class Orders(Protocol):
    """Orders as the ERP counts on them."""

    async def close_lines(self, order: PurchaseOrder, *, key: str) -> PurchaseOrder: ...
