"""The EDI door both ways: orders leave as they were kept, and partners' interchanges are answered.

The ledger is a small one in memory that keeps the promises of `ledger.message_store`.
"""

import asyncio
import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import msgspec
import pytest

from canonical.errors import (
    IdentityConflict,
    MalformedMessage,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from canonical.item import ItemId, Quantity
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from canonical.request import Reference
from canonical.supplier import TradingPartner
from ledger.arrival import Accepted
from ledger.message_store import KeptDeparture
from standards.x12.conformance import examined
from standards.x12.reader import read
from system_apis.edi.x12.client import X12Sender
from system_apis.edi.x12.intake import X12Intake
from system_apis.edi.x12.mapping import purchase_order_850

NOON = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)
PARTNER = TradingPartner(
    supplier="SUP-1",
    qualifier="ZZ",
    interchange_id="SUPPLIERONE",
    application_id="SUPPLIER",
    own_qualifier="ZZ",
    own_interchange_id="HOSPITAL",
    own_application_id="HOSPITAL",
    endpoint="edi-network",
)


class MemoryLedger:
    def __init__(self):
        self.arrivals = []
        self.departures = {}
        self.answers = {}
        self.numbers = {}

    async def receive(self, arrival):
        digest = hashlib.sha256(arrival.body).digest()
        for kept in self.arrivals:
            if arrival.identity and kept.identity == arrival.identity:
                if hashlib.sha256(kept.body).digest() != digest:
                    raise IdentityConflict("other content")
                return Accepted(message="m", duplicate=True, answer=kept.answer)
        self.arrivals.append(arrival)
        return Accepted(message="m", duplicate=False, answer=arrival.answer)

    async def control_number(self, counter, key):
        known = self.numbers.setdefault(counter, {})
        return known.setdefault(key, len(known) + 1)

    async def keep(self, departure):
        self.departures.setdefault(departure.key, departure)
        return departure.key

    async def kept(self, message):
        return self.departures[message]

    async def sent(self, message, answer, *, key=""):
        self.answers[message] = answer

    async def departure(self, key):
        if key not in self.departures:
            return None
        return KeptDeparture(message=key, sent=key in self.answers)

    async def heard(self, event, key):
        facts = [f for kept in self.arrivals for f in kept.announcements]
        found = [f.facts for f in facts if (f.event, f.key) == (event, key)]
        return msgspec.json.encode(found[-1]) if found else None


@pytest.fixture
def ledger():
    return MemoryLedger()


@pytest.fixture
def intake(ledger):
    async def partners(qualifier, identifier):
        return PARTNER if (qualifier, identifier) == ("ZZ", "SUPPLIERONE") else None

    return X12Intake(ledger, partners, frozenset({("ZZ", "HOSPITAL")}), lambda: NOON)


def interchange(*groups, control="000000007", sender="SUPPLIERONE", ta1="0", usage="P"):
    return (
        f"ISA*00*          *00*          *ZZ*{sender:15}*ZZ*HOSPITAL       "
        f"*260105*0900*U*00401*{control}*{ta1}*{usage}*>~"
        + "".join(groups)
        + f"IEA*{len(groups)}*{control}~"
    ).encode()


def group(kind, *sets, number="7", version="004010"):
    return (
        f"GS*{kind}*SUPPLIER*HOSPITAL*20260105*0900*{number}*X*{version}~"
        + "".join(sets)
        + f"GE*{len(sets)}*{number}~"
    )


def transaction(code, number, *content):
    return "".join(
        f"{each}~" for each in (f"ST*{code}*{number}", *content, f"SE*{len(content) + 2}*{number}")
    )


ACKNOWLEDGED = (
    "BAK*00*AD*4500000001*20260104",
    "PO1*1*10*EA*4.5**VN*SKU-1",
    "ACK*IA*10*EA",
    "CTT*1",
)
SHIPPED = (
    "BSN*00*SHP1*20260105*1200",
    "HL*1**S",
    "HL*2*1*O",
    "PRF*4500000001",
    "HL*3*2*I",
    "LIN*1*VN*SKU-1",
    "SN1**10*EA",
)
BILLED = ("BIG*20260106*INV1*20260103*4500000001", "IT1*1*10*EA*4.5**VN*SKU-1", "TDS*4500")


def answered(body):
    (found,) = (examined(each) for each in read(body))
    return [segment for g in found.groups for each in g.sets for segment in each.segments]


async def test_business_documents_are_announced_and_acknowledged(intake, ledger):
    body = interchange(
        group("PR", transaction("855", "0001", *ACKNOWLEDGED)),
        group("SH", transaction("856", "0001", *SHIPPED), number="8"),
        group("IN", transaction("810", "0001", *BILLED), number="9"),
    )
    answer = await intake.accept(body, "supplier-app")

    (arrival,) = ledger.arrivals
    assert arrival.identity == "x12|ZZ|SUPPLIERONE|ZZ|HOSPITAL|000000007"
    assert arrival.refusal is None
    assert [(fact.event, fact.key) for fact in arrival.announcements] == [
        ("order-acknowledged", "4500000001"),
        ("shipment-notified", "4500000001"),
        ("invoice-received", "4500000001"),
    ]
    assert all(fact.must_join for fact in arrival.announcements)
    assert [fact.joins for fact in arrival.announcements] == [
        (Reference("sent-order", "SUP-1:4500000001"),),
        (Reference("sent-order", "SUP-1:4500000001"),),
        (Reference("order", "4500000001"),),
    ]
    assert arrival.announcements[1].references == (Reference("shipment", "SHP1"),)
    assert arrival.announcements[2].references == (Reference("invoice", "INV1"),)
    said = answered(answer)
    assert [s for s in said if s[0] == "AK9"] == [["AK9", "A", "1", "1", "1"]] * 3
    assert [s[2] for s in said if s[0] == "AK1"] == ["7", "8", "9"]


async def test_the_same_interchange_twice_gets_the_same_bytes_and_is_kept_once(intake, ledger):
    body = interchange(group("PR", transaction("855", "0001", *ACKNOWLEDGED)))
    first = await intake.accept(body, "supplier-app")
    assert await intake.accept(body, "supplier-app") == first
    assert len(ledger.arrivals) == 1


async def test_a_second_interchange_of_one_control_number_is_a_conflict(intake, ledger):
    await intake.accept(
        interchange(group("PR", transaction("855", "0001", *ACKNOWLEDGED))), "supplier-app"
    )
    other = interchange(group("IN", transaction("810", "0001", *BILLED)))
    answer = await intake.accept(other, "supplier-app")
    (found,) = read(answer)
    (verdict,) = found.verdicts
    assert (verdict.control, verdict.verdict, verdict.note) == ("000000007", "R", "025")
    kept = ledger.arrivals[-1]
    assert kept.refusal.reason == "identity-conflict"
    assert kept.announcements == ()
    assert await intake.accept(other, "supplier-app") == answer
    assert len(ledger.arrivals) == 2


async def test_one_bad_set_does_not_cost_the_other(intake, ledger):
    bad = (*ACKNOWLEDGED[:3], "CTT*5")
    body = interchange(
        group("PR", transaction("855", "0001", *ACKNOWLEDGED), transaction("855", "0002", *bad))
    )
    said = answered(await intake.accept(body, "supplier-app"))
    assert said[3:-1] == [
        ["AK5", "A"],
        ["AK2", "855", "0002"],
        ["AK3", "CTT", "5", "", "8"],
        ["AK4", "1", "", "7"],
        ["AK5", "R", "5"],
        ["AK9", "P", "2", "2", "1"],
    ]
    (arrival,) = ledger.arrivals
    assert len(arrival.announcements) == 1
    assert arrival.refusal.reason == "malformed-message"
    assert arrival.refusal.owner == "integration"
    assert "CTT01 in segment 5" in arrival.refusal.detail


async def test_a_broken_group_is_rejected_and_becomes_a_task(intake, ledger):
    broken = group("PR", transaction("855", "0001", *ACKNOWLEDGED)).replace("GE*1", "GE*2")
    said = answered(await intake.accept(interchange(broken), "supplier-app"))
    assert said[-2] == ["AK9", "R", "2", "1", "0", "5"]
    (arrival,) = ledger.arrivals
    assert arrival.announcements == ()
    assert "AK905 5" in arrival.refusal.detail


async def test_a_sound_document_beyond_us_is_accepted_in_the_997_and_becomes_a_task(intake, ledger):
    credit = ("BIG*20260106*CRM1*20260103*4500000001***CR", "TDS*4500")
    body = interchange(group("IN", transaction("810", "0001", *credit)))
    said = answered(await intake.accept(body, "supplier-app"))
    assert said[-2] == ["AK9", "A", "1", "1", "1"]
    assert ledger.arrivals[0].refusal.reason == "unsupported-message"


async def test_a_purchase_order_from_outside_is_not_supported(intake):
    order = ("BEG*00*SA*1**20260101", "PO1*1*1*EA*1")
    said = answered(
        await intake.accept(interchange(group("PO", transaction("850", "0001", *order))), "x")
    )
    assert ["AK5", "R", "1"] in said


async def test_a_997_is_never_acknowledged_but_announced(intake, ledger):
    verdict = ("AK1*PO*0012", "AK2*850*0001", "AK5*A", "AK9*A*1*1*1")
    answer = await intake.accept(
        interchange(group("FA", transaction("997", "0001", *verdict))), "supplier-app"
    )
    assert answer == b""
    (fact,) = ledger.arrivals[0].announcements
    assert (fact.event, fact.key) == ("syntax-verdict", "SUP-1:12")
    assert fact.joins == (Reference("x12-group", "SUP-1:12"),)


async def test_a_broken_997_is_a_task_and_no_answer(intake, ledger):
    body = interchange(group("FA", transaction("997", "0001", "AK1*PO*12")))
    assert await intake.accept(body, "supplier-app") == b""
    assert ledger.arrivals[0].refusal is not None


async def test_a_ta1_that_rejects_our_interchange_is_the_verdict_on_its_group(intake, ledger):
    body = interchange().replace(b">~", b">~TA1*000000012*260104*1200*R*006~")
    assert await intake.accept(body, "supplier-app") == b""
    (fact,) = ledger.arrivals[0].announcements
    assert fact.key == "SUP-1:12"
    assert fact.facts.accepted is False


async def test_a_ta1_comes_with_the_997_when_the_partner_asks_for_one(intake):
    body = interchange(group("PR", transaction("855", "0001", *ACKNOWLEDGED)), ta1="1")
    (found,) = read(await intake.accept(body, "supplier-app"))
    assert [(v.verdict, v.note) for v in found.verdicts] == [("A", "000")]
    assert len(found.groups) == 1


async def test_each_release_is_answered_in_its_own_kind(intake):
    body = interchange(
        group("PR", transaction("855", "0001", *ACKNOWLEDGED)),
        group("IN", transaction("810", "0001", *BILLED), number="8", version="005010"),
    )
    (found,) = read(await intake.accept(body, "supplier-app"))
    assert [(g.version, g.sets[0].code) for g in found.groups] == [
        ("004010", "997"),
        ("005010X231A1", "999"),
    ]
    assert len({g.control for g in found.groups}) == 2


@pytest.mark.parametrize(
    ("body", "note", "reason"),
    [
        (interchange(sender="NOBODY"), "006", "unknown-partner"),
        (interchange().replace(b"HOSPITAL  ", b"CLINIC    "), "009", "unknown-partner"),
        (interchange(usage="T"), "020", "unsupported-message"),
        (interchange().replace(b"IEA*0", b"IEA*3"), "021", "malformed-message"),
        (interchange().replace(b"IEA*0*000000007~", b""), "023", "malformed-message"),
        (interchange().replace(b">~", b">~N1*ST~"), "022", "malformed-message"),
    ],
)
async def test_a_broken_or_foreign_interchange_is_rejected_by_ta1(
    intake, ledger, body, note, reason
):
    (found,) = read(await intake.accept(body, "supplier-app"))
    (verdict,) = found.verdicts
    assert (verdict.verdict, verdict.note) == ("R", note)
    (arrival,) = ledger.arrivals
    assert arrival.refusal.reason == reason
    assert arrival.refusal.actions == ("retry", "abandon")
    assert arrival.body == body


async def test_a_broken_interchange_may_come_again_repaired(intake, ledger):
    sound = interchange(group("PR", transaction("855", "0001", *ACKNOWLEDGED)))
    await intake.accept(sound.replace(b"IEA*1", b"IEA*2"), "supplier-app")
    said = answered(await intake.accept(sound, "supplier-app"))
    assert said[-2][:2] == ["AK9", "A"]
    assert len(ledger.arrivals[-1].announcements) == 1


async def test_what_is_no_x12_is_kept_and_refused(intake, ledger):
    with pytest.raises(MalformedMessage):
        await intake.accept(b"PK\x03\x04 a spreadsheet", "supplier-app")
    assert ledger.arrivals[0].refusal.affected == "supplier-app"
    assert ledger.arrivals[0].answer == b""


async def test_two_interchanges_in_one_transmission_are_two_arrivals(intake, ledger):
    one = interchange(group("PR", transaction("855", "0001", *ACKNOWLEDGED)))
    two = interchange(group("IN", transaction("810", "0001", *BILLED)), control="000000008")
    answer = await intake.accept(one + b"\r\n" + two, "supplier-app")
    assert len(read(answer)) == 2
    assert [arrival.control_id for arrival in ledger.arrivals] == ["000000007", "000000008"]


ORDER = PurchaseOrder(
    number="4500000001",
    supplier="SUP-1",
    facility="1000",
    location="OR-3",
    cost_center="CC-SECRET",
    ordered_on=date(2026, 1, 4),
    needed_on=date(2026, 1, 9),
    total=Money(amount=Decimal("285.00")),
    lines=(
        OrderLine(
            line=10,
            item=ItemId("TG11"),
            description="Nähset, groß* >Ø 5",
            quantity=Quantity(value=Decimal("10.000"), unit="EA"),
            unit_price=Money(amount=Decimal("4.50")),
            base_quantity=Quantity(value=Decimal(10), unit="EA"),
            supplier_sku="SKU-1",
            gtin="00614141999996",
        ),
        OrderLine(
            line=20,
            item=ItemId("TG12"),
            description="",
            quantity=Quantity(value=Decimal(2), unit="BT"),
            unit_price=Money(amount=Decimal(120)),
            base_quantity=Quantity(value=Decimal(2), unit="BT"),
        ),
    ),
)


def test_an_order_is_spelled_as_850():
    assert purchase_order_850(ORDER, PARTNER, contract="C-77") == (
        ["BEG", "00", "SA", "4500000001", "", "20260104"],
        ["CUR", "BY", "USD"],
        ["REF", "CT", "C-77"],
        ["DTM", "002", "20260109"],
        ["N1", "BY", "", "92", "HOSPITAL"],
        ["N1", "SE", "", "92", "SUP-1"],
        ["N1", "ST", "", "92", "1000-OR-3"],
        ["PO1", "10", "10", "EA", "4.5", "", "VN", "SKU-1", "UK", "00614141999996", "IN", "TG11"],
        ["PID", "F", "", "", "", "Nahset, gross O 5"],
        ["PO1", "20", "2", "BO", "120", "", "IN", "TG12"],
        ["CTT", "2", "12"],
    )


class Network:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies = []

    async def __call__(self, request):
        self.bodies.append(request.content)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def sender(ledger, network, clock=lambda: NOON, on_answer=None):
    http = httpx.AsyncClient(transport=httpx.MockTransport(network), base_url="http://network")
    return X12Sender(ledger, lambda _: http, clock, on_answer=on_answer)


async def test_an_order_leaves_as_sound_x12_without_the_cost_centre(ledger):
    network = Network(httpx.Response(202))
    receipt = await sender(ledger, network).send_order(ORDER, PARTNER, key="flow-1/send")
    (body,) = network.bodies
    (found,) = (examined(each) for each in read(body))
    assert found.groups[0].verdict == "A"
    assert found.groups[0].functional_id == "PO"
    assert (receipt.interchange, receipt.group, receipt.transaction_set) == (
        "000000001",
        "1",
        "0001",
    )
    assert b"CC-SECRET" not in body
    departure = ledger.departures["flow-1/send"]
    assert departure.references == (
        Reference("isa13", "000000001"),
        Reference("x12-group", "SUP-1:1"),
        Reference("sent-order", "SUP-1:4500000001"),
    )
    assert ledger.answers == {"flow-1/send": b""}


async def test_the_same_key_sends_the_bytes_that_were_kept(ledger):
    network = Network(httpx.Response(503), httpx.Response(202), httpx.Response(202))
    with pytest.raises(UpstreamFailed):
        await sender(ledger, network).send_order(ORDER, PARTNER, key="flow-1/send")
    later = sender(ledger, network, clock=lambda: NOON.replace(hour=20))
    await later.send_order(ORDER, PARTNER, key="flow-1/send")
    await later.send_order(ORDER, PARTNER, key="flow-2/send")
    first, again, other = network.bodies
    assert first == again
    assert other != first


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (httpx.ReadTimeout("slow"), UpstreamTimeout),
        (httpx.ConnectTimeout("slow"), UpstreamTimeout),
        (httpx.ConnectError("down"), UpstreamUnavailable),
        (httpx.ReadError("cut"), UpstreamUnavailable),
        (httpx.RemoteProtocolError("cut"), UpstreamFailed),
        (httpx.Response(500), UpstreamFailed),
        (httpx.Response(429, headers={"retry-after": "7"}), UpstreamThrottled),
        (httpx.Response(404), UpstreamRefused),
        (httpx.Response(302), UpstreamRefused),
    ],
)
async def test_failures_of_the_network_have_names(ledger, answer, failure):
    with pytest.raises(failure) as raised:
        await sender(ledger, Network(answer)).send_order(ORDER, PARTNER, key="k")
    assert "k" in ledger.departures
    assert ledger.answers == {}
    if failure is UpstreamThrottled:
        assert raised.value.retry_after == 7


async def test_a_997_in_the_http_answer_goes_to_the_intake(ledger, intake):
    verdict = ("AK1*PO*1", "AK2*850*0001", "AK5*A", "AK9*A*1*1*1")
    body = interchange(group("FA", transaction("997", "0001", *verdict)))
    network = Network(httpx.Response(200, content=body), httpx.Response(200, content=b"ISA*!"))
    client = sender(ledger, network, on_answer=intake.accept)
    await client.send_order(ORDER, PARTNER, key="k1")
    assert ledger.arrivals[0].announcements[0].key == "SUP-1:1"
    receipt = await client.send_order(ORDER, PARTNER, key="k2")
    assert receipt.group == "2"
    assert ledger.arrivals[1].refusal is not None


async def test_orders_and_acknowledgements_to_one_partner_share_no_control_number(ledger, intake):
    network = Network(httpx.Response(202))
    client = sender(ledger, network)
    _, answer = await asyncio.gather(
        client.send_order(ORDER, PARTNER, key="k"),
        intake.accept(interchange(group("PR", transaction("855", "0001", *ACKNOWLEDGED))), "x"),
    )
    assert read(answer)[0].header.control != read(network.bodies[0])[0].header.control
