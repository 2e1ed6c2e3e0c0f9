"""One id per call, from the caller when it sends a usable one, and always sent back.

Order: outermost. Everything inside finds its facts here, and every answer carries the id.
"""

import re
import secrets
from collections.abc import Iterable

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from canonical.request import CALL, RequestFacts
from policies.edge import Edge, Header, open_state

_usable = re.compile(rb"[A-Za-z0-9_.-]{1,64}").fullmatch
_traceparent = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?").fullmatch
_NO_TRACE = b"0" * 32


class CorrelationId(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="correlation-id",
):
    """Take the call's id from X-Correlation-ID or traceparent (W3C Trace Context 3.2), or make one.

    With `trust_callers` off, every call gets a new one.
    """

    trust_callers: bool = True

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        async def correlation_id(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            found = _callers_id(scope["headers"]) if self.trust_callers else None
            own = found or secrets.token_hex(16)
            facts = RequestFacts(correlation_id=own, policy=edge.policy)
            open_state(scope, facts)
            header = (b"x-correlation-id", own.encode())

            async def with_id(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", ()), header]
                await send(message)

            call = CALL.set(facts)
            try:
                await app(scope, receive, with_id)
            finally:
                CALL.reset(call)

        return correlation_id


def _callers_id(headers: Iterable[Header]) -> str | None:
    trace = None
    for name, value in headers:
        if name == b"x-correlation-id" and _usable(value):
            return value.decode()
        if name == b"traceparent" and trace is None:
            match = _traceparent(value)
            if match and match[1] != _NO_TRACE:
                trace = match[1].decode()
    return trace
