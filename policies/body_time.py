"""How long a body may take to arrive: whoever sends a byte a minute holds a place that others need.

How long the header fields may take is the server's business ([server] header-seconds).

Order: inside problem-details, before anything reads the body.
"""

import asyncio

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

from canonical.errors import SlowRequest
from policies.edge import Edge, response_headers


class BodyTime(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="body-time",
):
    """Refuse a body that is not whole within `seconds` with 408, and close the connection."""

    seconds: float = 20.0

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError("seconds is positive")

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:  # noqa: ARG002 - one shape for all
        async def body_time(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP and _has_body(scope):
                await app(scope, self._hurried(scope, receive), send)
            else:
                await app(scope, receive, send)

        return body_time

    def _hurried(self, scope: Scope, receive: Receive) -> Receive:
        end = asyncio.get_running_loop().time() + self.seconds
        whole = False

        async def hurried() -> HTTPReceiveMessage | WebSocketReceiveMessage:
            nonlocal whole
            if whole:  # who goes on listening waits for the caller to hang up
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError as exc:
                response_headers(scope).append((b"connection", b"close"))
                raise SlowRequest(
                    "the body did not arrive in time", expected=f"within {self.seconds:g} s"
                ) from exc
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return hurried


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
