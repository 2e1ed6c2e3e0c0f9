import logging

import msgspec
import pytest
from litestar import Litestar, get, post
from litestar.params import FromPath, JSONBody

from canonical.errors import InternalFault, UpstreamThrottled


def reraise(request, exc):
    raise exc


class Scan(msgspec.Struct):
    gtin: str
    quantity: int


@get("/items/{number:int}")
async def item(number: FromPath[int]) -> dict[str, int]:
    return {"number": number}


@post("/scans")
async def scan(data: JSONBody[Scan]) -> Scan:
    return data


@get("/broken")
async def broken() -> None:
    raise ValueError("patient Doe has no bed")


@pytest.fixture
def application():
    return Litestar(
        [item, scan, broken],
        exception_handlers={Exception: reraise},
        openapi_config=None,
        logging_config=None,
    )


async def test_a_named_failure_is_rendered_once_with_its_facts(gateway):
    async def app(scope, receive, send):
        raise UpstreamThrottled("the ERP asks for patience", retry_after=7)

    response = await gateway.ask(app)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "7"
    assert response.json()["correlationId"] == response.headers["x-correlation-id"]


async def test_a_stray_exception_is_a_500_with_an_id_and_its_message_goes_nowhere(
    gateway, application, caplog
):
    with caplog.at_level(logging.DEBUG):
        response = await gateway.ask(application, url="/broken?name=Doe")
    assert response.status_code == 500
    assert response.json()["type"] == "internal-fault"
    fault = response.json()["detail"].removeprefix("fault ")
    (line,) = [r.getMessage() for r in caplog.records if fault in r.getMessage()]
    assert "ValueError" in line
    assert "broken" in line
    assert response.headers["x-correlation-id"] in line
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("suture", "litestar"))]
    everything = " ".join(ours) + response.text
    assert "Doe" not in everything
    assert "no bed" not in everything


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "slug"),
    [
        ("GET", "/nowhere", None, 404, "not-found"),
        ("GET", "/items/x", None, 404, "not-found"),
        ("DELETE", "/scans", None, 405, "method-not-allowed"),
        ("POST", "/scans", b"{", 400, "invalid-request"),
        ("POST", "/scans", b'{"gtin":"1","quantity":"Doe"}', 400, "invalid-request"),
    ],
)
async def test_what_the_framework_refuses_is_said_in_our_vocabulary_and_recorded(
    gateway, application, method, url, body, status, slug
):
    response = await gateway.ask(application, method=method, url=f"{url}?who=Doe", content=body)
    assert (response.status_code, response.json()["type"]) == (status, slug)
    assert "Doe" not in response.text
    (record,) = gateway.records
    assert (record.status, record.failure) == (status, slug)


async def test_a_refused_method_names_the_allowed_ones(gateway, application):
    response = await gateway.ask(application, method="DELETE", url="/scans")
    assert set(response.headers["allow"].split(", ")) >= {"POST"}


async def test_a_body_that_misses_its_contract_names_the_place(gateway, application):
    response = await gateway.ask(
        application, method="POST", url="/scans", content=b'{"gtin":"1","quantity":"x"}'
    )
    assert response.json()["where"] == "quantity"
    assert "int" in response.json()["expected"]


async def test_a_failure_in_the_middle_of_an_answer_breaks_the_connection(gateway):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("patient Doe")

    with pytest.raises(InternalFault) as broken_off:
        await gateway.ask(app)
    assert "Doe" not in str(broken_off.value)
    assert broken_off.value.__cause__ is None
