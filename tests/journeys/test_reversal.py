"""What was reported as used and was not comes back: goods, cost, charge, and the serial number."""

from decimal import Decimal
from typing import Any

import msgspec

from canonical.published import InventoryMoved
from gateway.demo.stage import Stage
from ledger.outbox import Position, Wanted
from tests.journeys.front_doors import Case, Floor, ended, flows, hops, outputs, waiting

KNEE = "27447"
UDI = "(01)00844588017735(17)270630(10)TI2142A(21)TI-000101"
INSERT, SUTURE = "IMP-10001", "CON-60001"
SUTURES = {"code": "SURG-88301", "lot": "LCON001A"}


async def knee(floor: Floor) -> Case:
    case = await floor.schedule(KNEE)
    await floor.until(case.control, ended("case-demand"), "the case is reserved")
    return case


async def balances(floor: Floor) -> dict[str, Decimal]:
    journal = (await floor.erp())["journal"]
    assert Decimal(journal["sum"]) == 0
    found = {name: Decimal(amount) for name, amount in journal["balances"].items()}
    return {name: amount for name, amount in found.items() if amount}


async def charges(floor: Floor) -> list[tuple[str, Decimal]]:
    found = (await floor.stage.ehr.get("/fhir/ChargeItem")).json().get("entry", [])
    items = [each["resource"] for each in found]
    return [(each["status"], Decimal(str(each["quantity"]["value"]))) for each in items]


async def moves_told(floor: Floor) -> list[str]:
    """What subscribers are told of stock that moved."""
    wanted = Wanted(types=("org.suture.inventory.moved.v1",))
    outbox = floor.stage.running.parts.ledger.outbox
    page = await outbox.after(Position(0, 0), wanted, limit=100)
    return [msgspec.json.decode(event.body, type=InventoryMoved).kind for event in page.events]


async def counted(floor: Floor, case: Case, usages: int, reversals: int) -> Any:
    def holds(trace: Any) -> bool:
        return ended("usage-to-replenishment", usages)(trace) and ended(
            "usage-reversal", reversals
        )(trace)

    return await floor.until(case.control, holds, f"{usages} used, {reversals} taken back")


async def test_a_credited_implant_is_back_in_every_book_and_may_be_used_again(stage: Stage):
    floor = Floor(stage)
    case = await knee(floor)
    before = await balances(floor)
    await floor.use(case, {"udi": UDI}, {**SUTURES, "quantity": "3"})
    await counted(floor, case, 1, 0)
    assert (await floor.stock(INSERT), await floor.stock(SUTURE)) == (3, 57)

    credit = await floor.use(
        case, {"udi": UDI, "credit": True}, {**SUTURES, "quantity": "3", "credit": True}
    )
    trace = await counted(floor, case, 1, 1)
    assert (await floor.sent(credit))["status"] == "accepted"
    assert (await floor.stock(INSERT), await floor.stock(SUTURE)) == (4, 60)
    assert await balances(floor) == before
    assert await charges(floor) == [("entered-in-error", 1), ("entered-in-error", 3)]
    assert {"take the goods back", "take the cost back", "credit the charge"} <= set(hops(trace))
    assert await moves_told(floor) == ["consumption", "consumption-reversal"]

    other = await knee(floor)
    await floor.use(other, {"udi": UDI})
    await counted(floor, other, 1, 0)
    assert await floor.stock(INSERT) == 3
    assert [task for task in await floor.tasks() if task["kind"] != "decision"] == []


async def test_the_same_credit_told_again_and_again_takes_back_once(stage: Stage):
    floor = Floor(stage)
    case = await knee(floor)
    await floor.use(case, {**SUTURES, "quantity": "5"})
    await counted(floor, case, 1, 0)
    part = {**SUTURES, "quantity": "2", "credit": True, "reference": "CREDIT-1"}
    first = await floor.use(case, part)
    await counted(floor, case, 1, 1)
    (await stage.ehr.post(f"/sim/resend/{first}")).raise_for_status()
    await floor.use(case, part)
    trace = await counted(floor, case, 1, 2)
    assert await floor.stock(SUTURE) == 57
    taken = [each["result"]["lines"] for each in flows(trace, "usage-reversal")]
    assert [len(lines) for lines in taken] == [1, 0]
    assert (await charges(floor))[1:] == [("planned", -2)]
    assert [task for task in await floor.tasks() if task["kind"] != "decision"] == []


async def test_more_than_was_used_is_not_taken_back_but_asked_about(stage: Stage):
    floor = Floor(stage)
    case = await knee(floor)
    await floor.use(case, {**SUTURES, "quantity": "2"})
    await counted(floor, case, 1, 0)
    before = await floor.documents()
    await floor.use(case, {**SUTURES, "quantity": "3", "credit": True})
    trace = await floor.until(case.control, waiting("never-used"), "a person is asked")
    task = waiting("never-used")(trace)
    assert "3 EA taken back, 2 used" in task["detail"]
    assert await floor.documents() == before

    corrected = await floor.resolve(task, "abandon", "the scrub nurse has counted again")
    assert corrected.status == 200
    await floor.use(case, {**SUTURES, "quantity": "1", "credit": True})
    await counted(floor, case, 1, 1)
    assert await floor.stock(SUTURE) == 59


async def test_a_credit_where_nothing_was_used_is_a_question(stage: Stage):
    floor = Floor(stage)
    case = await knee(floor)
    await floor.use(case, {**SUTURES, "credit": True})
    task = await floor.task("never-used")
    assert task["owner"] == "supply-chain"
    assert await floor.stock(SUTURE) == 60


async def test_a_correction_takes_back_first_and_counts_then(stage: Stage):
    floor = Floor(stage)
    case = await knee(floor)
    wrong = {"udi": UDI, "reference": "LINE-1"}
    await floor.use(case, wrong)
    await counted(floor, case, 1, 0)
    right = {"udi": UDI.replace("TI2142A", "TI2142B").replace("TI-000101", "TI-000201")}
    await floor.use(case, {**right, "reference": "LINE-1"}, {**wrong, "credit": True})
    trace = await counted(floor, case, 2, 1)
    assert await floor.stock(INSERT) == 3
    used = [each["result"]["lines"][0]["serial"] for each in flows(trace, "usage-to-replenishment")]
    assert used == ["TI-000101", "TI-000201"]
    names = hops(trace)
    back = names.index("take the goods back")
    assert "post the consumption" in names[back:], "the new one is counted after"
    assert await charges(floor) == [("entered-in-error", 1), ("planned", 1)]


async def test_a_use_that_was_entered_in_error_takes_back_what_it_posted(stage: Stage):
    floor = Floor(stage)
    case = await knee(floor)
    before = await balances(floor)
    lines = [{"udi": UDI, "reference": "USE-1"}, {**SUTURES, "reference": "USE-2"}]
    await floor.use(case, *lines, via="fhir")
    await counted(floor, case, 1, 0)
    assert await balances(floor) != before
    wrong = [{**line, "credit": True} for line in lines]
    for reversals, line in enumerate(wrong, 1):
        await floor.use(case, line, via="fhir")
        await counted(floor, case, 1, reversals)
    assert (await floor.stock(INSERT), await floor.stock(SUTURE)) == (4, 60)
    assert await balances(floor) == before
    await floor.use(case, *wrong, via="fhir")
    trace = await counted(floor, case, 1, 3)
    assert flows(trace, "usage-reversal")[-1]["result"]["lines"] == []


async def test_answers_that_are_lost_take_nothing_back_twice(stage: Stage):
    floor = Floor(stage)
    case = await knee(floor)
    before = await balances(floor)
    await floor.use(case, {"udi": UDI})
    await counted(floor, case, 1, 0)
    await floor.fault("MATERIAL_DOCUMENT", "5xx-after-commit")
    await floor.fault("journalentry", "lost-answer")
    (await stage.ehr.post("/sim/faults", json={"kind": "after-commit"})).raise_for_status()
    await floor.use(case, {"udi": UDI, "credit": True})
    trace = await counted(floor, case, 1, 1)
    assert await floor.stock(INSERT) == 4
    assert await balances(floor) == before
    assert await charges(floor) == [("entered-in-error", 1)]
    assert len(outputs(trace, "take the goods back")) == 1
