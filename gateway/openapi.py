"""One OpenAPI 3.1 document a tier, from the handlers; committed in `openapi/` and compared.

Litestar describes routes and parameters. Structs are described by msgspec, which also reads and
writes them: what a document says of a body is what the gateway does with it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, OAuthFlow, OAuthFlows, Reference, Schema, SecurityScheme
from litestar.plugins import OpenAPISchemaPlugin
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition

from experience_apis.mobile.routes import router as mobile
from experience_apis.operations.routes import router as operations
from experience_apis.procurement.routes import router as procurement
from experience_apis.security.routes import router as security
from gateway.contract import DECIMAL_PATTERN, LARGEST, taken_types
from gateway.problems import Problem
from process_apis.exceptions.routes import router as exceptions
from process_apis.order_to_receipt.routes import router as orders
from process_apis.receiving.routes import router as receipts
from process_apis.requisition_to_order.routes import router as requisitions
from process_apis.usage_to_replenishment.routes import router as usage
from system_apis.edi.routes import router as edi
from system_apis.ehr.routes import router as ehr
from system_apis.erp.routes import router as erp

TIERS: Mapping[str, tuple[Router, ...]] = {
    "system": (ehr, edi, erp),
    "process": (requisitions, orders, usage, receipts, exceptions),
    "experience": (mobile, procurement, operations, security),
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
    "shelf",
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

_DECIMAL: dict[str, Any] = {
    "type": ["string", "integer"],
    "format": "decimal",
    "pattern": DECIMAL_PATTERN,
    "minimum": -LARGEST,
    "maximum": LARGEST,
    "description": "A decimal number as a string; a whole number is also taken as a JSON number.",
    "examples": ["12.50"],
}
_HEADERS: dict[str, Any] = {
    "X-Correlation-ID": {
        "description": "The id of this call, for operators",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    },
    "RateLimit": {
        "description": "What is left of the quota (draft-ietf-httpapi-ratelimit-headers)",
        "schema": {"type": "string"},
        "example": '"calls";r=999;t=1',
    },
    "RateLimit-Policy": {
        "description": "The quota and its window in seconds",
        "schema": {"type": "string"},
        "example": '"calls";q=6000;w=60',
    },
    "Retry-After": {
        "description": "Seconds until another try makes sense (RFC 9110 10.2.3)",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Allow": {
        "description": "The methods of this path (RFC 9110 10.2.1)",
        "required": True,
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 6750 3)",
        "required": True,
        "schema": {"type": "string"},
    },
}
_EVERYWHERE: Final = ("X-Correlation-ID", "RateLimit", "RateLimit-Policy")
_PROBLEMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "400": ("InvalidRequest", "The request does not keep its contract", ()),
    "401": ("Unauthenticated", "No access token, or no good one", ("WWW-Authenticate",)),
    "403": ("Forbidden", "Not with this token", ()),
    "404": ("NotFound", "There is no such thing", ()),
    "405": ("MethodNotAllowed", "The path does not take this method", ("Allow",)),
    "409": ("Conflict", "The facts or the state do not allow it", ()),
    "413": ("BodyTooLarge", "The body is too large", ()),
    "415": ("UnsupportedMediaType", "The path does not take this kind of body", ()),
    "422": ("Unprocessable", "Well-formed, and not for us: message type, partner", ()),
    "429": ("TooManyRequests", "The quota is used up", ("Retry-After",)),
    "500": ("InternalFault", "A fault of Suture; its id is in the log", ()),
    "502": ("UpstreamFailed", "The system behind failed or refused", ()),
    "503": ("Unavailable", "A store or a system behind is away", ("Retry-After",)),
    "504": ("UpstreamTimeout", "The system behind did not answer in time", ()),
}
"""Status → name, words and headers of the problem response."""

_ALWAYS: Final = ("400", "401", "403", "405", "413", "429", "500", "503")
_UPSTREAM: Final = frozenset(("erp", "orders", "shelf"))
_LINKS: dict[str, dict[str, tuple[str, str, str]]] = {
    "scanUsage": {"transaction": ("showTransaction", "name", "$response.body#/transaction")},
    "scanReceipt": {"transaction": ("showTransaction", "name", "$response.body#/transaction")},
    "listTransactions": {"newest": ("showTransaction", "name", "$response.body#/items/0/id")},
    "createRequisition": {
        "decision": ("decideRequisition", "requisition_id", "$response.body#/id")
    },
    "listTasks": {"oldest": ("resolveTask", "task_id", "$response.body#/items/0/id")},
}
"""Operation → name of the link: the operation that goes on, its parameter, where its value is."""


class _Structs(OpenAPISchemaPlugin):
    """Takes the Structs out of Litestar's hands: a reference now, the schema by msgspec later."""

    def __init__(self) -> None:
        self.found: dict[str, type[msgspec.Struct]] = {}

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Any:  # noqa: ARG002 - Litestar's shape
        kind: type[msgspec.Struct] = field_definition.annotation
        self.found[kind.__name__] = kind
        return Schema(all_of=[Reference(ref=f"#/components/schemas/{kind.__name__}")])


def _stand_in() -> Provide:
    """Stand in for a collaborator: a document describes, it does not call."""

    async def absent() -> None: ...

    return Provide(absent)


def document(tier: str) -> dict[str, Any]:
    """Return the OpenAPI document of a tier."""
    structs = _Structs()
    app = Litestar(
        route_handlers=[*TIERS[tier]],
        dependencies={name: _stand_in() for name in DEPENDENCIES},
        plugins=[structs],
        openapi_config=OpenAPIConfig(
            title=_TITLES[tier],
            version=VERSION,
            description=_ABOUT,
            components=Components(security_schemes={"oauth2": _oauth()}),
            use_handler_docstrings=True,
        ),
    )
    schema: dict[str, Any] = msgspec.to_builtins(app.openapi_schema.to_schema())
    schema["components"] |= _components([*structs.found.values(), Problem])
    handlers = {handler.operation_id: handler for handler in _handlers(app)}
    for path in schema["paths"].values():
        for operation in path.values():
            _complete(operation, handlers[operation["operationId"]])
    flow = schema["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    scopes = {str(handler.opt["scope"]) for handler in handlers.values()}
    flow["scopes"] = {scope: scope for scope in sorted(scopes)}
    return _exact(schema)


def encoded(tier: str) -> bytes:
    """Return the document as it is committed: stable order, two spaces."""
    return (
        msgspec.json.format(msgspec.json.encode(document(tier), order="sorted"), indent=2) + b"\n"
    )


def _oauth() -> SecurityScheme:
    flow = OAuthFlow(token_url="/oauth/token", scopes={})  # noqa: S106 - an address
    return SecurityScheme(type="oauth2", flows=OAuthFlows(client_credentials=flow))


def _handlers(app: Litestar) -> Iterator[HTTPRouteHandler]:
    """Yield the handlers that a document shows."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            yield from (
                handler for handler in route.route_handlers if handler.resolve_include_in_schema()
            )


def _components(structs: list[type[msgspec.Struct]]) -> dict[str, Any]:
    """Describe Structs, headers and problems once, for all operations."""
    _, schemas = msgspec.json.schema_components(
        structs, ref_template="#/components/schemas/{name}"
    )
    return {
        "schemas": schemas,
        "headers": _HEADERS,
        "responses": {name: _problem(words, own) for name, words, own in _PROBLEMS.values()},
    }


def _exact(schema: Any) -> Any:
    """Say of decimals what `gateway/contract.py` takes; unfold what only refers."""
    if isinstance(schema, list):
        return [_exact(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {**schema, **_DECIMAL}
    if schema.keys() == {"allOf"} and len(schema["allOf"]) == 1:
        return schema["allOf"][0]
    return {key: _exact(value) for key, value in schema.items()}


def _problem(words: str, headers: tuple[str, ...]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": words,
        "headers": _header_references(*headers, *_EVERYWHERE),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _header_references(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _complete(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    """Add to one operation what Litestar does not know of it."""
    if handler.summary is None:
        summary, _, rest = operation.pop("description").partition(".\n")
        operation["summary"] = summary.rstrip(".")
        if rest.strip():
            operation["description"] = rest.strip()
    operation["security"] = [{"oauth2": [handler.opt["scope"]]}]
    for parameter in (operation, *operation.get("parameters", ())):
        parameter.pop("deprecated", None)
    if "takes" in handler.opt:
        operation["requestBody"] = _raw_body(handler)
        success = operation["responses"][str(handler.status_code)]
        success["content"] = {str(handler.media_type): {"schema": _shape(handler)}}
    _complete_responses(operation, handler)


def _raw_body(handler: HTTPRouteHandler) -> dict[str, Any]:
    """A document of its own standard: taken as it is, byte by byte."""
    content = {kind: {"schema": _shape(handler)} for kind in taken_types(handler)}
    return {"required": True, "content": content}


def _complete_responses(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    success = operation["responses"][str(handler.status_code)]
    success["headers"] = _header_references(*_EVERYWHERE)
    links = _LINKS.get(str(handler.operation_id), {})
    if links:
        success["links"] = {
            name: {"operationId": target, "parameters": {parameter: value}}
            for name, (target, parameter, value) in links.items()
        }
    operation["responses"] = {str(handler.status_code): success}
    for status in _statuses(operation, handler):
        reference = {"$ref": f"#/components/responses/{_PROBLEMS[status][0]}"}
        operation["responses"][status] = reference
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
    """A refusal in the words of the document's own standard, or a problem before it was read."""
    _, words, headers = _PROBLEMS[status]
    response = _problem(words, headers)
    response["content"][str(handler.media_type)] = {"schema": _shape(handler)}
    return response


def _shape(handler: HTTPRouteHandler) -> dict[str, Any]:
    shape: dict[str, Any] = handler.opt.get("shape", {"type": "string"})
    return shape
