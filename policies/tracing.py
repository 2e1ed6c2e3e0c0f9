"""One OpenTelemetry span a call, by hand: stock middleware pays even when nothing is sampled.

The caller's W3C trace context is continued, and linked to the trace of the transaction that the
call was about. Attributes are set only where the span is recorded, and never hold a query, a body
or a token.

Order: inside correlation-id, outside audit, so that the span covers what the caller waits for.
"""

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from opentelemetry.context import Context
from opentelemetry.propagate import extract
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode

from canonical.trace import TracePlace, transaction_place
from policies.edge import Edge, facts_of

_SERVER_ERROR = 500


class Tracing(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="tracing",
):
    """Make a span for every call; how many are recorded is the sampler's choice."""

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        async def tracing(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            span = edge.tracer.start_span(
                scope["method"], context=_parent(scope), kind=SpanKind.SERVER
            )
            facts_of(scope).traceparent = _place_of(span)

            async def noticed(message: Message) -> None:
                if message["type"] == "http.response.start" and span.is_recording():
                    facts = facts_of(scope)
                    span.set_attribute("http.request.method", scope["method"])
                    span.set_attribute("http.response.status_code", message["status"])
                    span.set_attribute("suture.correlation_id", facts.correlation_id)
                    span.set_attribute("suture.transaction", facts.transaction)
                    _link(span, facts.transaction)
                    if message["status"] >= _SERVER_ERROR:
                        span.set_status(Status(StatusCode.ERROR, facts.failure))
                await send(message)

            try:
                await app(scope, receive, noticed)
            finally:
                span.end()

        return tracing


def _place_of(span: Span) -> str:
    """Return where this call is, for the calls that it makes itself."""
    known = span.get_span_context()
    place = TracePlace(known.trace_id, known.span_id, known.trace_flags.sampled)
    return str(place) if known.is_valid else ""


def _link(span: Span, transaction: str) -> None:
    """Link the call to the trace of the transaction that it was about."""
    if transaction:
        place = transaction_place(transaction, transaction)
        span.add_link(SpanContext(place.trace, place.span, is_remote=True))


def _parent(scope: Scope) -> Context:
    """Return the caller's context, or an empty one: never that of another call."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return extract({"traceparent": value.decode("latin-1")}, context=Context())
    return Context()
