"""One span a call: continued from the caller, ended whatever happens, without what people sent."""

import httpx
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from canonical.clock import utc_now
from canonical.errors import InternalFault
from gateway.problems import problem
from policies.correlation_id import CorrelationId
from policies.edge import Edge
from policies.problem_details import ProblemDetails
from policies.tracing import Tracing


def edge(exporter: InMemorySpanExporter) -> Edge:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def nothing(*_):
        return None

    return Edge(
        verify=lambda _token, _now: None,
        audit=nothing,
        limiter=nothing,
        clock=utc_now,
        problem=problem,
        tracer=provider.get_tracer("test"),
    )


async def answered(app, exporter, **headers):
    shared = edge(exporter)
    whole = CorrelationId()(Tracing()(ProblemDetails()(app, shared), shared), shared)
    transport = httpx.ASGITransport(whole)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        return await http.get("/patients?name=TAGGED", headers=headers)


async def fine(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def broken(_scope, _receive, _send):
    raise InternalFault("TAGGED")


async def test_a_call_continues_the_trace_of_its_caller():
    exporter = InMemorySpanExporter()
    trace = "0af7651916cd43dd8448eb211c80319c"
    await answered(fine, exporter, traceparent=f"00-{trace}-b7ad6b7169203331-01")
    (span,) = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == trace
    assert span.attributes["http.response.status_code"] == 200


async def test_calls_without_a_trace_do_not_share_one():
    exporter = InMemorySpanExporter()
    await answered(fine, exporter)
    await answered(fine, exporter)
    first, second = exporter.get_finished_spans()
    assert first.context.trace_id != second.context.trace_id
    assert first.parent is None


async def test_a_failed_call_ends_its_span_as_an_error_without_what_was_sent():
    exporter = InMemorySpanExporter()
    answer = await answered(broken, exporter)
    assert answer.status_code == 500
    (span,) = exporter.get_finished_spans()
    assert span.status.description == "internal-fault"
    assert "TAGGED" not in span.to_json()
