"""The HTTP application: routes inside, policies around them in the order of gateway.toml.

correlation · headers · audit · problems · body limit · token · rate limit      (gateway.toml)
  └─ Litestar: scope of the route ─ handler
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.routes import ASGIRoute, BaseRoute, HTTPRoute, WebSocketRoute
from litestar.types import ASGIApp, ControllerRouterHandler

from canonical.clock import Clock
from canonical.request import RequestFacts
from gateway.admission import METADATA, Admission, describe_resource
from gateway.authorization import Authorization, describe_server
from gateway.authorization import router as authorization_routes
from gateway.config import Config, policy_version
from gateway.contract import ContractRequest, require_contract
from gateway.events import Subscribers, public_url
from gateway.health import Pings
from gateway.health import router as health_routes
from gateway.labels import Labels
from gateway.metrics import Metrics, read_metrics
from gateway.openapi import TIERS
from gateway.pages import router as page_routes
from gateway.policies_in_force import LivePipeline, PoliciesInForce
from gateway.problems import problem
from gateway.redelivery import Redelivery
from gateway.sign_in.routes import router as sign_in_routes
from gateway.tracing import tracer
from gateway.upstreams import Upstreams
from gateway.wiring import Doors, Systems
from ledger.audit_trail import Evidence
from ledger.figures import Figures
from ledger.ledger import Ledger
from policies.edge import CallRecord, Edge
from policies.lifecycle import require_current
from policies.rate_limit import Gcra
from policies.scopes import declared_scope, require_scope


class UncoveredRoute(Exception):
    """A route that names neither a scope nor why it is public: the gateway does not start."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the application is made of."""

    config: Config
    ledger: Ledger
    systems: Systems
    upstreams: Upstreams
    doors: Doors
    authorization: Authorization
    admission: Admission
    limiter: Gcra
    subscribers: Subscribers
    pings: Pings
    metrics: Metrics
    clock: Clock
    in_force: PoliciesInForce


HANDLERS: tuple[ControllerRouterHandler, ...] = (
    *(router for routers in TIERS.values() for router in routers),
    authorization_routes,
    sign_in_routes,
    describe_server,
    describe_resource,
    health_routes,
    page_routes,
    read_metrics,
)
"""Everything that is served."""


def create_app(parts: Parts) -> ASGIApp:
    """Return the finished application."""
    pipeline = LivePipeline(parts.in_force, routed(parts, HANDLERS), _edge(parts))
    return parts.metrics(pipeline)  # outermost: what a policy refuses is an answer, too


def routed(parts: Parts, handlers: Sequence[ControllerRouterHandler]) -> Litestar:
    """Return the routes; raises `UncoveredRoute` rather than serve an open one."""
    inner = Litestar(
        route_handlers=handlers,
        guards=[_admit],
        request_class=ContractRequest,
        dependencies=_dependencies(parts),
        exception_handlers={Exception: _leave_to_the_edge},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )
    _refuse_uncovered(inner)
    return inner


def _dependencies(parts: Parts) -> dict[str, Provide]:
    given: dict[str, object] = {
        "ledger": parts.ledger,
        "hl7": parts.doors.hl7,
        "fhir": parts.doors.fhir,
        "x12": parts.doors.x12,
        "erp": parts.systems.erp,
        "orders": parts.systems.erp,
        "shelf": parts.systems.erp,
        "crosswalk": parts.systems.records,
        "places": parts.systems.records,
        "labels": Labels(),
        "redelivery": Redelivery(parts.ledger, parts.doors),
        "subscribers": parts.subscribers.desk,
        "listeners": parts.subscribers.listeners,
        "authorization": parts.authorization,
        "resource": parts.admission.resource,
        "desk": parts.authorization.desk,
        "pings": parts.pings,
        "in_force": parts.in_force,
        "metrics": parts.metrics,
        "upstreams": parts.upstreams,
        "figures": Figures(parts.ledger.database, parts.ledger.writer),
    }
    return {"facts": Provide(_facts)} | {name: _given(value) for name, value in given.items()}


def _given(value: object) -> Provide:
    async def provide() -> object:
        return value

    return Provide(provide)


async def _facts(request: Request[Any, Any, State]) -> RequestFacts:
    facts: RequestFacts = request.scope["state"]["facts"]
    return facts


async def _admit(
    connection: ASGIConnection[Any, Any, Any, Any], route_handler: BaseRouteHandler
) -> None:
    """Scope, version, contract, in this order.

    One async guard: Litestar sends a sync one to a thread.
    """
    require_scope(connection, route_handler)
    require_current(connection, route_handler)
    await require_contract(connection, route_handler)


def _leave_to_the_edge(_request: Request[Any, Any, State], exc: Exception) -> Any:
    """Render nothing here: `problem-details` does, for everything that leaves the application."""
    raise exc


def _edge(parts: Parts) -> Edge:
    async def audit(call: CallRecord) -> None:
        nobody = f"address:{call.address}" if call.address else "anonymous"
        await parts.ledger.writer.submit(
            Evidence(
                kind="call",
                actor=call.person or call.client or nobody,
                action=f"{call.method} {call.path}",
                outcome=call.failure or str(call.status),
                object=call.object,
                transaction=call.transaction,
                correlation_id=call.correlation_id,
                client=call.client if call.person else "",
                purpose=call.purpose,
                facility=call.facility,
                policy=call.policy,
                address=call.address,
                detail={
                    "status": str(call.status),
                    "token": call.token_id,
                    "ms": f"{call.duration_ms:.1f}",
                },
            )
        )

    return Edge(
        verify=parts.admission.issuers.verify,
        confirm=parts.admission.binding.confirm,
        resource_metadata=parts.admission.resource.resource.rstrip("/") + METADATA,
        audit=audit,
        limiter=parts.limiter,
        clock=parts.clock,
        problem=problem,
        names=frozenset((urlsplit(public_url(parts.config)).netloc.lower(),)),
        used=parts.ledger.uses.count,
        tracer=tracer(parts.config.observability),
        policy=policy_version(parts.config),
    )


def _refuse_uncovered(app: Litestar) -> None:
    for route in app.routes:
        for handler in _own_routes(route):
            if declared_scope(handler.opt) is None:
                raise UncoveredRoute(f"{route.path} ({handler.handler_name}) names no scope")


def _own_routes(route: BaseRoute) -> Iterator[BaseRouteHandler]:
    """Yield a route's handlers without the one for OPTIONS that Litestar adds to each."""
    if isinstance(route, HTTPRoute):
        yield from (each for each in route.route_handlers if not _is_added(each))
    elif isinstance(route, ASGIRoute | WebSocketRoute):
        yield route.route_handler


def _is_added(handler: HTTPRouteHandler) -> bool:
    return handler.operation_id is None and handler.http_methods == {"OPTIONS"}
