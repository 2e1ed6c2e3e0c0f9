"""What the S/4HANA client does when the connection, the system or the answer breaks."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import msgspec
import pytest
from starlette.types import ASGIApp

from canonical.charge import CostPosting
from canonical.errors import (
    Failure,
    StateConflict,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from canonical.inventory import Movement, MovementLine, Reservation, ReservationLine
from canonical.invoice import Invoice, InvoiceLine
from canonical.item import ItemId, Quantity
from canonical.money import Money
from canonical.requisition import PricedLine, PricedRequisition
from canonical.shipment import Receipt, ReceivedLine
from sandbox.erp.app import Settings, create_app
from sandbox.erp.inprocess import InProcess, client
from system_apis.erp.s4hana.client import S4Hana
from system_apis.erp.s4hana.odata import SERVICES
from system_apis.erp.s4hana.settings import S4Settings

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
FETCH = {"x-csrf-token": "Fetch"}
ITEM = (
    "API_PURCHASEREQ_PROCESS_SRV/A_PurchaseRequisitionItem"
    "(PurchaseRequisition='10000000',PurchaseRequisitionItem='1')"
)
SUTURES = ItemId("CON-60001")
BOXES = Quantity(value=Decimal(3), unit="BX")
PRICE = Money(amount=Decimal("75.00"))
PROMISE = Reservation(
    case="case-7f3a",
    facility="1710",
    cost_center="CC-OR-4711",
    needed_on=date(2026, 12, 1),
    lines=(ReservationLine(item=SUTURES, quantity=BOXES, location="OR01"),),
)
USED = Movement(
    kind="consumption",
    facility="1710",
    cost_center="CC-OR-4711",
    on=NOW.date(),
    reference="TX-1",
    lines=(MovementLine(item=SUTURES, quantity=BOXES, location="OR01", lot="LCON001A"),),
)
COST = CostPosting(
    facility="1710", cost_center="CC-OR-4711", on=NOW.date(), amount=PRICE, reference="TX-1"
)
WANTED = PricedRequisition(
    facility="1710",
    location="OR01",
    cost_center="CC-OR-4711",
    supplier="17300002",
    needed_on=date(2026, 12, 5),
    lines=(
        PricedLine(
            line=1,
            item=SUTURES,
            description="Suture",
            quantity=BOXES,
            unit_price=PRICE,
            contract="4600000102",
            base_quantity=Quantity(value=Decimal(36), unit="EA"),
        ),
    ),
    total=Money(amount=Decimal("225.00")),
)
RAISED = msgspec.structs.replace(WANTED, number="10000000")
BILL = Invoice(
    number="INV-5501",
    order="4500000001",
    supplier="17300002",
    invoiced_on=NOW.date(),
    lines=(InvoiceLine(order_line=1, quantity=BOXES, unit_price=PRICE),),
    total=Money(amount=Decimal("225.00")),
)


async def receive(erp: S4Hana) -> object:
    order = await erp.order("4500000001")
    line = ReceivedLine(quantity=BOXES, order_line=1, lot="S24-118")
    receipt = Receipt(order=order.number, received_at=NOW, lines=(line,))
    return await erp.post_receipt(receipt, order, key="receipt")


async def order(erp: S4Hana) -> object:
    return await erp.place_order(WANTED, key="order")


async def requisition(erp: S4Hana) -> object:
    return await erp.raise_requisition(WANTED, key="raise")


async def withdraw(erp: S4Hana) -> object:
    return await erp.withdraw_requisition(RAISED, key="withdraw")


Write = Callable[[S4Hana], Awaitable[object]]
WRITES: dict[str, tuple[str, Write, tuple[Write, ...]]] = {
    "reserve": ("RESERVATION", lambda erp: erp.reserve(PROMISE, key="reserve"), ()),
    "issue": ("MATERIAL_DOC", lambda erp: erp.post_movement(USED, key="usage"), ()),
    "cost": ("journalentry", lambda erp: erp.post_cost(COST, key="cost"), ()),
    "requisition": ("PURCHASEREQ", requisition, ()),
    "withdrawal": ("PURCHASEREQ", withdraw, (requisition,)),
    "order": ("PURCHASEORDER", order, ()),
    "receipt": ("MATERIAL_DOC", receive, (order,)),
    "invoice": (
        "SUPPLIERINVOICE",
        lambda erp: erp.post_invoice(BILL, key="invoice"),
        (order, receive),
    ),
}


METHODS = {"withdrawal": "PATCH"}


def connected() -> tuple[S4Hana, httpx.AsyncClient]:
    http = client(create_app(Settings(clock=lambda: NOW)))
    return S4Hana(http, S4Settings(), lambda: NOW), http


async def totals(http: httpx.AsyncClient) -> dict[str, object]:
    state = dict((await http.get("/sim/state")).json())
    assert Decimal(state["journal"]["sum"]) == 0
    del state["calls"]
    return state


async def undisturbed(name: str) -> tuple[object, dict[str, object]]:
    erp, http = connected()
    _, write, before = WRITES[name]
    for step in before:
        await step(erp)
    return await write(erp), await totals(http)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("5xx-before", UpstreamFailed),
        ("5xx-after-commit", UpstreamFailed),
        ("lost-answer", UpstreamUnavailable),
        ("throttled", UpstreamThrottled),
        ("down", UpstreamFailed),
    ],
)
async def test_a_write_repeated_with_its_key_is_done_exactly_once(
    name: str, kind: str, failure: type[Failure]
):
    path, write, before = WRITES[name]
    erp, http = connected()
    for step in before:
        await step(erp)
    fault = {"path": path, "kind": kind, "times": 1, "method": METHODS.get(name, "POST")}
    await http.post("/sim/faults", json=fault)
    with pytest.raises(failure) as caught:
        await write(erp)
    assert caught.value.retryable
    again = await write(erp)
    assert (again, await totals(http)) == await undisturbed(name)
    assert await write(erp) == again
    assert await totals(http) == (await undisturbed(name))[1]


async def test_another_key_is_another_document():
    erp, _ = connected()
    one, two = await erp.reserve(PROMISE, key="one"), await erp.reserve(PROMISE, key="two")
    assert one.number != two.number


async def test_a_release_whose_answer_got_lost_can_be_repeated():
    erp, http = connected()
    reservation = await erp.reserve(PROMISE, key="reserve")
    await http.post("/sim/faults", json={"path": "RESERVATION", "kind": "lost-answer"})
    with pytest.raises(UpstreamUnavailable):
        await erp.release(reservation, key="release")
    await erp.release(reservation, key="release")
    assert (await erp.stock(SUTURES, "1710", "OR01")).reserved == 0


async def test_releasing_what_the_erp_never_had_is_done_already():
    erp, _ = connected()
    await erp.release(msgspec.structs.replace(PROMISE, number="0000000999"), key="release")


class Switched(httpx.AsyncBaseTransport):
    """A line that can be pointed at another system."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)


class Meddled(Switched):
    """A line on which others are quick: `meddle` runs before each call of a kind passes."""

    def __init__(self, app: ASGIApp, meddle: Callable[[httpx.Request], Awaitable[None]]) -> None:
        super().__init__(InProcess(app))
        self._meddle = meddle

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._meddle(request)
        return await super().handle_async_request(request)


def sap(http: httpx.AsyncClient) -> S4Hana:
    return S4Hana(http, S4Settings(), lambda: NOW)


Meddling = Callable[[httpx.AsyncClient], Awaitable[object]]


def beside(method: str, path: str, change: Meddling, times: int = 1) -> tuple[S4Hana, S4Hana]:
    """Return two clients of one system: just before the first's calls of `method path` arrive,
    the second does `change`, so often.
    """
    app = create_app(Settings(clock=lambda: NOW))
    other = client(app)
    left = [times]

    async def meddle(request: httpx.Request) -> None:
        if request.method == method and path in request.url.path and left[0] > 0:
            left[0] -= 1
            await change(other)

    http = httpx.AsyncClient(
        transport=Meddled(app, meddle), base_url="http://erp", auth=("GATEWAY", "sandbox")
    )
    return sap(http), sap(other)


async def ordered(http: httpx.AsyncClient) -> object:
    return await sap(http).place_order(RAISED, key="order")


async def touched(http: httpx.AsyncClient) -> None:
    """Change the requisition item without changing what it means."""
    token = await http.get(f"{SERVICES}API_PURCHASEREQ_PROCESS_SRV/", headers=FETCH)
    headers = {"x-csrf-token": token.headers["x-csrf-token"], "if-match": "*"}
    await http.patch(f"{SERVICES}{ITEM}", json={"IsClosed": False}, headers=headers)


async def test_a_withdrawal_stopped_halfway_is_finished_by_the_next_try():
    erp, http = connected()
    before = await totals(http)
    second = msgspec.structs.replace(WANTED.lines[0], line=2)
    await erp.raise_requisition(
        msgspec.structs.replace(WANTED, lines=(WANTED.lines[0], second)), key="raise"
    )
    path = "PurchaseRequisitionItem='2'"
    await http.post("/sim/faults", json={"path": path, "kind": "5xx-before", "times": 1})
    with pytest.raises(UpstreamFailed):
        await withdraw(erp)
    assert (await erp.stock(SUTURES, "1710", "OR01")).on_order == 36
    await withdraw(erp)
    assert (await erp.stock(SUTURES, "1710", "OR01")).on_order == 0
    assert (await totals(http))["committed"] == before["committed"]


async def test_an_order_that_comes_while_its_requisition_is_withdrawn_stands():
    erp, other = beside("PATCH", "RequisitionItem", ordered)
    await requisition(erp)
    with pytest.raises(StateConflict, match="4500000001"):
        await withdraw(erp)
    assert (await other.stock(SUTURES, "1710", "OR01")).on_order == 36


async def test_a_requisition_touched_while_it_is_withdrawn_is_read_again():
    erp, other = beside("PATCH", "RequisitionItem", touched)
    await requisition(erp)
    await withdraw(erp)
    assert (await other.stock(SUTURES, "1710", "OR01")).on_order == 0


async def test_a_requisition_that_others_keep_touching_is_left_to_a_person():
    erp, other = beside("PATCH", "RequisitionItem", touched, times=9)
    await requisition(erp)
    with pytest.raises(StateConflict, match="changed by others"):
        await withdraw(erp)
    assert (await other.stock(SUTURES, "1710", "OR01")).on_order == 36


async def test_a_requisition_that_becomes_an_order_between_two_readings_counts_once():
    erp, _ = beside("GET", "A_PurchaseOrderItem", ordered)
    await requisition(erp)
    assert (await erp.stock(SUTURES, "1710", "OR01")).on_order == 36


async def test_a_service_without_etags_is_not_asked_for_them():
    row = {
        "PurchaseRequisition": "10000000",
        "PurchaseRequisitionItem": "10",
        "RequestedQuantity": "3",
        "BaseUnit": "BX",
    }
    patched = list[httpx.Request]()

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            patched.append(request)
            row["IsDeleted"] = "X"
            return httpx.Response(204)
        return httpx.Response(200, json={"d": {"results": [row]}})

    http = httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://erp")
    await withdraw(sap(http))
    [request] = patched
    assert (request.content, "if-match" in request.headers) == (b'{"IsDeleted":"X"}', False)


async def test_a_token_of_before_the_restart_is_fetched_again():
    line = Switched(InProcess(create_app()))
    http = httpx.AsyncClient(transport=line, base_url="http://erp", auth=("GATEWAY", "sandbox"))
    erp = S4Hana(http, S4Settings(), lambda: NOW)
    await erp.reserve(PROMISE, key="one")
    line.inner = InProcess(create_app())
    assert (await erp.reserve(PROMISE, key="two")).number == "0000000101"


async def test_writes_that_start_together_share_one_token():
    erp, http = connected()
    keys = [f"case-{n}" for n in range(5)]
    found = await asyncio.gather(*(erp.reserve(PROMISE, key=key) for key in keys))
    assert len({each.number for each in found}) == 5
    calls = (await http.get("/sim/state")).json()["calls"]
    assert calls["GET API_RESERVATION_DOCUMENT_SRV/"] == 1


async def test_a_throttled_read_says_how_long_to_wait():
    erp, http = connected()
    await http.post("/sim/faults", json={"path": "A_Product", "kind": "throttled"})
    with pytest.raises(UpstreamThrottled) as caught:
        await erp.item(SUTURES)
    assert caught.value.retry_after == 2.0


async def test_wrong_credentials_are_refused_without_a_word_about_them():
    http = client(create_app(), password="wrong")
    with pytest.raises(UpstreamRefused) as caught:
        await S4Hana(http, S4Settings(), lambda: NOW).item(SUTURES)
    assert "wrong" not in str(caught.value)


def answering(answer: httpx.Response | Exception) -> S4Hana:
    def handle(request: httpx.Request) -> httpx.Response:
        del request
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx.MockTransport(handle)
    http = httpx.AsyncClient(transport=transport, base_url="http://erp")
    return S4Hana(http, S4Settings(), lambda: NOW)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (httpx.ReadTimeout("slow"), UpstreamTimeout),
        (httpx.ConnectTimeout("slow"), UpstreamTimeout),
        (httpx.ConnectError("refused"), UpstreamUnavailable),
        (httpx.RemoteProtocolError("cut"), UpstreamUnavailable),
        (httpx.DecodingError("gzip"), UpstreamGarbled),
        (httpx.Response(200, content=b"<html>"), UpstreamGarbled),
        (httpx.Response(200, json={"d": {"Product": 4}}), UpstreamGarbled),
        (httpx.Response(400, json={"error": {"code": "X/1"}}), UpstreamRefused),
        (httpx.Response(429, headers={"retry-after": "soon"}), UpstreamThrottled),
        (httpx.Response(500), UpstreamFailed),
    ],
)
async def test_what_goes_wrong_on_the_wire_has_one_name(
    answer: httpx.Response | Exception, failure: type[Failure]
):
    with pytest.raises(failure):
        await answering(answer).item(SUTURES)


@pytest.mark.parametrize(
    "confirmation",
    [
        b"not xml",
        b"<e><AccountingDocument>0100000001</AccountingDocument></e>",
        b"<!DOCTYPE e><e><AccountingDocument>0100000001</AccountingDocument></e>",
        b'<!DOCTYPE e [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><e>&b;</e>',
        b'<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]><e>&x;</e>',
        b'<!DOCTYPE e SYSTEM "http://127.0.0.1:1/e.dtd"><e/>',
    ],
)
async def test_a_journal_entry_that_cannot_be_read_back_is_garbled(confirmation: bytes):
    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, content=confirmation)
        return httpx.Response(200, json={"d": {"results": []}})

    http = httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://erp")
    with pytest.raises(UpstreamGarbled):
        await S4Hana(http, S4Settings(), lambda: NOW).post_cost(COST, key="cost")


async def test_a_material_document_without_items_is_garbled():
    class Emptied(Switched):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if "A_MaterialDocumentItem" in request.url.path:
                return httpx.Response(200, json={"d": {"results": []}})
            return await super().handle_async_request(request)

    http = httpx.AsyncClient(
        transport=Emptied(InProcess(create_app())),
        base_url="http://erp",
        auth=("GATEWAY", "sandbox"),
    )
    erp = S4Hana(http, S4Settings(), lambda: NOW)
    placed = await erp.place_order(WANTED, key="order")
    line = ReceivedLine(quantity=BOXES, order_line=1, lot="S24-118")
    receipt = Receipt(order=placed.number, received_at=NOW, lines=(line,))
    with pytest.raises(UpstreamGarbled):
        await erp.post_receipt(receipt, placed, key="receipt")
