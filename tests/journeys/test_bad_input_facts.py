"""Facts that do not allow it: a task before anything is posted, the fix, and then it completes."""

from datetime import date
from decimal import Decimal
from typing import Any

from canonical.contract import ContractPrice
from canonical.item import ItemCode, ItemId
from canonical.money import Money
from gateway.demo.stage import Stage
from gateway.master_data import FacilityPack
from tests.journeys.front_doors import (
    FACILITY,
    ROOM,
    Case,
    Floor,
    at_noon,
    ended,
    flows,
    outputs,
    person,
    reporter,
    requisition,
)

KNEE = "27447"
SUTURE = {"code": "SURG-88301", "quantity": "4", "lot": "LCON001A"}


async def loaded(stage: Stage, **pack: Any) -> None:
    await stage.running.parts.systems.records.load(FacilityPack(**pack), by="journey")


async def used(floor: Floor, case: Case, *lines: dict[str, Any]) -> str:
    """Report usage; return its transaction."""
    control = await floor.use(case, *lines)
    await floor.sent(control)
    return str((await floor.trace(control))["id"])


async def knee(floor: Floor) -> Case:
    case = await floor.schedule(KNEE)
    await floor.until(case.control, ended("case-demand"), "the case is reserved")
    return case


UNPOSTABLE = (
    ({"code": "SURG-99999", "lot": "L1"}, "unknown-item", "crosswalk"),
    ({"udi": "(01)00841470100100(10)LCON001A"}, "inactive-item", "replace the item"),
    ({"code": "SURG-88301", "unit": "PA", "lot": "LCON001A"}, "wrong-unit", "unit"),
    ({"code": "SURG-88301", "lot": "NEVER-SEEN"}, "unknown-lot", ""),
    ({"code": "SURG-88301"}, "unknown-lot", ""),
    ({"udi": "(01)00844588017735(10)TI2142A"}, "unknown-lot", ""),  # no serial
)
"""A line of usage, the reason of its task, and a word of what would help."""


async def test_usage_that_cannot_be_posted_is_a_task_and_nothing_of_it_is_posted(stage: Stage):
    floor = Floor(stage)
    case = await knee(floor)
    before = await floor.documents()
    for place, (line, reason, fix) in enumerate(UNPOSTABLE):
        transaction = await used(floor, case, SUTURE, line)
        task = await floor.task(reason, transaction=transaction)
        assert task["actions"] == ["retry", "correct", "abandon"]
        assert task["owner"] == "supply-chain"
        assert fix in task["fix"], task
        assert await floor.documents() == before, reason
        assert (await floor.resolve(task, "abandon", "documented by mistake")).status == 200
        trace = await floor.trace(transaction)
        assert flows(trace, "usage-to-replenishment")[place]["status"] == "abandoned"
        resolved = next(each for each in trace["tasks"] if each["id"] == task["id"])
        assert resolved["resolution"]["reason"] == "documented by mistake"
        assert resolved["resolution"]["by"] == "demo-operator"
    assert await floor.stock("CON-60001") == 60


async def test_the_missing_code_is_added_and_the_retry_posts_the_whole_usage(stage: Stage):
    floor = Floor(stage)
    transaction = await used(
        floor, await knee(floor), SUTURE, {"code": "SURG-77777", "lot": "LIMP004A"}
    )
    task = await floor.task("unknown-item", transaction=transaction)

    assert (await floor.resolve(task, "abandon")).body["where"] == "$.reason"
    odd = await floor.resolve(task, "approve")
    assert (odd.status, odd.body["expected"]) == (400, "one of retry, correct, abandon")
    assert (await floor.resolve(task, "dance")).status == 400
    assert (await floor.resolve(task, "retry")).status == 200
    again = await floor.task("unknown-item", transaction=transaction)
    assert again["id"] != task["id"], "not yet corrected: stuck again, as a new task"
    late = await floor.resolve(task, "retry")
    assert (late.status, late.slug) == (409, "state-conflict")

    code = ItemCode(scheme="ehr", value="SURG-77777", issuer="GENERAL")
    await loaded(stage, codes=((code, ItemId("IMP-10004")),))
    assert (await floor.resolve(again, "retry", "code added")).status == 200
    trace = await floor.until(transaction, ended("usage-to-replenishment"), "it is posted")
    assert len(outputs(trace, "post the consumption")) == 1
    assert (await floor.stock("CON-60001"), await floor.stock("IMP-10004")) == (56, 3)
    assert Decimal((await floor.erp())["journal"]["sum"]) == 0


async def test_what_may_not_be_bought_is_a_task_before_the_erp_hears_of_it(stage: Stage):
    floor = Floor(stage)
    before = await floor.documents()
    for item, change, reason, fix in (
        ("IMP-20005", {}, "no-contract-price", "contract"),
        ("CON-90001", {}, "inactive-item", "another item"),
        ("NO-ITEM", {"supplier": "17300001"}, "unknown-item", "crosswalk"),
        ("CON-60001", {"supplier": "17300009"}, "unknown-supplier", "unblock"),
        ("CON-60001", {"supplier": "17399999"}, "unknown-supplier", ""),
        ("CON-60001", {"costCenter": "CC-XR-4790"}, "unknown-cost-center", "open"),
        ("CON-60001", {"costCenter": "CC-NOWHERE"}, "unknown-cost-center", ""),
        ("IMP-10002", {"costCenter": "CC-LB-4730"}, "budget-exceeded", "budget"),
        ("CON-60001", {"lines": line("CON-60001", "1", "PA")}, "wrong-unit", "unit"),
    ):
        transaction = await floor.buy(item, **change)
        task = await floor.task(reason, transaction=transaction)
        assert task["affected"] == f"Requisition for {ROOM} in {FACILITY}"
        assert fix in task["fix"], task
        assert (await floor.resolve(task, "abandon", "will be bought otherwise")).status == 200
    assert await floor.documents() == before
    told = await floor.operator.call("GET", "/experience/v1/operations/transactions")
    assert {each["status"] for each in told["items"]} == {"done"}


def line(item: str, value: str, unit: str) -> list[dict[str, Any]]:
    return [{"item": item, "quantity": {"value": value, "unit": unit}}]


async def test_a_new_contract_lets_the_waiting_requisition_pass(stage: Stage):
    floor = Floor(stage)
    transaction = await floor.buy("IMP-20005")
    task = await floor.task("no-contract-price", transaction=transaction)
    assert "2025-12-31" in task["detail"]
    contract = ContractPrice(
        contract="4600000199",
        supplier="17300001",
        item=ItemId("IMP-20005"),
        unit="EA",
        price=Money(amount=Decimal("905.00")),
        valid_from=date(2026, 1, 1),
        valid_to=date(2029, 12, 31),
        supplier_sku="0008-0-3202",
    )
    await loaded(stage, contracts=(contract,))
    assert (await floor.resolve(task, "retry", "contract extended")).status == 200
    trace = await floor.until(transaction, ended("requisition-to-order"), "it is ordered")
    order = outputs(trace, "purchase order in the ERP")[0]
    assert order["total"] == {"amount": "905.00", "currency": "USD"}
    assert len((await floor.erp())["requisitions"]) == 1


async def test_usage_over_http_meets_the_same_rules(stage: Stage):
    floor = Floor(stage)
    who = await reporter(stage)
    body = {
        "facility": FACILITY,
        "location": ROOM,
        "occurredAt": at_noon(0),
        "encounter": "V-HTTP-1",
        "patientId": "MRN-000042",
        "lines": [
            {
                "codes": [{"scheme": "erp", "value": "CON-60003"}],
                "quantity": {"value": "1", "unit": "PA"},
                "lot": "LCON003A",
            }
        ],
    }
    handed = await floor.send(who, "POST", "/process/v1/usage", json=body)
    assert handed.status == 202
    task = await floor.task("wrong-unit", transaction=handed.body["transaction"])
    assert "EA, BX" in task["detail"]
    assert "MRN-000042" not in str(await floor.trace(handed.body["transaction"]))
    nobody = await person(stage, "reader", "process.tasks:read")
    assert (await floor.send(nobody, "POST", "/process/v1/usage", json=body)).status == 403
    body |= {"location": "MOON", "encounter": "V-HTTP-2"}
    handed = await floor.send(who, "POST", "/process/v1/usage", json=body)
    assert await floor.task("unknown-location", transaction=handed.body["transaction"])
    refused = await floor.send(
        who, "POST", "/process/v1/requisitions", json=requisition("CON-60001", lines=[])
    )
    assert refused.status == 400
    assert (await floor.erp())["materialDocuments"] == []
