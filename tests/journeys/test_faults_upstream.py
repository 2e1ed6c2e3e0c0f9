"""Systems that are away, slow, or forget to say that they did it: the flow waits, tries again, and
there is one document of each kind. Other stories go on meanwhile.
"""

from collections import Counter
from decimal import Decimal
from itertools import cycle
from typing import Any

import pytest

from gateway.demo.stage import Stage
from tests.journeys.front_doors import Floor, at_noon, ended, flows, hops, outputs, waiting

LINES = (
    {"udi": "(01)00844588017339(17)280331(10)LIMP002A"},
    {"code": "SURG-88301", "quantity": "30", "lot": "LCON001A"},
)
"""A femoral component that stays above par, and sutures that fall below: one box type is bought."""

PATHS = (
    "A_ReservationDocumentHeader",
    "A_MaterialDocumentHeader",
    "journalentrycreaterequestconfi",
    "A_PurchaseRequisitionHeader",
    "A_PurchaseOrder",
    "A_SupplierInvoice",
)
"""Every document the ERP is asked to make, in the order of the story; a movement comes twice."""


async def knee_to_invoice(floor: Floor) -> str:
    """Tell a whole story; return its transaction."""
    case = await floor.schedule("27447")
    await floor.until(case.control, ended("case-demand"), "the case is reserved")
    await floor.use(case, *LINES)
    trace = await floor.until(
        case.control, lambda t: outputs(t, "850 to the supplier"), "the sutures are ordered"
    )
    order = outputs(trace, "purchase order in the ERP")[0]
    await receive(floor, order)
    trace = await floor.until(
        case.control,
        lambda t: ended("invoice-matching")(t) and ended("order-to-receipt")(t),
        "the invoice is posted",
    )
    return str(trace["id"])


async def receive(floor: Floor, order: Any) -> None:
    """Scan everything of an order at the dock."""
    lines = [
        {
            "code": line["supplierSku"],
            "quantity": line["quantity"],
            "lot": f"L{order['number']}-{line['line']}",
        }
        for line in order["lines"]
    ]
    body = {"order": order["number"], "receivedAt": at_noon(0), "lines": lines}
    await floor.stage.people["scanner"].call("POST", "/experience/v1/mobile/receipts", json=body)


async def one_of_each(floor: Floor) -> None:
    """The books after one story: no document twice, stock moved once, the journal in balance."""
    state = await floor.erp()
    kinds = Counter(each["inventoryTransactionType"] for each in state["materialDocuments"])
    assert kinds == {"WA": 1, "WE": 1}
    assert len(state["requisitions"]) == len(state["purchaseOrders"]) == 1
    assert len(state["supplierInvoices"]) == 1
    assert state["reservations"] == 1
    assert await floor.stock("CON-60001") == 60 - 30 + 12
    assert await floor.stock("IMP-10002") == 7
    assert Decimal(state["journal"]["sum"]) == 0
    assert await floor.tasks() == []
    sent = (await floor.stage.supplier.get("/sim/orders")).json()["orders"]
    assert len(sent) == 1


@pytest.mark.parametrize("kinds", [("5xx-after-commit",), ("5xx-before", "lost-answer")])
async def test_every_write_fails_once_and_every_document_exists_once(
    stage: Stage, kinds: tuple[str, ...]
):
    floor = Floor(stage)
    for path, kind in zip(PATHS, cycle(kinds), strict=False):
        await floor.fault(path, kind)
    await floor.fault(PATHS[1], kinds[-1])
    for fault in ("before", "after-commit"):
        (await stage.ehr.post("/sim/faults", json={"kind": fault})).raise_for_status()
    transaction = await knee_to_invoice(floor)
    await one_of_each(floor)
    charges = (await stage.ehr.get("/fhir/ChargeItem")).json()["total"]
    assert charges == len(LINES)
    assert "waiting to try again" in hops(await floor.trace(transaction))


async def test_down_slow_and_throttled_hold_one_story_and_not_the_others(stage: Stage):
    floor = Floor(stage)
    await floor.fault("A_PurchaseOrder", "down", times=2)
    await floor.fault("A_PurchaseOrder", "throttled")
    await floor.fault("A_Supplier", "slow", method="GET")
    held = await floor.buy("IMP-30001")
    other = await floor.schedule("27130")
    trace = await floor.until(other.control, waiting("approval"), "another case goes on")
    assert flows(trace, "case-demand")[0]["status"] == "done"
    assert outputs(await floor.trace(held), "purchase order in the ERP") == []
    trace = await floor.until(held, ended("requisition-to-order"), "the order comes at last")
    assert hops(trace).count("purchase order in the ERP") == 1
    retried = [hop for hop in trace["hops"] if hop["name"] == "waiting to try again"]
    assert {hop["outcome"] for hop in retried} >= {"upstream-failed", "upstream-throttled"}
    assert len((await floor.erp())["purchaseOrders"]) == 1


async def test_a_garbled_answer_is_looked_at_by_a_person_and_the_retry_finds_the_charge(
    stage: Stage,
):
    floor = Floor(stage)
    (await stage.ehr.post("/sim/faults", json={"kind": "garbled"})).raise_for_status()
    case = await floor.schedule("27447")
    await floor.until(case.control, ended("case-demand"), "the case is reserved")
    await floor.use(case, *LINES)
    task = await floor.task("upstream-garbled")
    assert task["owner"] == "it-operations"
    assert (await floor.resolve(task, "retry", "they had a hiccup")).status == 200
    await floor.until(case.control, ended("usage-to-replenishment"), "it is charged")
    charges = (await stage.ehr.get("/fhir/ChargeItem")).json()["entry"]
    names = [each["resource"]["identifier"][0]["value"] for each in charges]
    assert len(names) == len(set(names)) == len(LINES)
    assert (await floor.documents())["materialDocuments"] == 1


async def test_a_supplier_that_fails_after_it_took_the_order_gets_it_once(stage: Stage):
    floor = Floor(stage)
    await floor.behave("5xx-after-commit")
    transaction = await floor.buy("IMP-30002")
    trace = await floor.until(
        transaction, lambda t: outputs(t, "850 to the supplier"), "the order is out"
    )
    await floor.until(transaction, lambda t: "855, 856 or receipt" in hops(t), "it is answered")
    (order,) = (await stage.supplier.get("/sim/orders")).json()["orders"]
    assert order["received"] == 2, "the same interchange again, not a second order"
    assert "waiting to try again" in hops(trace)
