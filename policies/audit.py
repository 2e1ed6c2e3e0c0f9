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
    """Record every call before it is answered. `except_paths` are probes that prove nothing.

    An address of a caller is recorded only with `addresses`; `trusted_proxies` says how many
    proxies of our own stand in front, each of which adds an entry to X-Forwarded-For.
    """

    except_paths: tuple[str, ...] = ()
    addresses: bool = False
    trusted_proxies: int = 0

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        unrecorded = frozenset(self.except_paths)

        async def audit(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP or scope["path"] in unrecorded:
                await app(scope, receive, send)
                return
            address = _address(scope, self.trusted_proxies) if self.addresses else ""
            call = _RecordedCall(scope, send, edge, address)
            try:
                await app(scope, receive, call.send)
            finally:
                if not call.recorded:
                    # Shielded: the caller who hung up cancels the call, not its record.
                    await asyncio.shield(call.record(0))

        return audit


class _RecordedCall:
    """The sending side of one call. The path is taken on arrival: routers rewrite it later."""

    __slots__ = (
        *("_address", "_edge", "_path", "_scope", "_send", "_started", "_withheld"),
        "recorded",
    )

    def __init__(self, scope: HTTPScope, send: Send, edge: Edge, address: str) -> None:
        self._address = address
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
                person=who.subject if who else "",
                purpose=who.purpose if who else "",
                object=facts.object or _named(self._scope),
                facility=facts.seen_facility,
                policy=facts.policy,
                address=self._address,
            )
        )

    async def _refuse(self, failure: Failure) -> None:
        """Answer that the call could not be recorded, and keep the real answer back."""
        self._withheld = True
        correlation_id = facts_of(self._scope).correlation_id
        status, headers, body = self._edge.problem(failure, correlation_id, self._path)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _named(scope: HTTPScope) -> str:
    """Return what the path names, where a route was found for it."""
    named = scope["path_params"] if "path_params" in scope else {}  # noqa: SIM401 - as in edge
    return _printable("/".join(str(value) for value in named.values())) if named else ""


def _address(scope: HTTPScope, hops: int) -> str:
    if hops:
        told = b",".join(v for name, v in scope["headers"] if name == b"x-forwarded-for")
        entries = [entry.strip() for entry in told.decode("latin-1").split(",")]
        if len(entries) >= hops and entries[-hops]:
            return _printable(entries[-hops])[:64]
    client = scope["client"] if "client" in scope else None  # noqa: SIM401 - as in edge
    return client[0] if client else ""


def _printable(path: str) -> str:
    """Return a path that any store takes: control characters as they were sent, encoded."""
    clean = path if path.isprintable() else quote(path, errors="replace")
    return clean[:_LONGEST_PATH]
