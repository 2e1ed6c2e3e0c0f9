"""Who may let a requisition pass, and how often."""

from gateway.demo.stage import Stage
from tests.journeys.front_doors import Floor, ended, flows, person, reporter, requisition, waiting

DEAR, CHEAP = ("IMP-10002", 2), ("CON-60001", 12)
"""4,760 USD, and one box of 75 USD: above and within what the rule approves."""


async def test_only_an_approver_who_did_not_ask_decides_and_only_once(stage: Stage):
    floor = Floor(stage)
    clerk = await person(stage, "clerk", "process.requisitions:write", "process.tasks:write")
    asked = await floor.operator.call(
        "POST", "/process/v1/requisitions", json=requisition(*DEAR), headers={}
    )
    name = asked["id"]
    trace = await floor.until(asked["transaction"], waiting("approval"), "approval is asked")
    task = waiting("approval")(trace)
    path = f"/process/v1/requisitions/{name}/decision"

    yes = {"approved": True, "reason": "needed"}
    for who, status, slug in (
        (floor.operator, 403, "forbidden"),  # the one who asked for it
        (clerk, 403, "forbidden"),  # no scope
    ):
        refused = await floor.send(who, "POST", path, json=yes)
        assert (refused.status, refused.slug) == (status, slug), who.client
    around = await floor.send(
        clerk, "POST", f"/process/v1/tasks/{task['id']}/resolution", json={"action": "approve"}
    )
    assert (around.status, around.slug) == (409, "state-conflict"), "no way around the approver"
    mute = await floor.decide(name, approved=False, reason=" ")
    assert (mute.status, mute.body["where"]) == (400, "$.reason")
    assert (await floor.documents())["purchaseOrders"] == 0

    assert (await floor.decide(name, approved=True)).status == 200
    await floor.until(asked["transaction"], ended("requisition-to-order"), "it is ordered")
    again = await floor.decide(name, approved=False)
    assert (again.status, again.slug) == (409, "state-conflict")
    assert (await floor.documents())["purchaseOrders"] == 1
    trace = await floor.trace(asked["transaction"])
    approval = flows(trace, "requisition-to-order")[0]["result"]["approval"]
    assert (approval["approved"], approval["by"]) == (True, "demo-approver")


async def test_what_is_within_the_rule_needs_nobody_and_there_is_nothing_to_decide(stage: Stage):
    floor = Floor(stage)
    asked = (
        await floor.send(
            await reporter(stage), "POST", "/process/v1/requisitions", json=requisition(*CHEAP)
        )
    ).body
    trace = await floor.until(
        asked["transaction"], ended("requisition-to-order"), "the rule approves"
    )
    approval = flows(trace, "requisition-to-order")[0]["result"]["approval"]
    assert (approval["approved"], approval["by"]) == (True, "approval rule")
    for name in (asked["id"], "10009999", "nobody-knows"):
        unknown = await floor.decide(name, approved=True)
        assert (unknown.status, unknown.slug) == (404, "not-found"), name
