"""The same thing told twice is done once; another thing under the same name is a question."""

from typing import Any

from gateway.demo.stage import Stage
from tests.journeys.front_doors import (
    FACILITY,
    ROOM,
    Case,
    Floor,
    at_noon,
    ended,
    flows,
    outputs,
    reporter,
    requisition,
)

UDI = "(01)00844588017735(17)270630(10)TI2142A(21)TI-000101"
OTHER_UDI = "(01)00844588017735(17)270630(10)TI2142A(21)TI-000102"
INSERT, SUTURE = "IMP-10001", "CON-60001"
ER7 = {"content-type": "x-application/hl7-v2+er7"}


async def knee(floor: Floor) -> Case:
    case = await floor.schedule("27447")
    await floor.until(case.control, ended("case-demand"), "the case is reserved")
    return case


async def test_a_message_sent_again_gets_the_same_acknowledgement_and_no_second_effect(
    stage: Stage,
):
    floor = Floor(stage)
    case = await knee(floor)
    usage = await floor.use(case, {"udi": UDI}, {"code": "SURG-88301", "lot": "LCON001A"})
    fhir = await floor.use(case, {"udi": OTHER_UDI}, via="fhir")
    trace = await floor.until(case.control, ended("usage-to-replenishment", 2), "both are posted")
    told = clinical(trace)

    for control in (case.control, usage, fhir):
        for _ in range(2):
            (await stage.ehr.post(f"/sim/resend/{control}")).raise_for_status()
            assert (await floor.sent(control))["status"] == "accepted"
    messages = (await stage.ehr.get("/sim/messages")).json()["messages"]
    for message in messages:
        assert len(message["answers"]) == message["attempts"] == 3
        assert set(message["answers"]) <= {"AA", "200"}
    trace = await floor.trace(case.control)
    assert clinical(trace) == told == ["SIU^S12", "DFT^P03", "FHIR Bundle"]
    assert (len(flows(trace, "case-demand")), len(flows(trace, "usage-to-replenishment"))) == (1, 2)
    assert (await floor.stock(INSERT), await floor.stock(SUTURE)) == (2, 59)
    assert [task for task in await floor.tasks() if task["kind"] != "decision"] == []


def clinical(trace: Any) -> list[str]:
    """The clinical documents of a transaction, in order."""
    names = [hop["name"].removesuffix(" received") for hop in trace["hops"]]
    return [name for name in names if name.startswith(("SIU", "DFT", "FHIR"))]


async def test_a_control_id_with_other_content_is_rejected_and_becomes_a_question(stage: Stage):
    floor = Floor(stage)
    first = hl7("DUP-1", "4")
    other = hl7("DUP-1", "5")
    answers = [await over_http(floor, body) for body in (first, first, other, other)]
    assert answers[0] == answers[1], "byte for byte the same"
    assert b"MSA|AA|DUP-1" in answers[0]
    assert b"MSA|AR|DUP-1" in answers[2]
    assert b"205^Duplicate key identifier" in answers[2]
    task = await floor.task("identity-conflict")
    assert (task["owner"], task["kind"]) == ("integration", "refused")
    assert answers[2] == answers[3]
    assert len(await floor.tasks()) == 1, "also the other content is one question"
    await floor.until("DUP-1", ended("usage-to-replenishment"), "the first one is posted")
    assert await floor.stock(SUTURE) == 56


async def over_http(floor: Floor, body: str) -> bytes:
    answer = await floor.send(
        floor.stage.people["ehr"], "POST", "/system/v1/ehr/hl7v2", content=body, headers=ER7
    )
    assert answer.status == 200
    return answer.raw


def hl7(control: str, quantity: str) -> str:
    at = at_noon(0)[:10].replace("-", "")
    return "\r".join(
        (
            f"MSH|^~\\&|SANDBOX-EHR|GENERAL|SUTURE|GENERAL|{at}||DFT^P03^DFT_P03|{control}|P|2.8.2",
            "PID|1||MRN-000009^^^SANDBOX^MR||Testperson^Invented",
            f"PV1|1|I|OR||||||||||||||||V-{control}",
            f"FT1|1|{control}-1||{at}||CG|SURG-88301^Suture^L|||{quantity}",
            "OBX|1|ST|C101672^Lot^NCIT|1|LCON001A||||||F",
            "",
        )
    )


async def test_a_serial_counts_once_whoever_reports_it_and_in_another_case_is_a_question(
    stage: Stage,
):
    floor = Floor(stage)
    case, other = await knee(floor), await knee(floor)
    await floor.use(case, {"udi": UDI})
    await floor.until(case.control, ended("usage-to-replenishment"), "it is posted")
    await floor.use(case, {"udi": UDI}, {"udi": OTHER_UDI}, via="fhir")
    trace = await floor.until(case.control, ended("usage-to-replenishment", 2), "both have come")
    counted = [len(each["result"]["lines"]) for each in flows(trace, "usage-to-replenishment")]
    assert counted == [1, 1]
    assert await floor.stock(INSERT) == 2

    await floor.use(other, {"udi": UDI})
    trace = await floor.trace(other.control)
    task = await floor.task("serial-already-used", transaction=trace["id"])
    assert "TI-000101" in task["detail"]
    assert (await floor.resolve(task, "abandon", "scanned from an old label")).status == 200
    assert await floor.stock(INSERT) == 2
    await floor.use(
        other, {"udi": UDI.replace("TI2142A", "TI2142B").replace("TI-000101", "TI-000201")}
    )
    await floor.until(other.control, ended("usage-to-replenishment"), "the right one is posted")
    assert await floor.stock(INSERT) == 1


async def test_an_idempotency_key_stands_for_one_document(stage: Stage):
    floor, who = Floor(stage), await reporter(stage)
    usage = {
        "facility": FACILITY,
        "location": ROOM,
        "occurredAt": at_noon(0),
        "encounter": "V-KEY-1",
        "patientId": "MRN-000077",
        "lines": [
            {
                "codes": [{"scheme": "erp", "value": "CON-60003"}],
                "quantity": {"value": "1", "unit": "EA"},
                "lot": "LCON003A",
            }
        ],
    }
    asked = await told_twice(floor, who, "/process/v1/requisitions", requisition(SUTURE, 12))
    trace = await floor.until(
        asked["transaction"], lambda t: outputs(t, "850 to the supplier"), "it is ordered"
    )
    order = outputs(trace, "purchase order in the ERP")[0]["number"]
    used = await told_twice(floor, who, "/process/v1/usage", usage)
    receipt = {
        "order": order,
        "receivedAt": at_noon(0),
        "lines": [
            {"orderLine": 10, "quantity": {"value": "1", "unit": "BX"}, "lot": "LNEW001"},
        ],
    }
    await told_twice(floor, who, "/process/v1/receipts", receipt)

    await floor.until(used["transaction"], ended("usage-to-replenishment"), "usage is posted")
    await floor.until(asked["transaction"], ended("receiving"), "the receipt is posted")
    state = await floor.erp()
    kinds = sorted(each["inventoryTransactionType"] for each in state["materialDocuments"])
    assert (kinds, len(state["requisitions"]), len(state["purchaseOrders"])) == (["WA", "WE"], 1, 1)
    assert (await floor.stock("CON-60003"), await floor.stock(SUTURE)) == (39, 72)
    assert await floor.tasks() == []


async def told_twice(floor: Floor, who: Any, path: str, body: dict[str, Any]) -> Any:
    """Hand in under one key: again, with other content, and for somebody else."""
    key = {"idempotency-key": "shift-1"}
    first = await floor.send(who, "POST", path, json=body, headers=key)
    assert (first.status, first.body["duplicate"]) == (202, False)
    again = await floor.send(who, "POST", path, json=body, headers=key)
    assert again.status == 202
    assert again.body == first.body | {"duplicate": True}
    changed = body | {"lines": [body["lines"][0] | {"quantity": {"value": "2", "unit": "EA"}}]}
    other = await floor.send(who, "POST", path, json=changed, headers=key)
    assert (other.status, other.slug) == (409, "identity-conflict")
    return first.body
