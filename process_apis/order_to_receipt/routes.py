"""Process API: where an order stands."""

import contextlib
from datetime import datetime
from typing import Annotated, Protocol

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from canonical.errors import NotFound
from canonical.order import PurchaseOrder
from canonical.request import RequestFacts
from canonical.shipment import PostedReceipt
from ledger.ledger import Ledger
from process_apis.order_to_receipt.rules import Outstanding, outstanding


class OrderBook(Protocol):
    """Orders and receipts of the ERP."""

    async def order(self, number: str) -> PurchaseOrder: ...
    async def receipts(self, order: str) -> tuple[PostedReceipt, ...]: ...


class CarryingFlow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A flow that carries the order: how it stands, and what it waits for."""

    id: str
    name: str
    version: str
    status: str
    started_at: datetime
    waits_for: str = ""
    ended_at: datetime | None = None


class OrderStanding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An order with its receipts, what is outstanding, and the flows that carry it."""

    order: PurchaseOrder
    receipts: tuple[PostedReceipt, ...]
    outstanding: Outstanding
    transaction: str
    flows: tuple[CarryingFlow, ...]


@get(
    "/orders/{number:str}",
    operation_id="showOrder",
    summary="Show where an order stands: sent, acknowledged, shipped, received",
    scope="process.orders:read",
)
async def show_order(
    number: Annotated[str, PathParameter(max_length=40)],
    ledger: NamedDependency[SkipValidation[Ledger]],
    orders: NamedDependency[SkipValidation[OrderBook]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> OrderStanding:
    order = await orders.order(number)
    receipts = await orders.receipts(number)
    transaction, flows = "", tuple[CarryingFlow, ...]()
    # An order that was not placed through Suture is shown without its story.
    with contextlib.suppress(NotFound):
        transaction = facts.transaction = await ledger.traces.find(number)
        trace = await ledger.traces.trace(transaction)
        flows = msgspec.convert(trace.flows, tuple[CarryingFlow, ...], from_attributes=True)
    return OrderStanding(
        order=order,
        receipts=receipts,
        outstanding=outstanding(order, list(receipts)),
        transaction=transaction,
        flows=flows,
    )


router = Router("/process/v1", route_handlers=[show_order])
