"""Calls to other systems as spans, and their place in the trace told (W3C Trace Context).

The parent is the call in hand; in a flow it is the trace of its transaction, so that everything
that was ever done for a transaction is one trace. Attributes hold no query and no body.

Order: outermost, so that a span is what the caller waited for, with all its tries.
"""

import httpx
import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from canonical.request import CALL
from canonical.trace import TracePlace, transaction_place

_FIRST_BAD = 400


class TraceContext(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="trace-context",
):
    """Make a span for every call to `system`, and send `traceparent` along.

    `sample_ratio` is the share of transactions whose flows are recorded; calls from outside bring
    their own decision.
    """

    system: str
    sample_ratio: float = 0.0

    def __call__(
        self, transport: httpx.AsyncBaseTransport, tracer: Tracer
    ) -> httpx.AsyncBaseTransport:
        return _TracedTransport(transport, self, tracer)


class _TracedTransport(httpx.AsyncBaseTransport):
    def __init__(
        self, transport: httpx.AsyncBaseTransport, policy: TraceContext, tracer: Tracer
    ) -> None:
        self._transport = transport
        self._policy = policy
        self._tracer = tracer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        place, transaction = _parent(self._policy.sample_ratio)
        span = self._tracer.start_span(
            f"{request.method} {self._policy.system}",
            context=_context(place),
            kind=SpanKind.CLIENT,
        )
        own = _place_of(span) or place
        if own is not None:
            request.headers["traceparent"] = str(own)
        try:
            response = await self._transport.handle_async_request(request)
            if span.is_recording():
                self._describe(span, request, response.status_code, transaction)
        except httpx.TransportError as exc:
            span.set_status(Status(StatusCode.ERROR, type(exc).__name__))
            raise
        else:
            return response
        finally:
            span.end()

    def _describe(self, span: Span, request: httpx.Request, status: int, transaction: str) -> None:
        span.set_attribute("http.request.method", request.method)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("peer.service", self._policy.system)
        span.set_attribute("suture.transaction", transaction)
        if status >= _FIRST_BAD:
            span.set_status(Status(StatusCode.ERROR))

    async def aclose(self) -> None:
        await self._transport.aclose()


def _parent(ratio: float) -> tuple[TracePlace | None, str]:
    """Return where the call in hand, or the flow, is in its trace; and the transaction."""
    facts = CALL.get()
    if facts is None:
        return None, ""
    place = TracePlace.read(facts.traceparent) if facts.traceparent else None
    if place is None and facts.transaction:
        place = transaction_place(facts.transaction, facts.correlation_id, ratio)
    return place, facts.transaction


def _context(place: TracePlace | None) -> Context:
    if place is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT)
    known = SpanContext(place.trace, place.span, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(known), Context())


def _place_of(span: Span) -> TracePlace | None:
    known = span.get_span_context()
    if not known.is_valid:
        return None
    return TracePlace(known.trace_id, known.span_id, known.trace_flags.sampled)
