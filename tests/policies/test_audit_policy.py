import asyncio

import httpx
import msgspec
import pytest

from canonical.errors import UnknownItem
from policies.audit import Audit
from policies.bearer_token import BearerToken
from policies.correlation_id import CorrelationId
from policies.edge import facts_of


async def test_a_call_is_recorded_with_who_what_and_how_it_ended(gateway, hello):
    await gateway.ask(
        hello,
        BearerToken(),
        headers={"Authorization": "Bearer good", "X-Correlation-ID": "c1"},
    )
    (record,) = gateway.records
    assert (record.client, record.token_id, record.correlation_id) == ("ward-app", "t1", "c1")
    assert (record.method, record.path, record.status) == ("GET", "/items", 200)
    assert record.time == gateway.now
    assert record.duration_ms >= 0
    assert record.failure == ""


async def test_query_values_and_bodies_never_enter_a_record(gateway, hello):
    await gateway.ask(
        hello, method="POST", url="/usage?patient=Doe&mrn=12345", content=b'{"patient":"Doe"}'
    )
    text = repr(gateway.records)
    assert "Doe" not in text
    assert "12345" not in text


async def test_the_record_is_durable_before_the_first_byte_leaves(gateway):
    order = []

    async def audit(record):
        await asyncio.sleep(0)
        order.append("recorded")

    async def send(message):
        order.append(message["type"])

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    gateway.audit = audit
    scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
    await CorrelationId()(Audit()(app, gateway.edge()), gateway.edge())(scope, None, send)
    assert order == ["recorded", "http.response.start", "http.response.body"]


async def test_a_call_that_cannot_be_recorded_is_answered_503_and_its_answer_kept_back(gateway):
    async def app(scope, receive, send):
        headers = [(b"x-secret", b"1")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b"made", "more_body": True})
        await send({"type": "http.response.body", "body": b" it"})

    gateway.ledger_is_up = False
    response = await gateway.ask(app)
    assert response.status_code == 503
    assert response.json()["type"] == "store-unavailable"
    assert "x-correlation-id" in response.headers
    assert "x-secret" not in response.headers


async def test_a_refused_call_is_recorded_with_its_failure(gateway):
    async def app(scope, receive, send):
        raise UnknownItem("no item has this code")

    response = await gateway.ask(app)
    assert response.status_code == 409
    (record,) = gateway.records
    assert (record.status, record.failure) == (409, "unknown-item")


async def test_a_call_that_dies_without_an_answer_is_recorded(gateway):
    reached = asyncio.Event()

    async def app(scope, receive, send):
        reached.set()
        await asyncio.sleep(60)

    scope = {"type": "http", "path": "/slow", "method": "GET", "headers": []}
    call = asyncio.create_task(gateway.around(app)(scope, None, None))
    await reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (record,) = gateway.records
    assert (record.path, record.status) == ("/slow", 0)


async def test_a_path_with_control_characters_is_recorded_encoded_and_cut(gateway, hello):
    await gateway.ask(hello, url="/a%00b%0A" + "c" * 2000)
    (record,) = gateway.records
    assert record.path.startswith("/a%00b%0Acc")
    assert len(record.path) == 1024


async def test_probes_can_be_left_out_of_the_record(gateway, hello):
    app = Audit(except_paths=("/live",))(hello, gateway.edge())
    answers = []

    async def send(message):
        answers.append(message)

    await app({"type": "http", "path": "/live", "method": "GET", "headers": []}, None, send)
    assert answers[0]["status"] == 200
    assert gateway.records == []


async def test_a_person_and_what_the_call_is_for_are_recorded(gateway, hello):
    gateway.principal = msgspec.structs.replace(
        gateway.principal,
        subject="nurse-7",
        purpose="treatment",
        facilities=frozenset({"1710"}),
    )
    await gateway.ask(hello, BearerToken(), headers={"Authorization": "Bearer good"})
    (record,) = gateway.records
    assert (record.client, record.person, record.purpose) == ("ward-app", "nurse-7", "treatment")
    assert (record.facility, record.address) == ("1710", "")


async def test_what_the_path_names_is_the_object_unless_the_route_says_better(gateway):
    async def app(scope, receive, send):
        scope["path_params"] = {"task_id": "task_1", "n": 2}
        if scope["path"] == "/told":
            facts_of(scope).object = "case_x"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    for path in ("/items", "/told"):
        await gateway.ask(app, url=path)
    assert [record.object for record in gateway.records] == ["task_1/2", "case_x"]


@pytest.mark.parametrize(
    ("policy", "forwarded", "address"),
    [
        (Audit(), "", ""),
        (Audit(addresses=True), "", "127.0.0.1"),
        (Audit(addresses=True), "10.1.1.1", "127.0.0.1"),
        (Audit(addresses=True, trusted_proxies=1), "6.6.6.6, 10.1.1.1", "10.1.1.1"),
        (Audit(addresses=True, trusted_proxies=2), "10.1.1.1", "127.0.0.1"),
    ],
)
async def test_an_address_is_recorded_only_where_the_policy_says_so(
    gateway, hello, policy, forwarded, address
):
    app = CorrelationId()(policy(hello, gateway.edge()), gateway.edge())
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1234))
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        await client.get("/items", headers=headers)
    assert [record.address for record in gateway.records] == [address]
