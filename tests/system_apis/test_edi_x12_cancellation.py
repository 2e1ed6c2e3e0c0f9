"""An order that was sent is taken back by an 860, once; what the supplier answers is what holds."""

import httpx
import pytest

from canonical.errors import (
    AlreadyShipped,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from canonical.order import OrderCancellation
from canonical.request import Reference
from standards.x12.conformance import examined
from standards.x12.reader import read
from system_apis.edi.x12.intake import X12Intake
from tests.system_apis.test_edi_x12_exchange import (
    NOON,
    ORDER,
    PARTNER,
    MemoryLedger,
    Network,
    group,
    interchange,
    sender,
    transaction,
)

KEY = "flow-1/850 to the supplier"
FINE = httpx.Response(202)


@pytest.fixture
def ledger():
    return MemoryLedger()


@pytest.fixture
def intake(ledger):
    async def partners(qualifier, identifier):
        return PARTNER if (qualifier, identifier) == ("ZZ", "SUPPLIERONE") else None

    return X12Intake(ledger, partners, frozenset({("ZZ", "HOSPITAL")}), lambda: NOON)


async def answered(intake, verdict, control="000000042"):
    content = (f"BCA*11*{verdict}*4500000001**1*20260105", "CTT*0")
    body = interchange(group("CA", transaction("865", "0001", *content)), control=control)
    await intake.accept(body, "supplier-app")


def kinds(network):
    return [read(body)[0].groups[0].sets[0].code for body in network.bodies]


async def test_a_cancellation_leaves_as_sound_x12_and_waits_for_the_answer(ledger, intake):
    network = Network(FINE, FINE)
    client = sender(ledger, network)
    sent = await client.send_order(ORDER, PARTNER, key=KEY)
    with pytest.raises(UpstreamTimeout, match="4500000001"):
        await client.cancel_order(ORDER, PARTNER, sent, key=KEY)
    (found,) = (examined(each) for each in read(network.bodies[1]))
    (change,) = found.groups
    assert (change.functional_id, change.verdict, change.control) == ("PC", "A", "2")
    assert change.sets[0].segments[1] == ["BCH", "01", "SA", "4500000001", "", "", "20260104"]
    assert ledger.departures[f"{KEY}/undo"].references == (
        Reference("isa13", "000000002"),
        Reference("x12-group", "SUP-1:2"),
    )
    await answered(intake, "AT")
    done = await client.cancel_order(ORDER, PARTNER, sent, key=KEY)
    assert done == OrderCancellation(order="4500000001")
    assert kinds(network) == ["850", "860"]


async def test_an_order_that_never_left_needs_no_word(ledger):
    network = Network()
    assert await sender(ledger, network).cancel_order(ORDER, PARTNER, None, key=KEY) is None
    assert network.bodies == []


async def test_an_order_of_which_nobody_knows_whether_it_arrived_is_cancelled(ledger, intake):
    network = Network(httpx.Response(500), FINE)
    client = sender(ledger, network)
    with pytest.raises(UpstreamFailed):
        await client.send_order(ORDER, PARTNER, key=KEY)
    await answered(intake, "AT")
    assert await client.cancel_order(ORDER, PARTNER, None, key=KEY) is not None
    assert kinds(network) == ["850", "860"]


async def test_a_cancellation_whose_answer_was_lost_is_the_same_bytes_again(ledger, intake):
    network = Network(FINE, httpx.Response(500), FINE)
    client = sender(ledger, network)
    sent = await client.send_order(ORDER, PARTNER, key=KEY)
    await answered(intake, "AT")
    with pytest.raises(UpstreamFailed):
        await client.cancel_order(ORDER, PARTNER, sent, key=KEY)
    assert await client.cancel_order(ORDER, PARTNER, sent, key=KEY) is not None
    assert network.bodies[1] == network.bodies[2]


async def test_what_is_shipped_is_not_cancelled_until_the_supplier_agrees_after_all(ledger, intake):
    network = Network(FINE, FINE)
    client = sender(ledger, network)
    sent = await client.send_order(ORDER, PARTNER, key=KEY)
    await answered(intake, "RJ")
    with pytest.raises(AlreadyShipped, match="the supplier answers RJ") as refused:
        await client.cancel_order(ORDER, PARTNER, sent, key=KEY)
    assert "send them back" in refused.value.fix
    await answered(intake, "AT", control="000000043")
    assert await client.cancel_order(ORDER, PARTNER, sent, key=KEY) is not None
    assert kinds(network) == ["850", "860"]


async def test_a_cancellation_that_cannot_be_read_is_told_to_a_person(ledger, intake):
    network = Network(FINE, FINE)
    client = sender(ledger, network)
    sent = await client.send_order(ORDER, PARTNER, key=KEY)
    verdict = ("AK1*PC*2", "AK2*860*0001", "AK5*R*5", "AK9*R*1*1*0")
    await intake.accept(
        interchange(group("FA", transaction("997", "0001", *verdict))), "supplier-app"
    )
    with pytest.raises(UpstreamRefused, match="cannot read the cancellation"):
        await client.cancel_order(ORDER, PARTNER, sent, key=KEY)
