"""Experience API: the procurement dashboard."""

from typing import Annotated, Protocol

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from canonical.order import PurchaseOrder
from experience_apis.procurement.views import OrderList, order_row
from ledger.ledger import Ledger


class OrderBook(Protocol):
    """Orders of the ERP."""

    async def order(self, number: str) -> PurchaseOrder: ...


@get(
    "/orders",
    operation_id="listOrders",
    summary="List the orders placed through Suture, newest first",
    scope="experience.procurement:read",
)
async def list_orders(
    ledger: NamedDependency[SkipValidation[Ledger]],
    orders: NamedDependency[SkipValidation[OrderBook]],
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
) -> OrderList:
    rows = [
        order_row(
            await orders.order(placed.value),
            placed.transaction,
            placed.open_tasks,
            placed.changed_at,
        )
        for placed in await ledger.traces.named("order", limit=limit)
    ]
    return OrderList(items=tuple(rows))


router = Router("/experience/v1/procurement", route_handlers=[list_orders])
