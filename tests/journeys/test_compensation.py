"""What was done is undone on a person's word, the last thing first; the books are as before."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gateway.config import Config
from gateway.demo.stage import Stage, open_stage
from tests.journeys.front_doors import (
    Floor,
    at_noon,
    ended,
    flows,
    hops,
    outputs,
    requisition,
    waiting,
)

HIP, HEAD = "27130", "IMP-20003"
SUTURE = "CON-60001"


async def books(floor: Floor) -> dict[str, Any]:
    """What counts in the ERP: quantities, promises, requests, commitments and balances."""
    state = await floor.erp()
    assert Decimal(state["journal"]["sum"]) == 0
    stock = {
        (row["material"], row["location"], row["batch"]): Decimal(row["quantity"])
        for row in state["stock"]
    }
    balances = {name: Decimal(amount) for name, amount in state["journal"]["balances"].items()}
    return {
        "stock": {name: amount for name, amount in stock.items() if amount},
        "balances": {name: amount for name, amount in balances.items() if amount},
        "reserved": len(state["openReservations"]),
        "requested": state["openRequisitions"],
        "committed": {name: Decimal(amount) for name, amount in state["committed"].items()},
    }


async def supplier_orders(floor: Floor) -> list[tuple[str, bool, list[str]]]:
    orders = (await floor.stage.supplier.get("/sim/orders")).json()["orders"]
    return [
        (each["number"], each["cancelled"], [document["kind"] for document in each["documents"]])
        for each in orders
    ]


def cancelled(flow: str, count: int = 1) -> Any:
    def holds(trace: Any) -> bool:
        return sum(each["status"] == "cancelled" for each in flows(trace, flow)) >= count

    return holds


def undone(trace: Any) -> list[str]:
    return [hop for hop in hops(trace) if hop.startswith("undo: ")]


async def test_an_order_whose_posting_fails_for_good_is_taken_back_in_reverse_order(stage: Stage):
    floor = Floor(stage)
    before = await books(floor)
    # The first write of an order is refused: its price has no contract in the ERP's words.
    await floor.fault("A_PurchaseOrder", "5xx-after-commit", times=400)
    transaction = await floor.buy(SUTURE, 2, "BX")
    await floor.until(
        transaction, lambda t: outputs(t, "requisition in the ERP"), "the requisition is raised"
    )
    assert await books(floor) != before
    flow = flows(await floor.trace(transaction), "requisition-to-order")[0]
    await stage.running.parts.ledger.cancel(flow["id"], because())
    trace = await floor.until(transaction, cancelled("requisition-to-order"), "it is undone")
    assert undone(trace) == ["undo: purchase order in the ERP", "undo: requisition in the ERP"]
    assert await books(floor) == before
    assert await supplier_orders(floor) == []


def because() -> Any:
    from ledger.cancelling import Cancellation  # noqa: PLC0415

    return Cancellation(by="operator", reason="not wanted")


async def test_an_order_that_the_supplier_cannot_read_is_compensated(stage: Stage):
    floor = Floor(stage)
    before = await books(floor)
    await floor.behave("ships-later")
    transaction = await floor.buy(SUTURE, 2, "BX")
    trace = await floor.until(
        transaction, lambda t: outputs(t, "997 from the supplier"), "the order is out"
    )
    assert await books(floor) != before
    flow = flows(trace, "requisition-to-order")[0]
    await stage.running.parts.ledger.cancel(flow["id"], because())
    trace = await floor.until(transaction, cancelled("requisition-to-order"), "it is undone")
    assert undone(trace) == [
        "undo: 850 to the supplier",
        f"undo: announce order-placed {outputs(trace, 'purchase order in the ERP')[0]['number']}",
        "undo: purchase order in the ERP",
        "undo: requisition in the ERP",
    ]
    assert await books(floor) == before
    [(_, gone, said)] = await supplier_orders(floor)
    assert gone
    assert said[-2:] == ["997", "865"]
    assert [task for task in await floor.tasks() if task["kind"] != "decision"] == []
