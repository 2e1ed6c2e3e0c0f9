"""The main job, end to end, through the front doors."""

from decimal import Decimal

from gateway.demo.stage import Stage
from gateway.demo.story import BASEPLATE, FEMUR, INSERT, Story
from gateway.demo.subscriber import subscribe, told_to
from ledger.outbox import Position, Wanted


async def test_a_case_ends_as_a_matched_and_posted_invoice(stage: Stage):
    outcome = await Story(stage, lambda _who, _text: None).play()

    assert outcome.outcome == "matched"
    assert await moved(outcome) == {INSERT: 2, FEMUR: -1, BASEPLATE: -1, "CON-60001": -4}
    state = (await stage.erp.get("/sim/state")).json()
    kinds = [each["inventoryTransactionType"] for each in state["materialDocuments"]]
    assert len(state["purchaseOrders"]) == 1
    assert kinds.count("WE") == 1
    assert len(state["supplierInvoices"]) == 1
    assert Decimal(state["journal"]["sum"]) == 0


async def moved(outcome):
    before, after = outcome.stock_before, outcome.stock_after
    return {item: Decimal(after[item]) - Decimal(before[item]) for item in before}


async def test_the_transaction_is_found_by_every_name_people_know(stage: Stage):
    outcome = await Story(stage, lambda _who, _text: None).play()

    operator = stage.people["operator"]
    path = "/experience/v1/operations/transactions/"
    told = await operator.call("GET", path + outcome.transaction)
    names = dict(told["references"])
    assert {"msh10", "order", "isa13", "invoice", "requisition", "receipt"} <= set(names)
    for kind in ("msh10", "order", "isa13", "invoice"):
        assert (await operator.call("GET", path + names[kind]))["id"] == outcome.transaction


async def test_every_hop_says_when_where_and_by_which_version(stage: Stage):
    outcome = await Story(stage, lambda _who, _text: None).play()

    path = f"/experience/v1/operations/transactions/{outcome.transaction}"
    told = await stage.people["operator"].call("GET", path)
    hops = {hop["name"]: hop for hop in told["hops"]}
    assert len(told["hops"]) >= 12
    assert hops["three-way match"]["versions"] == {
        "flow": "invoice-matching/1",
        "rule": "three-way-match/1",
    }
    assert hops["post the consumption"]["versions"]["mapping"] == "s4hana/1"
    assert hops["approval"]["actor"] == "demo-approver"
    assert hops["goods receipt in the ERP"]["input"]["receipt"]["order"] == outcome.order
    assert all(hop["at"] and hop["system"] for hop in told["hops"])


async def test_suppliers_and_the_erp_never_see_the_case_or_the_patient(stage: Stage):
    story = Story(stage, lambda _who, _text: None)
    await story.play()

    said = (await stage.erp.get("/sim/state")).text + (await stage.supplier.get("/sim/orders")).text
    charge = (await stage.ehr.get("/fhir/ChargeItem")).json()
    patient = charge["entry"][0]["resource"]["subject"]["identifier"]["value"]
    assert patient
    assert patient not in said
    assert story.visit not in said


async def test_subscribers_are_told_the_story_and_never_see_the_patient(stage: Stage):
    made = await subscribe(stage)
    outcome = await Story(stage, lambda _who, _text: None).play()

    told = await told_to(stage, made)
    assert set(told.events) >= {
        *("case.scheduled", "item.consumed", "procedure.usage", "inventory.moved"),
        *("charge.eligible", "requisition.raised", "approval.decided", "order.placed"),
        *("order.acknowledged", "order.shipped", "item.received", "order.closed"),
        *("invoice.matched", "supply.short", "decision.requested"),
    }
    order = [told.events.index(name) for name in ("order.placed", "item.received", "order.closed")]
    assert order == sorted(order)
    wanted = Wanted(types=("org.suture.*",))
    page = await stage.running.parts.ledger.outbox.after(Position(0, 0), wanted, limit=1000)
    bodies = b"".join(event.body for event in page.events).decode()
    charge = (await stage.ehr.get("/fhir/ChargeItem")).json()
    patient = charge["entry"][0]["resource"]["subject"]["identifier"]["value"]
    assert patient not in bodies
    assert "ctx_" not in bodies
    assert outcome.order in bodies
    assert {event.transaction for event in page.events} >= {outcome.transaction}
