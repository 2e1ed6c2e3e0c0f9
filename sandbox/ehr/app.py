"""The simulated EHR as an ASGI app: `/fhir` for the gateway, `/sim/*` for tests and demonstrations.

`POST /sim/faults` makes the next writes of a ChargeItem go wrong: `before`, `after-commit` (500,
although it was kept), `garbled`.
"""

import secrets
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from typing import Literal
from urllib.parse import parse_qs

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

from sandbox.ehr import fhir, hl7
from sandbox.ehr.hl7 import Envelope
from sandbox.ehr.hospital import ChangedCase, Hospital, NewCase, Usage
from sandbox.ehr.outbox import Outbox, Sent
from sandbox.ehr.settings import Settings

__all__ = ["Settings", "create_app"]

_FHIR = "application/fhir+json"


class _Faults(msgspec.Struct):
    kind: Literal["before", "after-commit", "garbled"]
    times: int = 1


class _Desk:
    """The control endpoints: what happens in the hospital."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._hospital = Hospital()
        self._series = secrets.token_hex(4)
        self._numbers = count(1)

    async def schedule(self, request: Request) -> Response:
        """Book a case."""
        case = msgspec.json.decode(await request.body(), type=NewCase)
        if case.case_number in self._hospital.cases:
            return _json({"error": "this case exists"}, 409)
        self._hospital.cases[case.case_number] = case
        return self._told("S12", case)

    async def change(self, request: Request) -> Response:
        """Move a case (S13) or change something else about it (S14)."""
        known = self._hospital.cases.get(request.path_params["case"])
        if known is None:
            return _json({"error": "no such case"}, 404)
        change = msgspec.json.decode(await request.body(), type=ChangedCase)
        given = {
            name: value
            for name, value in msgspec.structs.asdict(change).items()
            if value is not None
        }
        case = msgspec.structs.replace(known, **given)
        self._hospital.cases[case.case_number] = case
        return self._told("S13" if case.start != known.start else "S14", case)

    async def cancel(self, request: Request) -> Response:
        """Cancel a case."""
        known = self._hospital.cases.get(request.path_params["case"])
        return self._told("S15", known) if known else _json({"error": "no such case"}, 404)

    async def use(self, request: Request) -> Response:
        """Report what a case used."""
        case = self._hospital.cases.get(request.path_params["case"])
        if case is None:
            return _json({"error": "no such case"}, 404)
        usage = msgspec.json.decode(await request.body(), type=Usage)
        if not usage.lines or any(not (x.udi or x.code or x.sku) for x in usage.lines):
            return _json({"error": "every line needs a udi, a code or a sku"}, 422)
        envelope = self._envelope()
        patient = self._hospital.patient_of(case.visit)
        if usage.via == "fhir":
            body = fhir.usage_bundle(usage, case, patient, envelope)
            return self._send("Bundle", "fhir", body, envelope, case)
        body = hl7.charges(usage, case, patient, envelope)
        return self._send("DFT^P03", "hl7", body, envelope, case)

    async def resend(self, request: Request) -> Response:
        """Send a message again as it was."""
        found = self._outbox.resend(request.path_params["control"])
        return _json(_shown(found), 202) if found else _json({"error": "no such message"}, 404)

    async def messages(self, request: Request) -> Response:
        """Show what was sent and answered, without what it said."""
        del request
        return _json({"messages": [_shown(message) for message in self._outbox.messages]})

    def _told(self, event: str, case: NewCase) -> Response:
        envelope = self._envelope()
        body = hl7.schedule(event, case, self._hospital.patient_of(case.visit), envelope)
        return self._send(f"SIU^{event}", "hl7", body, envelope, case)

    def _send(
        self, kind: str, via: Literal["hl7", "fhir"], body: bytes, envelope: Envelope, case: NewCase
    ) -> Response:
        message = Sent(envelope.control_id, kind, via, body, case.case_number)
        self._outbox.send(message)
        return _json(_shown(message), 202)

    def _envelope(self) -> Envelope:
        control_id = f"{self._series}{next(self._numbers):06}"
        return Envelope(self._settings, control_id, self._settings.clock())


class _ChargeDesk:
    """The FHIR server of the charge reviewers."""

    def __init__(self) -> None:
        self._book = fhir.ChargeBook()
        self._faults = deque[str]()

    async def create(self, request: Request) -> Response:
        """Create an item, unless If-None-Exist names one (R4 3.1.0.8.1)."""
        fault = self._faults.popleft() if self._faults else ""
        if fault == "before":
            return _fhir(fhir.problem(500, "the server is unwell"), 500)
        body = await request.body()
        try:
            wanted = msgspec.json.decode(body, type=fhir.ChargeItem)
        except msgspec.DecodeError as exc:
            return _fhir(fhir.problem(422, str(exc)), 422)
        if wanted.resource_type != "ChargeItem" or not wanted.code or not wanted.subject:
            return _fhir(fhir.problem(422, "ChargeItem needs a code and a subject"), 422)
        unless = parse_qs(request.headers.get("if-none-exist", "")).get("identifier", [""])[0]
        known = self._book.named(unless) if unless else []
        if len(known) > 1:
            return _fhir(fhir.problem(412, "several items of that identifier"), 412)
        item = known[0] if known else self._book.create(msgspec.json.decode(body))
        if fault:
            garbled = Response(b'{"resourceType": "Char', 201, media_type=_FHIR)
            return garbled if fault == "garbled" else _fhir(fhir.problem(500, "unwell"), 500)
        answer = _fhir(item, 200 if known else 201)
        answer.headers["location"] = f"{request.url}/{item['id']}/_history/1"
        return answer

    async def read(self, request: Request) -> Response:
        """Return one item."""
        found = self._book.items.get(request.path_params["id"])
        return _fhir(found) if found else _fhir(fhir.problem(404, "no such ChargeItem"), 404)

    async def patch(self, request: Request) -> Response:
        """Change an item, if it is still the version that the caller saw (JSON Patch)."""
        fault = self._faults.popleft() if self._faults else ""
        if fault == "before":
            return _fhir(fhir.problem(500, "the server is unwell"), 500)
        found = self._book.items.get(request.path_params["id"])
        if found is None:
            return _fhir(fhir.problem(404, "no such ChargeItem"), 404)
        seen = request.headers.get("if-match", "")
        if seen and seen != f'W/"{fhir.version_of(found)}"':
            return _fhir(fhir.problem(412, "another version"), 412)
        try:
            changes = msgspec.json.decode(await request.body(), type=list[fhir.Change])
        except msgspec.DecodeError as exc:
            return _fhir(fhir.problem(422, str(exc)), 422)
        item = self._book.patch(request.path_params["id"], changes)
        return _fhir(fhir.problem(500, "unwell"), 500) if fault else _fhir(item)

    async def search(self, request: Request) -> Response:
        """Return the items of an identifier, or all of them."""
        wanted = request.query_params.get("identifier", "")
        found = self._book.named(wanted) if wanted else list(self._book.items.values())
        entries = [{"resource": item, "search": {"mode": "match"}} for item in found]
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        return _fhir({**bundle, "entry": entries} if entries else {**bundle})

    async def metadata(self, request: Request) -> Response:
        """Say what this server can do."""
        del request
        return _fhir(fhir.CAPABILITIES)

    async def faults(self, request: Request) -> Response:
        """Plan what goes wrong next."""
        wanted = msgspec.json.decode(await request.body(), type=_Faults)
        self._faults.extend([wanted.kind] * wanted.times)
        return Response(status_code=204)


def create_app(settings: Settings) -> Starlette:
    """Return an EHR without cases; its lifespan delivers the messages."""
    outbox = Outbox(settings)
    desk, charges = _Desk(settings, outbox), _ChargeDesk()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        outbox.start()
        try:
            yield
        finally:
            await outbox.close()

    return Starlette(
        routes=[
            Route("/sim/cases", desk.schedule, methods=["POST"]),
            Route("/sim/cases/{case}", desk.change, methods=["PUT"]),
            Route("/sim/cases/{case}", desk.cancel, methods=["DELETE"]),
            Route("/sim/cases/{case}/usage", desk.use, methods=["POST"]),
            Route("/sim/resend/{control}", desk.resend, methods=["POST"]),
            Route("/sim/messages", desk.messages),
            Route("/sim/faults", charges.faults, methods=["POST"]),
            Mount("/fhir", _server(charges, settings.limit)),
        ],
        exception_handlers={msgspec.DecodeError: _not_understood},
        lifespan=lifespan,
    )


def _server(charges: _ChargeDesk, limit: str) -> Starlette:
    """Return the FHIR server, throttled by slowapi."""
    app = Starlette(
        routes=[
            Route("/ChargeItem", charges.create, methods=["POST"]),
            Route("/ChargeItem", charges.search),
            Route("/ChargeItem/{id}", charges.read),
            Route("/ChargeItem/{id}", charges.patch, methods=["PATCH"]),
            Route("/metadata", charges.metadata),
        ],
        middleware=[Middleware(SlowAPIASGIMiddleware)],
        exception_handlers={RateLimitExceeded: _throttled},
    )
    app.state.limiter = Limiter(key_func=get_remote_address, application_limits=[limit])
    return app


def _throttled(request: Request, exc: Exception) -> Response:
    del request
    limit = exc.limit if isinstance(exc, RateLimitExceeded) else None
    answer = _fhir(fhir.problem(429, "too many requests"), 429)
    answer.headers["Retry-After"] = str(limit.limit.get_expiry() if limit else 1)
    return answer


def _not_understood(request: Request, exc: Exception) -> Response:
    del request
    return _json({"error": str(exc)}, 400)


def _shown(message: Sent) -> dict[str, object]:
    return {
        "controlId": message.control_id,
        "kind": message.kind,
        "via": message.via,
        "case": message.case,
        "status": message.status,
        "attempts": message.attempts,
        "answers": message.answers[-10:],
    }


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _fhir(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=_FHIR)
