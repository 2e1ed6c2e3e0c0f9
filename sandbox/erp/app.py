"""The simulated S/4HANA as an ASGI app: basic auth, CSRF tokens, OData V2, one SOAP service, and
`/sim/*` for tests and demonstrations.
"""

import base64
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from slowapi.middleware import SlowAPIASGIMiddleware
from slowapi.util import get_remote_address
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sandbox.erp import goods, invoices, journal, odata, opening, purchasing, reservations
from sandbox.erp.faults import Fault, FaultPlan, sap_error, with_faults
from sandbox.erp.seed import Seed, hospital, read
from sandbox.erp.state import totals
from sandbox.erp.store import Row, SapError, Shape, shapes
from sandbox.erp.system import System

SERVICES = "/sap/opu/odata/sap"
_INVOICES = "API_SUPPLIERINVOICE_PROCESS_SRV"

_CREATES: dict[str, Callable[[System, dict[str, object]], Row]] = {
    "A_ReservationDocumentHeader": reservations.create,
    "A_MaterialDocumentHeader": goods.post,
    "A_PurchaseRequisitionHeader": purchasing.create_requisition,
    "A_PurchaseOrder": purchasing.create_order,
    "A_SupplierInvoice": invoices.create,
}
_CHANGES: dict[str, Callable[[System, Row, dict[str, object]], None]] = {
    "A_PurchaseRequisitionItem": purchasing.change_requisition_item,
    "A_PurchaseOrderItem": purchasing.change_order_item,
}
_fields = msgspec.json.Decoder(dict[str, object])
_faults = msgspec.json.Decoder(Fault)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Settings:
    """How the system is set up; without a seed it is the hospital of `sandbox/hospital.toml`."""

    user: str = "GATEWAY"
    password: str = "sandbox"  # noqa: S105  a test value of a system that exists in memory only
    limits: tuple[str, ...] = ("100000/minute",)
    seed: Path | Seed | None = None
    faults: FaultPlan = field(default_factory=FaultPlan)
    clock: Callable[[], datetime] = _utc_now


class Desk:
    """The endpoints: who may enter, and which part of the system answers."""

    def __init__(self, settings: Settings, system: System) -> None:
        self._settings = settings
        self._system = system
        self._sessions: dict[str, str] = {}
        self._calls: Counter[str] = Counter()
        pair = f"{settings.user}:{settings.password}".encode()
        self._basic = f"Basic {base64.b64encode(pair).decode()}"

    async def service(self, request: Request) -> Response:
        """Answer an OData call."""
        name, path = request.path_params["service"], request.path_params["path"]
        self._calls[f"{request.method} {name}/{path.split('(')[0]}"] += 1
        if request.headers.get("authorization", "") != self._basic:
            return _unauthorized()
        token = request.headers.get("x-csrf-token", "")
        if token.lower() == "fetch":
            return self._with_token(await self._answered(request, name, path))
        session = self._sessions.get(request.cookies.get("SAP_SESSIONID_SIM", ""))
        if request.method != "GET" and (session is None or session != token):
            refused = Response("CSRF token validation failed", status_code=403)
            refused.headers["x-csrf-token"] = "Required"
            return refused
        return await self._answered(request, name, path)

    async def journal(self, request: Request) -> Response:
        """Answer Journal Entry - Post."""
        self._calls["POST journalentrycreaterequestconfi"] += 1
        if request.headers.get("authorization", "") != self._basic:
            return _unauthorized()
        try:
            answer = journal.create(self._system, await request.body())
        except SapError as refusal:
            return sap_error(refusal.status, refusal.code, refusal.message)
        return Response(answer, media_type="text/xml")

    async def state(self, request: Request) -> Response:
        """Show totals."""
        del request
        return _json(totals(self._system, self._calls))

    async def faults(self, request: Request) -> Response:
        """Plan a fault."""
        try:
            fault = _faults.decode(await request.body())
        except msgspec.ValidationError as exc:
            return sap_error(400, "SIM/400", str(exc))
        self._settings.faults.faults.append(fault)
        return Response(status_code=204)

    async def _answered(self, request: Request, service: str, path: str) -> Response:
        if not path:
            names = [name for name, shape in shapes().items() if shape.service == service]
            return _json({"d": {"EntitySets": names}})
        body = await request.body()
        try:
            return self._routed(request, service, path, body)
        except SapError as refusal:
            return sap_error(refusal.status, refusal.code, refusal.message)

    def _routed(self, request: Request, service: str, path: str, body: bytes) -> Response:
        if request.method == "POST" and (service, path) == (_INVOICES, "Cancel"):
            return self._cancelled(request)
        name, predicate, navigation = odata.located(path)
        shape = shapes().get(name)
        if shape is None or shape.service != service:
            raise SapError(404, "/IWBEP/CM_MGW_RT/020", f"Resource {name} not found")
        if request.method == "GET":
            return _json({"d": self._read(request, shape, predicate, navigation)})
        if request.method == "DELETE" and name == "A_ReservationDocumentHeader":
            reservations.delete(self._system, str(odata.key_of(shape, predicate or "")[0]))
            return Response(status_code=204)
        if request.method == "POST":
            return self._created(shape, body)
        if request.method == "PATCH" and shape.name in _CHANGES:
            return self._changed(shape, predicate or "", request.headers.get("if-match"), body)
        raise SapError(405, "/IWBEP/CM_MGW_RT/031", f"{name} does not allow {request.method}")

    def _read(
        self, request: Request, shape: Shape, predicate: str | None, navigation: str
    ) -> odata.Rendered:
        store = self._system.store
        asked = odata.query(shape, dict(request.query_params))
        if predicate is None:
            rows = odata.select(store, shape, asked)
            return {"results": [odata.rendered(store, shape, row, asked) for row in rows]}
        row = self._row(shape, predicate)
        if navigation in shape.links:
            link = shape.links[navigation]
            target = store[link.target].shape
            children = store.linked(row, link)
            return {"results": [odata.rendered(store, target, c, asked) for c in children]}
        return odata.rendered(store, shape, row, asked)

    def _created(self, shape: Shape, body: bytes) -> Response:
        create = _CREATES.get(shape.name)
        if create is None:
            raise SapError(405, "/IWBEP/CM_MGW_RT/031", f"{shape.name} does not allow create")
        given = _given(body)
        row = create(self._system, given)
        deep = odata.Query(expand=frozenset(name for name in given if name in shape.links))
        return _json({"d": odata.rendered(self._system.store, shape, row, deep)}, 201)

    def _cancelled(self, request: Request) -> Response:
        """Answer the function import that reverses a supplier invoice."""
        asked = {name: value.strip("'") for name, value in request.query_params.items()}
        if not asked.get("ReversalReason"):
            raise SapError(400, "M8/609", "Enter a reversal reason")
        key = asked.get("SupplierInvoice", ""), asked.get("FiscalYear", "")
        return _json({"d": {"Cancel": invoices.cancel(self._system, *key)}})

    def _changed(self, shape: Shape, predicate: str, seen: str | None, body: bytes) -> Response:
        """Change a row, if it is still the version that the caller saw."""
        row = self._row(shape, predicate)
        if seen is None:
            raise SapError(428, "ICM/428", "Request must be conditional; try If-Match")
        if seen not in ("*", odata.etag(row)):
            raise SapError(412, "ICM/412", "Precondition failed")
        _CHANGES[shape.name](self._system, row, _given(body))
        return Response(status_code=204)

    def _row(self, shape: Shape, predicate: str) -> Row:
        row = self._system.store[shape.name].get(*odata.key_of(shape, predicate))
        if row is None:
            raise SapError(404, "/IWBEP/CM_MGW_RT/004", f"Resource not found for {shape.name}")
        return row

    def _with_token(self, response: Response) -> Response:
        session, token = secrets.token_hex(8), secrets.token_urlsafe(16)
        self._sessions[session] = token
        response.headers["x-csrf-token"] = token
        response.set_cookie("SAP_SESSIONID_SIM", session, httponly=True)
        return response


def create_app(settings: Settings | None = None) -> Starlette:
    """Return a fresh system with its opening balance posted."""
    settings = settings or Settings()
    given = settings.seed
    loaded = read(given) if isinstance(given, Path) else given or hospital()
    system = System(clock=settings.clock, user=settings.user[:12])
    opening.load(system, loaded)
    desk = Desk(settings, system)
    app = Starlette(
        routes=[
            Route("/sim/state", desk.state),
            Route("/sim/faults", desk.faults, methods=["POST"]),
            Mount("/", with_faults(_vendor(desk, settings.limits), settings.faults)),
        ]
    )
    app.state.system = system
    return app


def _vendor(desk: Desk, limits: tuple[str, ...]) -> Starlette:
    """Return what a caller of the real system would see; the throttle is slowapi's."""
    app = Starlette(
        routes=[
            Route(f"{SERVICES}/{{service}}/{{path:path}}", desk.service, methods=_METHODS),
            Route(journal.PATH, desk.journal, methods=["POST"]),
        ],
        middleware=[Middleware(SlowAPIASGIMiddleware)],
        exception_handlers={RateLimitExceeded: _throttled},
    )
    app.state.limiter = Limiter(key_func=get_remote_address, application_limits=list(limits))
    return app


def _given(body: bytes) -> dict[str, object]:
    try:
        return _fields.decode(body)
    except msgspec.DecodeError as exc:
        raise SapError(400, "/IWBEP/CM_MGW_RT/030", "Error while parsing the body") from exc


_METHODS = ["GET", "POST", "PATCH", "DELETE"]


def _throttled(request: Request, exc: Exception) -> Response:
    del request
    response = sap_error(429, "ICM/429", "Too many requests")
    limit = exc.limit if isinstance(exc, RateLimitExceeded) else None
    response.headers["Retry-After"] = str(limit.limit.get_expiry() if limit else 1)
    return response


def _unauthorized() -> Response:
    return Response(
        "Logon failed", status_code=401, headers={"WWW-Authenticate": 'Basic realm="SAP"'}
    )


def _json(content: object, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status_code=status, media_type="application/json")
