"""One OpenAPI 3.1 document a tier, from the handlers; committed in `openapi/` and compared."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, OAuthFlow, OAuthFlows, SecurityScheme
from litestar.routes import HTTPRoute

from experience_apis.mobile.routes import router as mobile
from experience_apis.operations.routes import router as operations
from experience_apis.procurement.routes import router as procurement
from experience_apis.security.routes import router as security
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
VERSION = "1.0.0"
_STATUSES = (
    "400",
    "401",
    "403",
    "404",
    "405",
    "409",
    "413",
    "415",
    "422",
    "429",
    "500",
    "502",
    "503",
    "504",
)

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details: what is wrong, where, and the next step.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "urn:suture:problem:<slug>"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "correlationId": {"type": "string"},
        "where": {"type": "string"},
        "expected": {"type": "string"},
        "fix": {"type": "string"},
        "retryable": {"type": "boolean"},
        "retryAfter": {"type": "integer"},
    },
}


def _stand_in() -> Provide:
    """Stand in for a collaborator: a document describes, it does not call."""

    async def absent() -> None: ...

    return Provide(absent)


def document(tier: str) -> dict[str, Any]:
    """Return the OpenAPI document of a tier."""
    app = Litestar(
        route_handlers=[*TIERS[tier]],
        dependencies={name: _stand_in() for name in DEPENDENCIES},
        openapi_config=OpenAPIConfig(
            title=_TITLES[tier],
            version=VERSION,
            components=Components(security_schemes={"oauth2": _oauth()}),
            use_handler_docstrings=True,
        ),
    )
    schema: dict[str, Any] = msgspec.to_builtins(app.openapi_schema.to_schema())
    _add_problems(schema)
    _add_scopes(schema, _scopes(app))
    return schema


def encoded(tier: str) -> bytes:
    """Return the document as it is committed: stable order, two spaces."""
    return (
        msgspec.json.format(msgspec.json.encode(document(tier), order="sorted"), indent=2) + b"\n"
    )


def _oauth() -> SecurityScheme:
    flow = OAuthFlow(token_url="/oauth/token", scopes={})  # noqa: S106 - an address
    return SecurityScheme(type="oauth2", flows=OAuthFlows(client_credentials=flow))


def _scopes(app: Litestar) -> dict[str, str]:
    return {
        str(handler.operation_id): str(handler.opt["scope"])
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if "scope" in handler.opt
    }


def _add_problems(schema: dict[str, Any]) -> None:
    """Every operation can end in a problem; say so once instead of at each handler."""
    schema["components"].setdefault("schemas", {})["Problem"] = _PROBLEM
    schema["components"]["responses"] = {
        "Problem": {
            "description": "A named failure (RFC 9457)",
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
    }
    for path in schema["paths"].values():
        for operation in path.values():
            _replace_errors(operation)


def _replace_errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in [status for status in responses if status.startswith(("4", "5"))]:
        del responses[status]
    for status in _STATUSES:
        responses[status] = {"$ref": "#/components/responses/Problem"}


def _add_scopes(schema: dict[str, Any], scopes: dict[str, str]) -> None:
    """Name each operation's scope, and all of them at the token endpoint."""
    flow = schema["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    flow["scopes"] = {scope: scope for scope in sorted(set(scopes.values()))}
    for path in schema["paths"].values():
        for operation in path.values():
            scope = scopes.get(operation.get("operationId", ""))
            if scope:
                operation["security"] = [{"oauth2": [scope]}]
