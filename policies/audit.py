"""One durable record per call: also of refused ones, of unknown paths, of calls that died.

The record is written before the first byte of the answer leaves (SEC-04). When it cannot be
written, the caller gets 503 instead of the answer: there is no unrecorded success.

Order: outside problem-details, so that the record has the status that the caller sees.
"""

import asyncio
import time
from urllib.parse import quote

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from canonical.errors import Failure
from policies.edge import CallRecord, Edge, facts_of

_LONGEST_PATH = 1024


class Audit(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="audit",
):
    """Record every call before it is answered. `except_paths` are probes that prove nothing."""

    except_paths: tuple[str, ...] = ()

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        unrecorded = frozenset(self.except_paths)

        async def audit(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP or scope["path"] in unrecorded:
                await app(scope, receive, send)
                return
            call = _RecordedCall(scope, send, edge)
            try:
                await app(scope, receive, call.send)
            finally:
                if not call.recorded:
                    # Shielded: the caller who hung up cancels the call, not its record.
                    await asyncio.shield(call.record(0))

        return audit


class _RecordedCall:
    """The sending side of one call. The path is taken on arrival: routers rewrite it later."""

    __slots__ = ("_edge", "_path", "_scope", "_send", "_started", "_withheld", "recorded")

    def __init__(self, scope: HTTPScope, send: Send, edge: Edge) -> None:
        self._scope = scope
        self._send = send
        self._edge = edge
        self._path = _printable(scope["path"])
        self._started = time.perf_counter()
        self._withheld = False
        self.recorded = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            try:
                await self.record(message["status"])
            except Failure as failure:
                await self._refuse(failure)
        if not self._withheld:
            await self._send(message)

    async def record(self, status: int) -> None:
        self.recorded = True
        facts = facts_of(self._scope)
        who = facts.principal
        await self._edge.audit(
            CallRecord(
                time=self._edge.clock(),
                correlation_id=facts.correlation_id,
                client=who.client if who else "",
                token_id=who.token_id if who else "",
                method=str(self._scope["method"])[:16],
                path=self._path,
                status=status,
                failure=facts.failure,
                transaction=facts.transaction,
                duration_ms=round((time.perf_counter() - self._started) * 1000, 3),
            )
        )

    async def _refuse(self, failure: Failure) -> None:
        """Answer that the call could not be recorded, and keep the real answer back."""
        self._withheld = True
        correlation_id = facts_of(self._scope).correlation_id
        status, headers, body = self._edge.problem(failure, correlation_id, self._path)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _printable(path: str) -> str:
    """Return a path that any store takes: control characters as they were sent, encoded."""
    clean = path if path.isprintable() else quote(path, errors="replace")
    return clean[:_LONGEST_PATH]
