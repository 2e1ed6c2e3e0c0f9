"""A case that is near makes everything bought for it urgent, up to the last hop; and it shows."""

import pytest

from gateway.demo.stage import Stage
from tests.journeys.front_doors import Floor, eventually, outputs, waiting
from tests.journeys.test_case_demand import HIP

BOARD = "/experience/v1/operations/deadlines"


async def groups(floor: Floor) -> dict[tuple[str, str], dict]:
    board = await floor.operator.call("GET", BOARD)
    assert board["waiting"] == sum(group["waiting"] for group in board["groups"])
    return {(group["tier"], group["kind"]): group for group in board["groups"]}


@pytest.mark.parametrize(("days", "tier"), [(1, "critical"), (9, "urgent")])
async def test_the_tier_of_a_case_goes_with_its_requisition_order_and_deadlines(
    stage: Stage, days: int, tier: str
):
    floor = Floor(stage)
    case = await floor.schedule(HIP, days=days)
    trace = await floor.until(case.control, waiting("approval"), "the approval is asked")
    task = waiting("approval")(trace)
    assert (task["tier"], task["dueAt"] is not None) == (tier, True)
    assert task["affected"].startswith("case case_")
    assert HIP in task["affected"]
    assert case.number not in str(task)

    found = await groups(floor)
    assert found[tier, "approval"]["waiting"] == 1
    assert found[tier, "approval"]["pressing"][0]["transaction"] == trace["id"]
    decided = next(hop for hop in trace["hops"] if hop["name"] == "criticality tier")
    assert decided["versions"]["rule"] == "tier-rules/1"

    await floor.decide(task["id"], approved=True)
    trace = await floor.until(
        case.control, lambda t: outputs(t, "850 to the supplier"), "the order is out"
    )

    async def goods_are_due() -> dict | None:
        return (await groups(floor)).get((tier, "replenishment"))

    due = await eventually(goods_are_due, "the goods are on the board")
    [goods] = due["pressing"]
    assert (goods["transaction"], goods["overdue"]) == (trace["id"], False)
    assert "OR01 in 1710" in goods["affected"]
    [resolved] = [each for each in trace["tasks"] if each["id"] == task["id"]]
    assert resolved["resolutionSeconds"] >= 0
