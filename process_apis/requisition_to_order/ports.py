"""What requisition to order needs of others, in canonical words."""

from datetime import date
from typing import Protocol

from canonical.contract import ContractPrice
from canonical.item import Item, ItemId
from canonical.location import CostCenter, Location
from canonical.order import OrderCancellation, PurchaseOrder
from canonical.requisition import PricedRequisition
from canonical.supplier import Supplier


class Purchasing(Protocol):
    """Master data and purchasing documents of the ERP."""

    async def item(self, item: ItemId) -> Item: ...
    async def supplier(self, supplier: str) -> Supplier: ...
    async def cost_center(self, cost_center: str) -> CostCenter: ...
    async def raise_requisition(
        self, requisition: PricedRequisition, *, key: str
    ) -> PricedRequisition: ...
    async def withdraw_requisition(
        self, requisition: PricedRequisition, *, key: str
    ) -> PricedRequisition: ...
    async def take_back_requisition(
        self, requisition: PricedRequisition, done: PricedRequisition | None, /, *, key: str
    ) -> PricedRequisition | None: ...
    async def place_order(self, requisition: PricedRequisition, *, key: str) -> PurchaseOrder: ...
    async def cancel_order(
        self, requisition: PricedRequisition, done: PurchaseOrder | None, /, *, key: str
    ) -> OrderCancellation | None: ...


class ContractBook(Protocol):
    """Contract prices, places that may order, and what day it is at the hospital."""

    async def location(self, facility: str, location: str) -> Location: ...
    async def prices(self, supplier: str, item: ItemId) -> list[ContractPrice]: ...
    async def today(self, facility: str) -> date: ...
