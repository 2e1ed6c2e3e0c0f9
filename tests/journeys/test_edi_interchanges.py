"""What partners send that is no order's answer: broken, foreign, twice. Each gets its TA1 or 997 in
the HTTP answer, and a task where somebody has to do something.
"""

from typing import Any

from canonical.supplier import TradingPartner
from gateway.demo.stage import Person, Stage
from gateway.master_data import FacilityPack
from tests.journeys.front_doors import Answer, Floor, flows, hops, outputs, person

SUTURE = "CON-60001"


def interchange(
    control: int,
    order: str,
    *,
    sender: str = "LAKESIDE",
    receiver: str = "GENERALHOSP",
    usage: str = "P",
    quantity: str = "1",
    counts: tuple[str, str, str] = ("5", "1", "1"),
) -> bytes:
    """An 855 for one box of sutures; `counts` are SE01, GE01 and IEA01."""
    sides = f"ZZ*{sender:15}*ZZ*{receiver:15}"
    segments = (
        f"ISA*00*{'':10}*00*{'':10}*{sides}*261120*1200*U*00401*{control:09}*0*{usage}*>",
        f"GS*PR*{sender}*{receiver}*20261120*1200*{control}*X*004010",
        "ST*855*0001",
        f"BAK*00*AC*{order}*20261120",
        f"PO1*10*{quantity}*BX*75**VN*L-560B",
        f"ACK*IB*{quantity}*BX",
        f"SE*{counts[0]}*0001",
        f"GE*{counts[1]}*{control}",
        f"IEA*{counts[2]}*{control:09}",
    )
    return "".join(f"{segment}~" for segment in segments).encode()


async def handed_in(floor: Floor, who: Person, body: bytes) -> Answer:
    headers = {"content-type": "application/edi-x12"}
    return await floor.send(who, "POST", "/system/v1/edi/x12", content=body, headers=headers)


def said(answer: Answer) -> dict[str, list[str]]:
    """The segments of an answer by name (one of each is enough here)."""
    return {line.split("*")[0]: line.split("*") for line in answer.raw.decode().split("~") if line}


def verdict(answer: Answer) -> tuple[str, str]:
    """TA104 and TA105, or AK901 and the set's code, or the problem of what is no X12 at all."""
    if answer.status != 200:
        return str(answer.status), answer.slug
    segments = said(answer)
    if "TA1" in segments:
        return segments["TA1"][4], segments["TA1"][5]
    return segments["AK9"][1], (segments["AK5"] + [""])[2]


async def sutures_ordered(floor: Floor) -> tuple[str, str]:
    """Order a box from a supplier that sends everything but an 855; return transaction and order
    number.
    """
    await floor.behave("lost-acknowledgement")
    transaction = await floor.buy(SUTURE, 12)
    trace = await floor.until(
        transaction, lambda t: flows(t, "invoice-matching"), "it has said all it will say"
    )
    return transaction, str(outputs(trace, "purchase order in the ERP")[0]["number"])


async def test_each_broken_interchange_is_rejected_in_the_answer_and_is_a_task(stage: Stage):
    floor, supplier = Floor(stage), stage.people["supplier"]
    transaction, order = await sutures_ordered(floor)
    good = interchange(900, order)
    for body, expected, reason in (
        (interchange(901, order, counts=("9", "1", "1")), ("R", "4"), "malformed-message"),
        (interchange(902, order, counts=("5", "2", "1")), ("R", ""), "malformed-message"),
        (interchange(903, order, counts=("5", "1", "3")), ("R", "021"), "malformed-message"),
        (interchange(904, order).replace(b"IEA*1*000000904", b"IEA*1*000000999"), ("R", "001"), ""),
        (interchange(905, order)[:-20], ("R", "023"), "malformed-message"),
        (interchange(906, order, sender="NOBODY"), ("R", "006"), "unknown-partner"),
        (interchange(907, order, receiver="SOMEONE"), ("R", "009"), "unknown-partner"),
        (interchange(908, order, usage="T"), ("R", "020"), "unsupported-message"),
        (interchange(909, order, quantity="one"), ("R", "5"), "malformed-message"),
        (interchange(910, order).replace(b"855*", b"850*"), ("R", "6"), "malformed-message"),
        (good.replace(b"*", b"A"), ("400", "malformed-message"), "malformed-message"),
        (good.replace(b"~", b"*"), ("400", "malformed-message"), "malformed-message"),
        (b"hello", ("400", "malformed-message"), "malformed-message"),
        (interchange(911, "4599999999"), ("A", ""), "unknown-order"),
    ):
        before = len(await floor.tasks())
        answer = await handed_in(floor, supplier, body)
        assert verdict(answer) == expected, body
        tasks = await floor.tasks()
        assert len(tasks) == before + 1, body
        assert tasks[-1]["reason"] == (reason or "malformed-message"), body
        assert (tasks[-1]["owner"], tasks[-1]["kind"]) == ("integration", "refused"), body
        again = await handed_in(floor, supplier, body)
        assert (again.status, verdict(again)) == (answer.status, expected)
        if answer.status == 200:
            assert again.raw == answer.raw, "the same interchange gets the same answer"
        assert len(await floor.tasks()) == before + 1, "and is the same task"
    assert "acknowledgement against the order" not in hops(await floor.trace(transaction))
    assert verdict(await handed_in(floor, supplier, good)) == ("A", "")
    await floor.task("acknowledgement-deviates", transaction=transaction)


async def test_an_interchange_counts_once_and_its_number_is_its_own(stage: Stage):
    floor, supplier = Floor(stage), stage.people["supplier"]
    transaction, order = await sutures_ordered(floor)
    body = interchange(920, order)
    first, second = [await handed_in(floor, supplier, body) for _ in range(2)]
    assert first.raw == second.raw
    assert said(first)["AK5"] == ["AK5", "A"]
    other = await handed_in(floor, supplier, interchange(920, order, quantity="2"))
    assert verdict(other) == ("R", "025")
    assert said(other)["ISA"][13] != said(first)["ISA"][13]
    task = await floor.task("identity-conflict")
    assert "ISA13" in task["detail"]
    trace = await floor.until(
        transaction, lambda t: "acknowledgement against the order" in hops(t), "it is read"
    )
    assert hops(trace).count("X12 855 received") == 1
    assert (await floor.resolve(task, "abandon", "the first one counts")).status == 200


async def test_a_client_speaks_for_its_own_partner_and_for_its_own_orders(stage: Stage):
    floor, supplier = Floor(stage), stage.people["supplier"]
    rival = await person(stage, "rival", "system.edi.x12:write")
    transaction, order = await sutures_ordered(floor)

    stolen = interchange(930, order)
    assert verdict(await handed_in(floor, rival, stolen)) == ("R", "006")
    task = await floor.task("unknown-partner")
    assert "rival" in task["detail"]
    assert (await floor.resolve(task, "retry", "once more")).status == 200
    task = await floor.task("unknown-partner")
    assert (await floor.resolve(task, "abandon", "it was not theirs")).status == 200
    assert verdict(await handed_in(floor, supplier, stolen)) == ("A", ""), "its number is unused"
    await floor.task("acknowledgement-deviates", transaction=transaction)

    foreign = interchange(931, order, sender="HARBOR")
    assert verdict(await handed_in(floor, supplier, foreign)) == ("A", "")
    task = await floor.task("unknown-order")
    assert "17300003" in task["title"]
    assert hops(await floor.trace(transaction)).count("X12 855 received") == 1

    reader = await person(stage, "reader", "process.tasks:read")
    assert (await handed_in(floor, reader, foreign)).status == 403


async def test_a_partner_that_becomes_known_is_read_by_the_retry(stage: Stage):
    floor = Floor(stage)
    newcomer = await person(stage, "newcomer", "system.edi.x12:write")
    transaction, order = await sutures_ordered(floor)
    body = interchange(940, order, sender="LAKESIDE2")
    assert verdict(await handed_in(floor, newcomer, body)) == ("R", "006")
    task = await floor.task("unknown-partner")
    await stage.running.parts.systems.records.load(
        FacilityPack(partners=(partner("LAKESIDE2", "newcomer"),)), by="journey"
    )
    assert (await floor.resolve(task, "retry", "their new address")).status == 200
    await floor.task("acknowledgement-deviates", transaction=transaction)
    assert [t for t in await floor.tasks() if t["kind"] == "refused"] == []
    assert flows(await floor.trace(transaction), "order-to-receipt")[0]["status"] == "waiting"


def partner(interchange_id: str, client: str) -> Any:
    return TradingPartner(
        supplier="17300002",
        qualifier="ZZ",
        interchange_id=interchange_id,
        application_id=interchange_id,
        own_qualifier="ZZ",
        own_interchange_id="GENERALHOSP",
        own_application_id="GENERALHOSP",
        endpoint="edi",
        client=client,
    )
