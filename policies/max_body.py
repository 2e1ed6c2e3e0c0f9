"""A limit on request bodies, by what is declared and by what really arrives; half a body is none.

Order: inside problem-details; before anything reads the body.
"""

import msgspec
from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)

from canonical.errors import BodyTooLarge, InvalidRequest
from policies.edge import Edge


class MaxBody(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="max-body",
):
    """Refuse a request whose body is larger than `limit_bytes` (RFC 9110 15.5.14)."""

    limit_bytes: int = 10_485_760

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:  # noqa: ARG002 - one shape for all
        limit = self.limit_bytes

        async def max_body(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            if _declared(scope) > limit:
                raise _too_large(limit)
            arrived, whole = 0, False

            async def counted() -> HTTPReceiveMessage | WebSocketReceiveMessage:
                nonlocal arrived, whole
                message = await receive()
                if message["type"] == "http.request":
                    arrived += len(message.get("body", b""))
                    whole = not message.get("more_body", False)
                    if arrived > limit:
                        raise _too_large(limit)
                elif not whole:  # chunks that are none, or a caller who hung up
                    raise InvalidRequest("the body broke off", where="$", expected="all of it")
                return message

            await app(scope, counted, send)

        return max_body


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit():
                raise InvalidRequest("Content-Length is no number", where="Content-Length")
            return int(value)
    return 0


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge("the body is too large", expected=f"at most {limit} bytes")
