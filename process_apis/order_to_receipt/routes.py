"""Process API: where an order stands."""

import contextlib
from typing import Protocol

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from canonical.errors import NotFound
from canonical.order import PurchaseOrder
from canonical.shipment import PostedReceipt
from ledger.ledger import Ledger
from ledger.traces import FlowState
from process_apis.order_to_receipt.rules import Outstanding, outstanding


class OrderBook(Protocol):
    """Orders and receipts of the ERP."""

    async def order(self, number: str) -> PurchaseOrder: ...
    async def receipts(self, order: str) -> tuple[PostedReceipt, ...]: ...


class OrderStanding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An order with its receipts, what is outstanding, and the flows that carry it."""

    order: PurchaseOrder
    receipts: tuple[PostedReceipt, ...]
    outstanding: Outstanding
    transaction: str
    flows: tuple[FlowState, ...]


@get(
    "/orders/{number:str}",
    operation_id="showOrder",
    summary="Show where an order stands: sent, acknowledged, shipped, received",
    scope="process.orders:read",
)
async def show_order(
    number: FromPath[str],
    ledger: NamedDependency[SkipValidation[Ledger]],
    orders: NamedDependency[SkipValidation[OrderBook]],
) -> OrderStanding:
    order = await orders.order(number)
    receipts = await orders.receipts(number)
    transaction, flows = "", tuple[FlowState, ...]()
    # An order that was not placed through Suture is shown without its story.
    with contextlib.suppress(NotFound):
        transaction = await ledger.traces.find(number)
        flows = (await ledger.traces.trace(transaction)).flows
    return OrderStanding(
        order=order,
        receipts=receipts,
        outstanding=outstanding(order, list(receipts)),
        transaction=transaction,
        flows=flows,
    )


router = Router("/process/v1", route_handlers=[show_order])
