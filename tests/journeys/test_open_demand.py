"""A requisition that is declined leaves nothing behind; a case that moves asks once."""

from gateway.demo.stage import Stage
from tests.journeys.front_doors import Floor, at_noon, ended, flows, outputs, requisition, waiting

HIP, HEAD = "27130", "IMP-20003"


async def test_a_declined_requisition_is_withdrawn_and_its_budget_freed(stage: Stage):
    floor = Floor(stage)
    before = (await floor.erp())["committed"]
    asked = await floor.operator.call(
        "POST", "/process/v1/requisitions", json=requisition("IMP-10002", 2), headers={}
    )
    await floor.until(asked["transaction"], waiting("approval"), "asked")
    assert len((await floor.erp())["openRequisitions"]) == 1
    assert (await floor.erp())["committed"] != before
    await floor.fault("PURCHASEREQ", "lost-answer", method="PATCH")
    assert (await floor.decide(asked["id"], approved=False)).status == 200
    trace = await floor.until(asked["transaction"], ended("requisition-to-order"), "declined")
    assert outputs(trace, "withdraw the requisition in the ERP")
    state = await floor.erp()
    assert (state["openRequisitions"], state["committed"], state["purchaseOrders"]) == (
        [],
        before,
        [],
    )


async def test_a_case_that_moves_before_approval_asks_once(stage: Stage):
    floor = Floor(stage)
    case = await floor.schedule(HIP)
    await floor.until(case.control, waiting("approval"), "asked")
    await floor.ehr("PUT", f"/sim/cases/{case.number}", start=at_noon(3))
    trace = await floor.until(case.control, ended("case-demand", 2), "moved")
    assert len((await floor.erp())["requisitions"]) == 1
    assert len(flows(trace, "requisition-to-order")) == 1
