"""Experience API: the procurement dashboard. Version 1 is a view of version 2."""

from typing import Annotated, Protocol

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from canonical.order import PurchaseOrder
from experience_apis.procurement.views import OrderList, OrderPage, order_row, order_summary
from ledger.ledger import Ledger


class OrderBook(Protocol):
    """Orders of the ERP."""

    async def order(self, number: str) -> PurchaseOrder: ...


async def order_page(
    ledger: Ledger, orders: OrderBook, *, limit: int, after: str = ""
) -> OrderPage:
    """Return the orders placed before `after`, newest first; '' begins with the newest."""
    found = await ledger.traces.named("order", limit=limit + 1, after=after)
    items = [
        order_summary(
            await orders.order(placed.value),
            placed.transaction,
            placed.open_tasks,
            placed.changed_at,
        )
        for placed in found[:limit]
    ]
    # One more than the limit says that there is a next page.
    return OrderPage(
        items=tuple(items), next=found[limit - 1].place if len(found) > limit else None
    )


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
    page = await order_page(ledger, orders, limit=limit)
    return OrderList(items=tuple(map(order_row, page.items)))


@get(
    "/orders",
    operation_id="listOrderPages",
    summary="List the orders placed through Suture page by page, newest first",
    scope="experience.procurement:read",
)
async def list_order_pages(
    ledger: NamedDependency[SkipValidation[Ledger]],
    orders: NamedDependency[SkipValidation[OrderBook]],
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    after: Annotated[str, QueryParameter(max_length=128)] = "",
) -> OrderPage:
    """`next` of a page goes into `after`: orders that are placed meanwhile shift nothing."""
    return await order_page(ledger, orders, limit=limit, after=after)


router = Router("/experience/v1/procurement", route_handlers=[list_orders])
second_version = Router("/experience/v2/procurement", route_handlers=[list_order_pages])
