"""What was done is undone on a person's word, the last thing first; the books are as before."""

from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gateway.config import Config
from gateway.demo.stage import Stage, open_stage
from ledger.settings import LedgerSettings
from process_apis.case_demand.rules import CancellationPolicy
from tests.journeys.front_doors import (
    Floor,
    at_noon,
    ended,
    flows,
    hops,
    outputs,
    person,
    reporter,
    waiting,
)

HIP, HEAD = "27130", "IMP-20003"
SUTURE = "CON-60001"
UDI = "(01)00844588017735(17)270630(10)TI2142A(21)TI-000101"


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


async def cancel(floor: Floor, flow: Any, reason: str = "not wanted after all") -> None:
    who = await person(floor.stage, f"canceller-{floor.number('p')}", "process.flows:cancel")
    path = f"/process/v1/flows/{flow['id']}/cancellation"
    answer = await floor.send(who, "POST", path, json={"reason": reason})
    assert answer.status == 202


@pytest.fixture
async def impatient(config: Config) -> AsyncGenerator[Stage]:
    """A hospital whose ledger soon asks a person, and whose ERP is tried as often as it wants."""
    erp = msgspec.structs.replace(config.upstreams["erp"], failures_to_open=1000)
    soon = msgspec.structs.replace(
        config,
        ledger=LedgerSettings(max_attempts=2),
        upstreams=config.upstreams | {"erp": erp},
    )
    async with open_stage(soon, pace=0.05, say=lambda _: None) as opened:
        yield opened


async def test_an_order_whose_posting_fails_for_good_is_undone_on_a_persons_word(impatient: Stage):
    floor = Floor(impatient)
    before = await books(floor)
    await floor.fault("PURCHASEORDER_PROCESS_SRV/A_PurchaseOrder", "5xx-before", times=30)
    transaction = await floor.buy(SUTURE, 2, "BX")
    task = await floor.task("upstream-failed", transaction=transaction)
    assert task["actions"] == ["retry", "compensate", "abandon"]
    assert (await books(floor))["requested"] != before["requested"]
    assert (await floor.resolve(task, "compensate", "bought elsewhere")).status == 200
    trace = await floor.until(transaction, cancelled("requisition-to-order"), "it is undone")
    assert undone(trace) == ["undo: purchase order in the ERP", "undo: requisition in the ERP"]
    assert "task resolved: compensate" in hops(trace)
    assert await books(floor) == before
    assert await supplier_orders(floor) == []


async def test_an_order_that_is_out_is_taken_back_from_the_supplier_first(stage: Stage):
    floor = Floor(stage)
    before = await books(floor)
    await floor.behave("ships-later")
    transaction = await floor.buy(SUTURE, 2, "BX")
    trace = await floor.until(
        transaction, lambda t: outputs(t, "997 from the supplier"), "the order is out"
    )
    order = outputs(trace, "purchase order in the ERP")[0]["number"]
    await floor.fault("A_PurchaseOrderItem", "lost-answer", method="PATCH")
    await cancel(floor, flows(trace, "requisition-to-order")[0])
    trace = await floor.until(transaction, cancelled("requisition-to-order"), "it is undone")
    assert undone(trace) == [
        "undo: 850 to the supplier",
        f"undo: announce order-placed {order}",
        "undo: purchase order in the ERP",
        "undo: requisition in the ERP",
    ]
    assert await books(floor) == before
    [(number, gone, said)] = await supplier_orders(floor)
    assert (number, gone, said[-2:]) == (order, True, ["997", "865"])
    assert [task for task in await floor.tasks() if task["kind"] != "decision"] == []


async def test_goods_that_are_under_way_stay_ordered_until_a_person_settles_it(stage: Stage):
    floor = Floor(stage)
    transaction = await floor.buy(SUTURE, 2, "BX")
    trace = await floor.until(
        transaction, lambda t: "ship notice against the order" in hops(t), "it is shipped"
    )
    await cancel(floor, flows(trace, "requisition-to-order")[0])
    task = await floor.task("already-shipped", transaction=transaction)
    assert task["title"] == "Already shipped: undoing order to receipt"
    assert (task["owner"], task["actions"]) == ("supply-chain", ["retry", "abandon"])
    before = await books(floor)
    assert (await floor.resolve(task, "abandon", "we keep the goods")).status == 200
    task = await floor.task("declined", transaction=transaction)
    assert (await floor.resolve(task, "abandon", "we keep the goods")).status == 200
    assert await books(floor) == before, "the order stands"


async def test_an_invoice_and_its_receipt_are_reversed_and_the_goods_awaited_again(stage: Stage):
    floor, who = Floor(stage), await reporter(stage)
    transaction = await floor.buy(SUTURE, 2, "BX")
    trace = await floor.until(
        transaction, lambda t: "ship notice against the order" in hops(t), "it is shipped"
    )
    before = await books(floor)
    order = outputs(trace, "purchase order in the ERP")[0]
    line = {"quantity": {"value": "2", "unit": "BX"}, "lot": "LNEW001"}
    receipt = {
        "order": order["number"],
        "receivedAt": at_noon(0),
        "lines": [{"orderLine": order["lines"][0]["line"], **line}],
    }
    answer = await floor.send(who, "POST", "/process/v1/receipts", json=receipt)
    assert answer.status == 202
    trace = await floor.until(transaction, ended("invoice-matching"), "it is matched")
    posted = await books(floor)
    assert posted["balances"] != before["balances"]

    await cancel(floor, flows(trace, "invoice-matching")[0], "billed by mistake")
    trace = await floor.until(transaction, cancelled("invoice-matching"), "it is reversed")
    await cancel(floor, flows(trace, "receiving")[0], "scanned at the wrong dock")
    trace = await floor.until(transaction, cancelled("receiving"), "the goods are out again")
    assert undone(trace)[:2] == [
        "undo: invoice in the ERP",
        f"undo: claim invoice 17300002/INV{order['number']}",
    ]
    assert undone(trace)[2:] == ["undo: goods receipt in the ERP"]
    assert await books(floor) == before


async def test_usage_that_is_undone_leaves_no_trace_in_the_books(stage: Stage):
    floor = Floor(stage)
    case = await floor.schedule("27447")
    await floor.until(case.control, ended("case-demand"), "the case is reserved")
    before = await books(floor)
    await floor.use(case, {"udi": UDI})
    trace = await floor.until(case.control, ended("usage-to-replenishment"), "it is posted")
    await cancel(floor, flows(trace, "usage-to-replenishment")[0], "another patient's")
    trace = await floor.until(case.control, cancelled("usage-to-replenishment"), "it is undone")
    assert undone(trace)[:3] == [
        "undo: record the charge for review",
        "undo: post the cost",
        "undo: post the consumption",
    ]
    after = await books(floor)
    for what in ("stock", "balances"):
        assert after[what] == before[what]
    items = (await stage.ehr.get("/fhir/ChargeItem")).json()["entry"]
    assert [each["resource"]["status"] for each in items] == ["entered-in-error"]

    await floor.use(case, {"udi": UDI})
    await floor.until(case.control, ended("usage-to-replenishment"), "the serial is free again")


async def test_a_cancelled_case_takes_back_what_was_asked_and_ordered_for_it(stage: Stage):
    floor = Floor(stage)
    before = await books(floor)
    await floor.behave("ships-later")
    waits, ordered = await floor.schedule(HIP), await floor.schedule(HIP)
    await floor.until(waits.control, waiting("approval"), "the first one waits for a person")
    trace = await floor.until(ordered.control, waiting("approval"), "and the second one")
    assert (await floor.decide(waiting("approval")(trace)["id"], approved=True)).status == 200
    await floor.until(
        ordered.control, lambda t: outputs(t, "997 from the supplier"), "the order is out"
    )
    for case in (waits, ordered):
        await floor.ehr("DELETE", f"/sim/cases/{case.number}")
        await floor.until(case.control, ended("case-demand", 2), "the case is cancelled")
    assert await books(floor) == before
    [(_, gone, _)] = await supplier_orders(floor)
    assert gone
    assert await floor.tasks() == []


@pytest.fixture
async def asking(config: Config) -> AsyncGenerator[Stage]:
    """A hospital whose buyers want to be asked about orders of cancelled cases."""
    policy = CancellationPolicy(orders="ask")
    polite = msgspec.structs.replace(config, cancellation=policy)
    async with open_stage(polite, pace=0.05, say=lambda _: None) as opened:
        yield opened


@pytest.mark.parametrize("answer", ["compensate", "accept"])
async def test_where_the_policy_says_so_a_buyer_decides_about_the_order(asking: Stage, answer: str):
    floor = Floor(asking)
    before = await books(floor)
    await floor.behave("ships-later")
    case = await floor.schedule(HIP)
    trace = await floor.until(case.control, waiting("approval"), "it waits for a person")
    assert (await floor.decide(waiting("approval")(trace)["id"], approved=True)).status == 200
    await floor.until(case.control, ended("requisition-to-order"), "it is ordered")
    await floor.ehr("DELETE", f"/sim/cases/{case.number}")
    trace = await floor.until(case.control, waiting("case-cancelled"), "the buyer is asked")
    assert await floor.reserved(HEAD) == 0
    task = waiting("case-cancelled")(trace)
    assert task["owner"] == "supply-chain"
    assert (await floor.resolve(task, answer, "as the surgeon says")).status == 200
    await floor.until(case.control, ended("case-demand", 2), "the case is cancelled")
    [(_, gone, _)] = await supplier_orders(floor)
    assert gone == (answer == "compensate")
    assert (await books(floor) == before) == gone
