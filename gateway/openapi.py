"""One OpenAPI 3.1 document a tier, from the handlers; committed in `openapi/` and compared."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, OAuthFlow, OAuthFlows, SecurityScheme
from litestar.routes import HTTPRoute

from experience_apis.mobile.routes import router as mobile
from experience_apis.operations.routes import router as operations
from experience_apis.procurement.routes import router as procurement
from experience_apis.procurement.routes import second_version as procurement_v2
from experience_apis.security.routes import router as security
from gateway.contract import taken_types
from gateway.lifecycle import announce, shipped_lifecycle
from gateway.openapi_components import (
    Structs,
    components,
    exact,
    problem,
    problem_reference,
    response_headers,
)
from policies.lifecycle import Lifecycle
from process_apis.exceptions.routes import router as exceptions
from process_apis.order_to_receipt.routes import router as orders
from process_apis.receiving.routes import router as receipts
from process_apis.requisition_to_order.routes import router as requisitions
from process_apis.usage_to_replenishment.routes import router as usage
from system_apis.edi.routes import router as edi
from system_apis.ehr.routes import router as ehr
from system_apis.erp.routes import router as erp
from system_apis.subscribers.live import router as live_events
from system_apis.subscribers.routes import router as subscriptions

TIERS: Mapping[str, tuple[Router, ...]] = {
    "system": (ehr, edi, erp, subscriptions, live_events),
    "process": (requisitions, orders, usage, receipts, exceptions),
    "experience": (mobile, procurement, procurement_v2, operations, security),
}

DEPENDENCIES = (
    "ledger",
    "facts",
    "hl7",
    "fhir",
    "x12",
    "erp",
    "orders",
    "redelivery",
    "labels",
    "crosswalk",
    "places",
    "shelf",
    "subscribers",
    "listeners",
)
"""What handlers are given by name; `gateway/app.py` provides each."""

_TITLES = {
    "system": "Suture System APIs",
    "process": "Suture Process APIs",
    "experience": "Suture Experience APIs",
}
_ABOUT: Final = """Every path needs an OAuth 2.1 access token with the scope that it names.

Amounts and quantities are decimal numbers in strings, so that no program rounds them. Times are
RFC 3339 with their zone; answers give UTC. Texts are Unicode without U+0000. Every failure is an
RFC 9457 problem with a `correlationId` that operators can search for.
"""
VERSION = "1.0.0"

_ALWAYS: Final = ("400", "401", "403", "405", "406", "413", "414", "429", "431", "500", "503")
_UPSTREAM: Final = frozenset(("erp", "orders", "shelf"))
_LINKS: dict[str, dict[str, tuple[str, str, str]]] = {
    "scanUsage": {"transaction": ("showTransaction", "name", "$response.body#/transaction")},
    "scanReceipt": {"transaction": ("showTransaction", "name", "$response.body#/transaction")},
    "listTransactions": {"newest": ("showTransaction", "name", "$response.body#/items/0/id")},
    "listTasks": {"oldest": ("resolveTask", "task_id", "$response.body#/items/0/id")},
}
"""Operation → name of the link: the operation that goes on, its parameter, where its value is."""


def _stand_in() -> Provide:
    """Stand in for a collaborator: a document describes, it does not call."""

    async def absent() -> None: ...

    return Provide(absent)


def operation_paths() -> dict[str, str]:
    """Return the path of every operation that a document shows, by its id."""
    return {
        str(handler.operation_id): route.path
        for routers in TIERS.values()
        for router in routers
        for route in router.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
    }


def document(tier: str, lifecycle: Lifecycle | None = None) -> dict[str, Any]:
    """Return the OpenAPI document of a tier; without a `lifecycle`, by that of the product."""
    structs = Structs()
    app = Litestar(
        route_handlers=[*TIERS[tier]],
        dependencies={name: _stand_in() for name in DEPENDENCIES},
        plugins=[structs],
        logging_config=None,  # its own would replace the handlers of the process that serves this
        openapi_config=OpenAPIConfig(
            title=_TITLES[tier],
            version=VERSION,
            description=_ABOUT,
            components=Components(security_schemes={"oauth2": _oauth()}),
            use_handler_docstrings=True,
        ),
    )
    schema: dict[str, Any] = msgspec.to_builtins(app.openapi_schema.to_schema())
    schema["components"] |= components(structs)
    handlers = {handler.operation_id: handler for handler in _documented(app)}
    for path in schema["paths"].values():
        for operation in path.values():
            _complete(operation, handlers[operation["operationId"]])
    announce(schema["paths"], lifecycle or shipped_lifecycle())
    flow = schema["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    scopes = {str(handler.opt["scope"]) for handler in handlers.values()}
    flow["scopes"] = {scope: scope for scope in sorted(scopes)}
    described: dict[str, Any] = exact(schema)
    return described


def encoded(tier: str, lifecycle: Lifecycle | None = None) -> bytes:
    """Return the document as it is committed: stable order, two spaces."""
    told = msgspec.json.encode(document(tier, lifecycle), order="sorted")
    return msgspec.json.format(told, indent=2) + b"\n"


def _oauth() -> SecurityScheme:
    flow = OAuthFlow(token_url="/oauth/token", scopes={})  # noqa: S106 - an address
    return SecurityScheme(type="oauth2", flows=OAuthFlows(client_credentials=flow))


def _documented(app: Litestar) -> Iterator[HTTPRouteHandler]:
    """Yield the handlers that a document shows."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            yield from (
                handler for handler in route.route_handlers if handler.resolve_include_in_schema()
            )


def _complete(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    """Add to one operation what Litestar does not know of it."""
    if handler.summary is None:
        summary, _, rest = operation.pop("description").partition(".\n")
        operation["summary"] = summary.rstrip(".")
        if rest.strip():
            operation["description"] = rest.strip()
    operation["security"] = [{"oauth2": [handler.opt["scope"]]}]
    if "takes" in handler.opt:
        operation["requestBody"] = _raw_body(handler)
        success = operation["responses"][str(handler.status_code)]
        success["content"] = {str(handler.media_type): {"schema": _shape(handler)}}
    _complete_responses(operation, handler)


def _raw_body(handler: HTTPRouteHandler) -> dict[str, Any]:
    """Describe a document of a standard of its own: taken as it is, byte by byte."""
    content = {kind: {"schema": _shape(handler)} for kind in taken_types(handler)}
    return {"required": True, "content": content}


def _complete_responses(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    success = operation["responses"][str(handler.status_code)]
    success["headers"] = response_headers()
    links = _LINKS.get(str(handler.operation_id), {})
    if links:
        success["links"] = {
            name: {"operationId": target, "parameters": {parameter: value}}
            for name, (target, parameter, value) in links.items()
        }
    operation["responses"] = {str(handler.status_code): success}
    for status in _statuses(operation, handler):
        operation["responses"][status] = problem_reference(status)
    for status in handler.opt.get("refusals", ()):
        operation["responses"][status] = _own_refusal(status, handler)


def _statuses(operation: dict[str, Any], handler: HTTPRouteHandler) -> list[str]:
    """Which problems an operation can end in: by what it takes and whom it asks."""
    statuses = [*_ALWAYS]
    asks = bool(_UPSTREAM & handler.parsed_fn_signature.parameters.keys())
    if asks or any(each["in"] == "path" for each in operation.get("parameters", ())):
        statuses.append("404")
    if asks:
        statuses += ["502", "504"]
    if asks or "requestBody" in operation:
        statuses.append("409")
    if "requestBody" in operation:
        statuses.append("415")
    if "takes" in handler.opt:
        statuses.append("422")
    return sorted(statuses)


def _own_refusal(status: str, handler: HTTPRouteHandler) -> dict[str, Any]:
    """Describe a refusal in the words of the document's standard; before it was read, a problem."""
    response = problem(status)
    response["content"][str(handler.media_type)] = {"schema": _shape(handler)}
    return response


def _shape(handler: HTTPRouteHandler) -> dict[str, Any]:
    shape: dict[str, Any] = handler.opt.get("shape", {"type": "string"})
    return shape
