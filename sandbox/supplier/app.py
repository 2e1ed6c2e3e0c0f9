"""The simulated supplier as an ASGI app: `POST /edi` for the network, `/sim/*` for tests and
demonstrations.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
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

from sandbox.supplier.behaviour import BEHAVIOURS
from sandbox.supplier.edi import Unreadable
from sandbox.supplier.mailbox import Mailbox, Sent
from sandbox.supplier.settings import Settings

__all__ = ["Settings", "create_app"]


class _Choice(msgspec.Struct):
    name: str


_choices = msgspec.json.Decoder(_Choice)


class _Desk:
    """The endpoints."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def edi(self, request: Request) -> Response:
        """Take an interchange; the answers follow later, over the gateway's own door."""
        try:
            return Response(status_code=self._mailbox.receive(await request.body()))
        except Unreadable as exc:
            return Response(str(exc), status_code=400, media_type="text/plain")

    async def behaviour(self, request: Request) -> Response:
        """Choose what happens to the orders that come from now on."""
        try:
            name = _choices.decode(await request.body()).name
        except msgspec.DecodeError as exc:
            return _json({"error": str(exc)}, 400)
        if name not in BEHAVIOURS:
            return _json({"error": "unknown behaviour", "known": sorted(BEHAVIOURS)}, 422)
        self._mailbox.behaviour = name
        return _json({"name": name})

    async def orders(self, request: Request) -> Response:
        """Show what came in, what went out and what the gateway said."""
        del request
        return _json(
            {
                "orders": [
                    {
                        "number": story.number,
                        "behaviour": story.behaviour,
                        "received": story.received,
                        "cancelled": story.cancelled,
                        "documents": [
                            _shown(document) for document in (*story.documents, *story.changes)
                        ],
                    }
                    for story in self._mailbox.stories
                ]
            }
        )


def create_app(settings: Settings) -> Starlette:
    """Return a supplier that has received nothing yet."""
    if settings.behaviour not in BEHAVIOURS:
        known = ", ".join(sorted(BEHAVIOURS))
        raise ValueError(f"unknown behaviour {settings.behaviour}; known: {known}")
    http = httpx.AsyncClient(transport=settings.transport, timeout=10)
    mailbox = Mailbox(settings, http)
    desk = _Desk(mailbox)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await mailbox.close()
            await http.aclose()

    app = Starlette(
        routes=[
            Route("/sim/orders", desk.orders),
            Route("/sim/behaviour", desk.behaviour, methods=["POST"]),
            Mount("/", _network(desk, settings.limit)),
        ],
        lifespan=lifespan,
    )
    app.state.mailbox = mailbox
    return app


def _network(desk: _Desk, limit: str) -> Starlette:
    """Return the door of the EDI network, throttled by slowapi."""
    app = Starlette(
        routes=[Route("/edi", desk.edi, methods=["POST"])],
        middleware=[Middleware(SlowAPIASGIMiddleware)],
        exception_handlers={RateLimitExceeded: _throttled},
    )
    app.state.limiter = Limiter(key_func=get_remote_address, application_limits=[limit])
    return app


def _throttled(request: Request, exc: Exception) -> Response:
    del request
    limit = exc.limit if isinstance(exc, RateLimitExceeded) else None
    seconds = str(limit.limit.get_expiry() if limit else 1)
    return Response("too many interchanges", status_code=429, headers={"Retry-After": seconds})


def _shown(document: Sent) -> dict[str, object]:
    return {
        "kind": document.kind,
        "control": f"{document.control:09}",
        "attempts": document.attempts,
        "status": document.status,
        "answer": document.answer,
    }


def _json(content: object, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status_code=status, media_type="application/json")
