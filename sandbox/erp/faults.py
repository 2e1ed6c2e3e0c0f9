"""Seeded faults: what real systems do at the worst moment, ordered by path and count.

`5xx-after-commit` and `lost-answer` wait for a write, because only a write can have committed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FaultKind = Literal["slow", "5xx-before", "5xx-after-commit", "lost-answer", "throttled", "down"]


class Fault(msgspec.Struct, kw_only=True):
    """The next `times` calls whose path contains `path` (and whose method is `method`) go wrong."""

    path: str
    kind: FaultKind
    times: int = 1
    method: str = ""

    def hits(self, method: str, path: str) -> bool:
        """Say whether this call is one of them."""
        if self.times <= 0 or self.path not in path or self.method not in ("", method):
            return False
        return self.kind not in _AFTER or method not in ("GET", "HEAD")


_AFTER = ("5xx-after-commit", "lost-answer")


@dataclass
class FaultPlan:
    """The faults still to come; the app reads it at every call, `/sim/faults` adds to it."""

    faults: list[Fault] = field(default_factory=list[Fault])
    slow_seconds: float = 1.0

    def take(self, method: str, path: str) -> FaultKind | None:
        """Return the fault of this call and count it."""
        for fault in self.faults:
            if fault.hits(method, path):
                fault.times -= 1
                return fault.kind
        return None


def with_faults(app: ASGIApp, plan: FaultPlan) -> ASGIApp:
    """Wrap an app so that planned faults happen."""

    async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
        kind = plan.take(str(scope.get("method", "")), str(scope.get("path", "")))
        if kind == "slow":
            await asyncio.sleep(plan.slow_seconds)
        if kind in _INSTEAD:
            await _INSTEAD[kind](Request(scope, receive))(scope, receive, send)
        elif kind in _AFTER:
            await app(scope, receive, _swallow)
            await _AFTERWARDS[kind](scope, receive, send)
        else:
            await app(scope, receive, send)

    return faulty


async def _swallow(message: Message) -> None:
    del message


def _broken(request: Request) -> Response:
    del request
    return sap_error(500, "SY/530", "An exception was raised")


def _busy(request: Request) -> Response:
    del request
    response = sap_error(429, "ICM/429", "Too many requests")
    response.headers["Retry-After"] = "2"
    return response


def _down(request: Request) -> Response:
    del request
    return Response("Service Unavailable", status_code=503, media_type="text/html")


async def _failing(scope: Scope, receive: Receive, send: Send) -> None:
    await _broken(Request(scope, receive))(scope, receive, send)


async def _cut(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin an answer and leave: the server closes the connection in the middle of it."""
    del scope, receive
    headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"d"', "more_body": True})


_INSTEAD: dict[FaultKind | None, Callable[[Request], Response]] = {
    "5xx-before": _broken,
    "throttled": _busy,
    "down": _down,
}
_AFTERWARDS: dict[FaultKind | None, ASGIApp] = {"5xx-after-commit": _failing, "lost-answer": _cut}


def sap_error(status: int, code: str, message: str) -> Response:
    """Return an error in the vendor's body."""
    body = {"error": {"code": code, "message": {"lang": "en", "value": message}}}
    return JSONResponse(body, status_code=status)
