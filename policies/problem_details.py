"""The edge at which failures become answers: RFC 9457 problem details, rendered exactly once.

This is the only place with a broad except. A stray exception is logged by its type and its lines of
code, under an id that the caller gets too; never with its message, which may quote a document.

Order: inside audit, outside everything that refuses.
"""

import logging
import re
import secrets
import traceback

import msgspec
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from canonical.errors import (
    BodyTooLarge,
    Failure,
    Forbidden,
    InternalFault,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
)
from policies.edge import Edge, facts_of, response_headers

_log = logging.getLogger("suture.edge")
_BY_STATUS: dict[int, type[Failure]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
    415: UnsupportedMediaType,
    429: TooManyRequests,
}
_quoted = re.compile(r"'[^']*'|\"[^\"]*\"")


class ProblemDetails(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="problem-details",
):
    """Answer every failure that leaves the application as application/problem+json."""

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        async def problem_details(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            answering = False
            path = scope["path"]
            added = response_headers(scope)

            async def noticed(message: Message) -> None:
                nonlocal answering
                if message["type"] == "http.response.start":
                    answering = True
                    message["headers"] = [*message.get("headers", ()), *added]
                await send(message)

            try:
                await app(scope, receive, noticed)
            except Exception as exc:  # noqa: BLE001 - the one edge where anything ends
                failure = _failure(exc, scope, path)
                facts = facts_of(scope)
                facts.failure = failure.slug
                if answering:
                    # Half an answer is out: breaking the connection is all that tells the caller.
                    raise failure from None
                status, headers, body = edge.problem(failure, facts.correlation_id, path)
                await noticed({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body, "more_body": False})

        return problem_details


def _failure(exc: Exception, scope: HTTPScope, path: str) -> Failure:
    if isinstance(exc, Failure):
        return exc
    if isinstance(exc, HTTPException) and exc.status_code in _BY_STATUS:
        allowed = (exc.headers or {}).get("allow")
        if allowed:
            response_headers(scope).append((b"allow", allowed.encode()))
        return _translated(exc)
    return _fault(exc, scope, path)


def _translated(exc: HTTPException) -> Failure:
    """Say in our words what Litestar found. Its own detail repeats the address with its query."""
    kind = _BY_STATUS[exc.status_code]
    if isinstance(exc, ValidationException) and isinstance(exc.extra, list):
        where = ", ".join(str(part.get("key", "")) for part in exc.extra)
        reasons = (_quoted.sub("…", str(part.get("message", ""))) for part in exc.extra)
        return kind(
            "the request does not fit its contract", where=where, expected="; ".join(reasons)
        )
    return kind(_WORDS.get(exc.status_code, ""))


_WORDS = {
    400: "the request could not be read",
    404: "there is nothing at this path",
    405: "this path does not take that method",
    413: "the body is larger than this path takes",
    415: "this path does not take that kind of body",
}


def _fault(exc: Exception, scope: HTTPScope, path: str) -> InternalFault:
    fault = secrets.token_hex(6)
    frames = traceback.extract_tb(exc.__traceback__)
    places = " < ".join(f"{f.filename}:{f.lineno} {f.name}" for f in reversed(frames))
    _log.error(
        "fault %s correlation %s: %s in %s %s at %s",
        fault,
        facts_of(scope).correlation_id,
        type(exc).__qualname__,
        scope["method"],
        path.encode("unicode_escape").decode(),
        places,
    )
    return InternalFault(
        f"fault {fault}", fix="report this id: the log of that moment has the cause"
    )
