"""What suppliers make of an order: straight through, or one question to the right person."""

from decimal import Decimal
from typing import Any

from gateway.demo.stage import Stage
from tests.journeys.front_doors import (
    FACILITY,
    ROOM,
    Floor,
    at_noon,
    ended,
    flows,
    outputs,
    waiting,
)

BOX, OTHER = "CON-60001", "CON-60002"
"""Two boxes of each are ordered: lines 10 (75.00 the box) and 20 (69.00)."""

DEVIATION, MISMATCH = "acknowledgement-deviates", "match-exception"

Told = tuple[str, ...]


async def ordered(floor: Floor, behaviour: str) -> str:
    """Order two lines of two boxes from a supplier that behaves so; return the transaction."""
    await floor.behave(behaviour)
    lines = [{"item": item, "quantity": {"value": "24", "unit": "EA"}} for item in (BOX, OTHER)]
    transaction = await floor.buy(BOX, lines=lines)
    await floor.until(transaction, lambda t: outputs(t, "850 to the supplier"), "it is ordered")
    return transaction


def order_of(trace: Any) -> str:
    return str(outputs(trace, "purchase order in the ERP")[0]["number"])


def news(trace: Any, event: str) -> list[Any]:
    found = (hop for hop in trace["hops"] if hop["kind"] == "message")
    return [hop["output"] for hop in found if hop["why"] == event]


async def received(floor: Floor, trace: Any, *lines: tuple[int, str, str]) -> Any:
    """Take in (line, quantity, unit), or what the ship notice says; return the trace after it."""
    counted = [
        {"line": line, "quantity": {"value": value, "unit": unit}} for line, value, unit in lines
    ] or [
        {"line": line["orderLine"], "quantity": line["quantity"]}
        for line in news(trace, "shipment-notified")[0]["lines"]
    ]
    body = {
        "order": order_of(trace),
        "receivedAt": at_noon(0),
        "lines": [
            {
                "code": {10: BOX, 20: OTHER}[line["line"]],
                "quantity": line["quantity"],
                "lot": f"LNEW-{line['line']}",
            }
            for line in counted
        ],
    }
    await floor.stage.people["scanner"].call("POST", "/experience/v1/mobile/receipts", json=body)
    count = len(flows(trace, "receiving")) + 1
    return await floor.until(trace["id"], ended("receiving", count), "the goods are taken in")


async def on_order(floor: Floor, item: str) -> Decimal:
    """What replenishment counts on, as the ERP says it through the gateway."""
    query = {"item": item, "facility": FACILITY, "location": ROOM}
    level = await floor.operator.call("GET", "/system/v1/erp/stock", params=query)
    return Decimal(level["onOrder"])


async def test_suppliers_that_do_as_asked_go_straight_through_also_when_they_say_it_twice(
    stage: Stage,
):
    floor = Floor(stage)
    for behaviour in ("accept", "duplicate", "lost-acknowledgement", "discount-terms"):
        transaction = await ordered(floor, behaviour)
        trace = await floor.until(
            transaction, lambda t: flows(t, "invoice-matching"), f"{behaviour}: it is billed"
        )
        await received(floor, trace)
        trace = await floor.until(
            transaction,
            lambda t: ended("invoice-matching")(t) and ended("order-to-receipt")(t),
            f"{behaviour}: it is matched",
        )
        assert trace["tasks"] == [], behaviour
        assert len(flows(trace, "invoice-matching")) == 1, behaviour
        (delivered,) = [each["result"] for each in flows(trace, "order-to-receipt")]
        assert (delivered["complete"], len(delivered["shipments"])) == (True, 1), behaviour
    state = await floor.erp()
    assert len(state["supplierInvoices"]) == len(state["purchaseOrders"]) == 4
    assert await floor.stock(BOX) == 60 + 4 * 24
    assert await floor.tasks() == []
    for order in (await stage.supplier.get("/sim/orders")).json()["orders"]:
        assert {document["status"] for document in order["documents"]} == {200}


ANSWERS: dict[str, Told] = {
    "backorder": ("line 10: backordered", "line 20: backordered"),
    "partial-backorder": ("line 10: 1 BX backordered", "line 20: 1 BX backordered"),
    "partial-backorder-over-several-acks": ("line 10: 1 BX backordered",),
    "line-rejection": ("line 10: rejected",),
    "price-discrepancy": ("line 10: price 82.5 USD instead of 75.00 USD",),
    "quantity-discrepancy": ("line 10: quantity 1 instead of 2",),
    "uom-discrepancy": ("line 10: unit EA instead of BX",),
    "vendor-part-discrepancy": ("line 10: part L-560B-R instead of L-560B",),
}
"""What the buyer is told about each answer that differs."""


async def test_every_answer_that_differs_is_the_buyers_question_line_by_line(stage: Stage):
    floor = Floor(stage)
    asked = {behaviour: await ordered(floor, behaviour) for behaviour in ANSWERS}
    for behaviour, transaction in asked.items():
        trace = await floor.until(
            transaction, waiting(DEVIATION), f"{behaviour}: the buyer is asked"
        )
        task = waiting(DEVIATION)(trace)
        for words in ANSWERS[behaviour]:
            assert words in task["detail"].split("; "), (behaviour, task["detail"])
        if behaviour in ("price-discrepancy", "vendor-part-discrepancy"):
            assert "line 20" not in task["detail"]
        assert (task["owner"], task["actions"]) == ("supply-chain", ["accept", "reject", "abandon"])
    assert len((await floor.erp())["supplierInvoices"]) == 0


async def test_an_accepted_change_is_what_the_order_then_waits_for(stage: Stage):
    floor = Floor(stage)
    for behaviour in (
        "quantity-discrepancy",
        "line-rejection",
        "partial-backorder-over-several-acks",
        "partial-backorder",
    ):
        transaction = await ordered(floor, behaviour)
        trace = await floor.until(transaction, waiting(DEVIATION), f"{behaviour}: asked")
        assert (await floor.resolve(waiting(DEVIATION)(trace), "accept")).status == 200
        trace = await floor.until(transaction, lambda t: flows(t, "invoice-matching"), "billed")
        await received(floor, trace)
        trace = await floor.until(transaction, ended("invoice-matching"), f"{behaviour}: paid")
        if behaviour == "partial-backorder":
            assert not ended("order-to-receipt")(trace)
            trace = await received(floor, trace, (10, "1", "BX"), (20, "1", "BX"))
        trace = await floor.until(transaction, ended("order-to-receipt"), f"{behaviour}: done")
        assert flows(trace, "order-to-receipt")[0]["result"]["complete"] is True
        assert len(trace["tasks"]) == 1, f"{behaviour}: asked once, also where it answers twice"
        coming = [await on_order(floor, item) for item in (BOX, OTHER)]
        assert coming == [0, 0], f"{behaviour}: nobody counts on what will not come"


async def test_a_rejected_answer_waits_for_another_and_a_given_up_order_ends(stage: Stage):
    floor = Floor(stage)
    transaction = await ordered(floor, "backorder")
    trace = await floor.until(transaction, waiting(DEVIATION), "the buyer is asked")
    task = waiting(DEVIATION)(trace)
    assert (await floor.resolve(task, "reject")).status == 400
    assert (await floor.resolve(task, "reject", "too late for us")).status == 200
    trace = await floor.until(
        transaction,
        lambda t: flows(t, "order-to-receipt")[0]["waitsFor"].startswith("855"),
        "waits",
    )
    assert (await floor.resolve(task, "accept")).status == 409

    transaction = await ordered(floor, "line-rejection")
    trace = await floor.until(transaction, waiting(DEVIATION), "the buyer is asked")
    gone = await floor.resolve(waiting(DEVIATION)(trace), "abandon", "bought elsewhere")
    assert gone.status == 200
    trace = await floor.until(transaction, ended("order-to-receipt"), "it is given up")
    assert flows(trace, "order-to-receipt")[0]["result"]["complete"] is False
    assert await on_order(floor, BOX) == 24, "the first order's, not the second's"


BILLS: dict[str, Told] = {
    "added-taxes": ("charges of 23.04 that were not ordered",),
    "shipping-charges": ("charges of 25.00 that were not ordered",),
    "both-taxes-and-shipping": ("charges of 48.04 that were not ordered",),
    "invoice-price": (
        "line 10: price 82.5 instead of 75.00",
        "line 20: price 75.9 instead of 69.00",
    ),
}
"""What accounts payable is told about each bill that differs, once the goods are here."""


async def test_every_bill_that_differs_is_accounts_payables_question_line_by_line(stage: Stage):
    floor = Floor(stage)
    asked = {behaviour: await ordered(floor, behaviour) for behaviour in BILLS}
    decisions = iter(("accept", "reject", "retry", "accept"))
    accepted = 0
    for behaviour, transaction in asked.items():
        trace = await floor.until(transaction, waiting(MISMATCH), f"{behaviour}: asked")
        await received(floor, trace)
        task = waiting(MISMATCH)(await floor.trace(transaction))
        assert task["owner"] == "accounts-payable"
        assert (await floor.resolve(task, "retry", "the goods are here")).status == 200
        trace = await floor.until(
            transaction,
            lambda t, known=task: (waiting(MISMATCH)(t) or known)["id"] != known["id"],
            f"{behaviour}: asked again",
        )
        task = waiting(MISMATCH)(trace)
        assert task["detail"].split("; ") == list(BILLS[behaviour]), behaviour
        action = next(decisions)
        assert (await floor.resolve(task, action, "as agreed by telephone")).status == 200
        accepted += action == "accept"
        if action == "retry":
            continue
        trace = await floor.until(transaction, ended("invoice-matching"), f"{behaviour}: ended")
        assert flows(trace, "invoice-matching")[0]["result"]["outcome"] == f"{action}ed"
    invoices = (await floor.erp())["supplierInvoices"]
    assert len(invoices) == accepted == 2
    assert Decimal((await floor.erp())["journal"]["sum"]) == 0


async def test_a_short_shipment_is_paid_when_the_rest_has_come(stage: Stage):
    floor = Floor(stage)
    transaction = await ordered(floor, "short-shipment")
    trace = await floor.until(transaction, lambda t: flows(t, "invoice-matching"), "it is billed")
    trace = await received(floor, trace)
    trace = await floor.until(
        transaction,
        lambda t: flows(t, "invoice-matching")[0]["waitsFor"] == "goods for the invoice #2",
        "the invoice waits for the missing box",
    )
    assert (await floor.erp())["supplierInvoices"] == []
    await received(floor, trace, (10, "12", "EA"))
    trace = await floor.until(
        transaction,
        lambda t: ended("invoice-matching")(t) and ended("order-to-receipt")(t),
        "it is matched",
    )
    assert trace["tasks"] == []
    assert len((await floor.erp())["supplierInvoices"]) == 1


async def test_a_bill_by_another_unit_is_rejected_and_nothing_is_posted(stage: Stage):
    floor = Floor(stage)
    transaction = await ordered(floor, "uom-discrepancy")
    trace = await floor.until(
        transaction, lambda t: waiting(MISMATCH)(t) and waiting(DEVIATION)(t), "both are asked"
    )
    assert "line 10: billed by EA, ordered by BX" in waiting(MISMATCH)(trace)["detail"]
    assert (await floor.resolve(waiting(DEVIATION)(trace), "accept")).status == 200
    trace = await received(floor, trace)
    assert (await floor.stock(BOX), await floor.stock(OTHER)) == (62, 60)
    refused = await floor.resolve(waiting(MISMATCH)(trace), "reject", "bill it by the box")
    assert refused.status == 200
    await floor.until(transaction, ended("invoice-matching"), "it is rejected")
    assert (await floor.erp())["supplierInvoices"] == []
