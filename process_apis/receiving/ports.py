"""What receiving needs of others, in canonical words."""

from typing import Protocol

from canonical.item import Item, ItemCode, ItemId
from canonical.order import PurchaseOrder
from canonical.shipment import PostedReceipt, Receipt


class Codes(Protocol):
    """The crosswalk."""

    async def resolve(self, codes: tuple[ItemCode, ...]) -> ItemId: ...


class GoodsInward(Protocol):
    """Orders and goods receipts of the ERP."""

    async def order(self, number: str) -> PurchaseOrder: ...
    async def item(self, item: ItemId) -> Item: ...
    async def receipts(self, order: str) -> tuple[PostedReceipt, ...]: ...
    async def post_receipt(
        self, receipt: Receipt, order: PurchaseOrder, *, key: str
    ) -> PostedReceipt: ...
    async def take_back_receipt(
        self, receipt: Receipt, order: PurchaseOrder, done: PostedReceipt | None, /, *, key: str
    ) -> PostedReceipt | None: ...
