"""System API of the ERP: one canonical contract, whatever the product behind it."""

from typing import Annotated, Protocol

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter, SkipValidation

from canonical.inventory import StockLevel
from canonical.item import Item, ItemId
from canonical.location import CostCenter
from canonical.order import PurchaseOrder
from canonical.supplier import Supplier


class Erp(Protocol):
    """What every ERP connector answers."""

    async def item(self, item: ItemId) -> Item: ...
    async def stock(self, item: ItemId, facility: str, location: str) -> StockLevel: ...
    async def order(self, number: str) -> PurchaseOrder: ...
    async def supplier(self, supplier: str) -> Supplier: ...
    async def cost_center(self, cost_center: str) -> CostCenter: ...


Number = Annotated[str, PathParameter(max_length=40)]
Connector = NamedDependency[SkipValidation[Erp]]


@get("/items/{item_id:str}", operation_id="readItem", scope="system.erp.items:read")
async def read_item(item_id: Number, erp: Connector) -> Item:
    """Read an item of the item master."""
    return await erp.item(ItemId(item_id))


@get("/stock", operation_id="readStock", scope="system.erp.stock:read")
async def read_stock(
    item: Annotated[str, QueryParameter(min_length=1, max_length=40)],
    facility: Annotated[str, QueryParameter(min_length=1, max_length=64)],
    location: Annotated[str, QueryParameter(min_length=1, max_length=64)],
    erp: Connector,
) -> StockLevel:
    """Read what is where: on hand, reserved, on order, in base units."""
    return await erp.stock(ItemId(item), facility, location)


@get(
    "/purchase-orders/{number:str}",
    operation_id="readPurchaseOrder",
    scope="system.erp.purchase-orders:read",
)
async def read_purchase_order(number: Number, erp: Connector) -> PurchaseOrder:
    """Read a purchase order."""
    return await erp.order(number)


@get(
    "/suppliers/{supplier_id:str}",
    operation_id="readSupplier",
    scope="system.erp.suppliers:read",
)
async def read_supplier(supplier_id: Number, erp: Connector) -> Supplier:
    """Read a supplier."""
    return await erp.supplier(supplier_id)


@get(
    "/cost-centers/{cost_center_id:str}",
    operation_id="readCostCenter",
    scope="system.erp.cost-centers:read",
)
async def read_cost_center(cost_center_id: Number, erp: Connector) -> CostCenter:
    """Read a cost centre and what is left of its budget."""
    return await erp.cost_center(cost_center_id)


router = Router(
    "/system/v1/erp",
    route_handlers=[read_item, read_stock, read_purchase_order, read_supplier, read_cost_center],
)
