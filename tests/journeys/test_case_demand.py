"""A case is scheduled, moved, cancelled: what is reserved and bought for it."""

from decimal import Decimal

from gateway.demo.stage import Stage
from tests.journeys.front_doors import Floor, at_noon, ended, flows, outputs, waiting

HIP, HEAD = "27130", "IMP-20003"
"""The head has two in stock and a safety of two: any hip brings it under."""


async def test_a_declined_shortage_ends_without_an_order_and_an_approved_one_with_it(stage: Stage):
    floor = Floor(stage)
    declined, approved = await floor.schedule(HIP), await floor.schedule(HIP)
    before = await floor.documents()

    trace = await floor.until(declined.control, waiting("approval"), "the approval is asked")
    requisition = outputs(trace, "requisition in the ERP")[0]
    assert [line["item"] for line in requisition["lines"]] == [HEAD]
    assert before["purchaseOrders"] == 0

    assert (await floor.decide(requisition["number"], approved=False)).status == 200
    trace = await floor.until(declined.control, ended("requisition-to-order"), "it is declined")
    assert flows(trace, "requisition-to-order")[0]["result"]["approval"]["approved"] is False
    await floor.until(declined.control, lambda t: t["status"] == "done", "nothing is left to do")

    trace = await floor.until(approved.control, waiting("approval"), "the second one is asked")
    assert (await floor.decide(waiting("approval")(trace)["id"], approved=True)).status == 200
    trace = await floor.until(
        approved.control, lambda t: outputs(t, "850 to the supplier"), "the order is out"
    )
    assert len((await floor.erp())["purchaseOrders"]) == 1


async def test_a_case_that_moves_is_reserved_once_and_a_cancelled_one_not_at_all(stage: Stage):
    floor = Floor(stage)
    case = await floor.schedule(HIP)
    await floor.until(case.control, ended("case-demand"), "the case is reserved")
    assert await floor.reserved("IMP-20001") == Decimal(1)

    moved = await floor.ehr("PUT", f"/sim/cases/{case.number}", start=at_noon(3))
    trace = await floor.until(case.control, ended("case-demand", 2), "the case has moved")
    released = outputs(trace, "release the earlier reservation")[0]["number"]
    reserved = [each["number"] for each in outputs(trace, "reserve the items")]
    assert reserved[0] == released
    assert len(set(reserved)) == 2
    assert await floor.reserved("IMP-20001") == Decimal(1)
    assert (await floor.trace(moved["controlId"]))["id"] == trace["id"]

    await floor.ehr("DELETE", f"/sim/cases/{case.number}")
    await floor.until(case.control, ended("case-demand", 3), "the case is cancelled")
    assert await floor.reserved("IMP-20001") == Decimal(0)
    assert (await floor.erp())["materialDocuments"] == []
