"""The OpenAPI documents: current, valid, complete; and every route is behind a scope or public."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from litestar import WebSocket, asgi, get, websocket
from litestar.routes import HTTPRoute
from litestar.types import Receive, Scope, Send

from gateway import asyncapi
from gateway.__main__ import main
from gateway.app import HANDLERS, Parts, UncoveredRoute, routed
from gateway.config import Config
from gateway.openapi import TIERS, document, encoded
from gateway.runtime import Stores, open_parts
from policies.scopes import declared_scope

FOLDER = Path(__file__).resolve().parents[2] / "openapi"
DOCUMENTS = {tier: document(tier) for tier in TIERS}
OPERATIONS = {
    operation["operationId"]: (tier, operation)
    for tier, told in DOCUMENTS.items()
    for path in told["paths"].values()
    for operation in path.values()
}


@pytest.mark.parametrize("tier", TIERS)
def test_the_committed_document_is_what_the_handlers_say(tier):
    committed = (FOLDER / f"{tier}.json").read_bytes()
    assert committed == encoded(tier), f"openapi/{tier}.json is out of date: run make openapi"


def test_the_command_writes_the_committed_documents(tmp_path, capsys):
    assert main(["openapi", "--write", str(tmp_path)]) == 0
    written = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    tiers = {f"{tier}.json": encoded(tier) for tier in TIERS}
    assert written == {**tiers, "events.asyncapi.json": asyncapi.encoded()}
    capsys.readouterr()


def test_the_command_prints_one_document(capfdbinary):
    assert main(["openapi", "--tier", "process"]) == 0
    assert capfdbinary.readouterr().out == encoded("process")


@pytest.mark.parametrize("tier", TIERS)
def test_a_document_is_valid_openapi_3_1(tier):
    told = document(tier)
    assert told["openapi"].startswith("3.1.")
    # OpenAPI 3.1.1 4.6 lets every URL be relative; the schema of 2022 asks for a whole one here.
    flow = told["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    flow["tokenUrl"] = f"http://suture.invalid{flow['tokenUrl']}"
    schemathesis.openapi.from_dict(told).validate()
    for schema in told["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def references(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        if isinstance(told.get("$ref"), str):
            yield told["$ref"]
        for each in told.values():
            yield from references(each)
    elif isinstance(told, list):
        for each in told:
            yield from references(each)


@pytest.mark.parametrize("tier", TIERS)
def test_every_reference_leads_somewhere(tier):
    for reference in references(DOCUMENTS[tier]):
        target: Any = DOCUMENTS[tier]
        for step in reference.removeprefix("#/").split("/"):
            assert step in target, reference
            target = target[step]


@pytest.mark.parametrize("tier", TIERS)
def test_a_link_leads_to_a_parameter_of_an_operation(tier):
    told = DOCUMENTS[tier]
    operations = {
        operation["operationId"]: operation
        for path in told["paths"].values()
        for operation in path.values()
    }
    for operation in operations.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                parameters = operations[link["operationId"]]["parameters"]
                assert link["parameters"].keys() <= {each["name"] for each in parameters}


def test_operation_ids_are_camel_case_and_unique_over_all_tiers():
    ids = Counter(
        operation["operationId"]
        for told in DOCUMENTS.values()
        for path in told["paths"].values()
        for operation in path.values()
    )
    assert [name for name, count in ids.items() if count > 1] == []
    assert [name for name in ids if not re.fullmatch("[a-z]+([A-Z0-9][a-z0-9]*)+", name)] == []


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_an_operation_says_who_may_call_it_and_what_for(operation_id):
    tier, operation = OPERATIONS[operation_id]
    (requirement,) = operation["security"]
    (scope,) = requirement["oauth2"]
    assert re.fullmatch(rf"{tier}(\.[a-z0-9-]+)+:[a-z]+", scope)
    schemes = DOCUMENTS[tier]["components"]["securitySchemes"]
    assert scope in schemes["oauth2"]["flows"]["clientCredentials"]["scopes"]
    assert operation["summary"].strip()


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_every_failure_of_an_operation_is_a_problem(operation_id):
    tier, operation = OPERATIONS[operation_id]
    failures = {
        status: response
        for status, response in operation["responses"].items()
        if status.startswith(("4", "5"))
    }
    assert failures.keys() >= {"400", "401", "403", "429", "500", "503"}
    assert ("415" in failures) == ("requestBody" in operation)
    for status, response in failures.items():
        if "$ref" in response:
            name = response["$ref"].rsplit("/", 1)[1]
            response = DOCUMENTS[tier]["components"]["responses"][name]  # noqa: PLW2901
        assert "application/problem+json" in response["content"], status
        assert "X-Correlation-ID" in response["headers"], status


def test_documents_of_other_standards_travel_under_their_own_media_type():
    for operation_id, kind in {
        "sendHl7v2": "x-application/hl7-v2+er7",
        "sendX12": "application/edi-x12",
        "sendFhir": "application/fhir+json",
    }.items():
        _, operation = OPERATIONS[operation_id]
        assert kind in operation["requestBody"]["content"]
        assert [*operation["responses"]["200"]["content"]] == [kind]


def test_decimals_travel_as_strings_and_moments_with_their_zone():
    quantity = DOCUMENTS["process"]["components"]["schemas"]["Quantity"]["properties"]["value"]
    assert quantity["type"][0] == "string"
    assert quantity["format"] == "decimal"
    task = DOCUMENTS["process"]["components"]["schemas"]["Task"]["properties"]
    assert task["raisedAt"]["format"] == "date-time"


@pytest.fixture
async def parts(config: Config, stores: Stores) -> AsyncIterator[Parts]:
    async with open_parts(config, stores=stores) as opened:
        yield opened


async def test_every_route_of_the_gateway_names_a_scope_or_that_it_is_public(parts):
    handlers = [
        handler
        for route in routed(parts, HANDLERS).routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.http_methods != {"OPTIONS"}
    ]
    assert [str(handler) for handler in handlers if declared_scope(handler.opt) is None] == []
    ids = [handler.operation_id for handler in handlers]
    assert None not in ids
    assert len(set(ids)) == len(ids)
    documented = {handler.operation_id for handler in handlers if handler.opt.get("scope")}
    assert documented - {"watchTransactions", "listenToEvents"} == OPERATIONS.keys()


@get("/open", operation_id="readOpenly")
async def unguarded() -> None: ...


@get("/nameless")
async def nameless() -> None: ...


@asgi("/mounted", copy_scope=True)
async def mounted(scope: Scope, receive: Receive, send: Send) -> None: ...


@websocket("/socket")
async def channel(socket: WebSocket[Any, Any, Any]) -> None: ...


@pytest.mark.parametrize("handler", [unguarded, nameless, mounted, channel])
async def test_a_route_without_a_scope_keeps_the_gateway_from_starting(handler, parts):
    with pytest.raises(UncoveredRoute, match=handler.handler_name):
        routed(parts, [*HANDLERS, handler])


def test_a_route_with_a_scope_refuses_whoever_has_no_token(served):
    with served.client() as client:
        del client.headers["authorization"]
        for told in DOCUMENTS.values():
            for path, operations in told["paths"].items():
                for method in operations:
                    answer = client.request(method, re.sub(r"\{\w+\}", "any", path))
                    assert answer.status_code == 401, (method, path)
                    assert answer.headers["www-authenticate"].startswith("Bearer ")
