"""Calls to other systems carry the trace on, and a transaction is one trace wherever it runs."""

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from canonical.request import CALL, RequestFacts
from canonical.trace import TracePlace, transaction_place
from policies.trace_context import TraceContext

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Traced:
    """An upstream that remembers what it was told, and the spans of the calls to it."""

    def __init__(self) -> None:
        self.told: list[str | None] = []
        self.spans = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.0)))
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = provider.get_tracer("test")
        self.status = 200

    async def ask(self, *, ratio: float = 0.0) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            self.told.append(request.headers.get("traceparent"))
            if self.status == 0:
                raise httpx.ConnectError("refused", request=request)
            return httpx.Response(self.status)

        policy = TraceContext(system="erp", sample_ratio=ratio)
        async with httpx.AsyncClient(
            transport=policy(httpx.MockTransport(answer), self.tracer), base_url="http://erp"
        ) as http:
            await http.get("/stock?patient=Doe")

    def place(self) -> TracePlace:
        place = TracePlace.read(self.told[-1] or "")
        assert place is not None
        return place


@pytest.fixture
def upstream():
    traced, call = Traced(), CALL.set(None)
    yield traced
    CALL.reset(call)


async def test_a_call_goes_on_in_the_trace_of_its_caller(upstream):
    CALL.set(RequestFacts(correlation_id="c", transaction="tx_1", traceparent=CALLER))
    await upstream.ask()
    assert f"{upstream.place().trace:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert f"{upstream.place().span:016x}" != "00f067aa0ba902b7"
    [span] = upstream.spans.get_finished_spans()
    assert span.attributes["suture.transaction"] == "tx_1"
    assert span.attributes["peer.service"] == "erp"
    assert "Doe" not in str(span.to_json())


async def test_all_flows_of_a_transaction_are_one_trace_recorded_or_not_as_a_whole(upstream):
    sampled = set()
    for number in range(40):
        traces = set()
        for flow in ("flow_1", "flow_2"):
            CALL.set(RequestFacts(correlation_id=flow, transaction=f"tx_{number}"))
            await upstream.ask(ratio=0.5)
            traces.add((upstream.place().trace, upstream.place().sampled))
        assert len(traces) == 1
        sampled |= {flag for _, flag in traces}
    assert sampled == {True, False}
    recorded = {span.context.trace_id for span in upstream.spans.get_finished_spans()}
    assert all(len(upstream.spans.get_finished_spans()) % 2 == 0 for _ in recorded)


def test_what_is_sampled_is_what_opentelemetry_would_sample():
    sampler = TraceIdRatioBased(0.1)
    for number in range(300):
        place = transaction_place(f"tx_{number}", "flow", 0.1)
        assert sampler.should_sample(None, place.trace, "x").decision.is_sampled() == place.sampled


async def test_a_call_on_nobodys_behalf_begins_a_trace_of_its_own(upstream):
    await upstream.ask()
    first = upstream.place().trace
    await upstream.ask()
    assert upstream.place().trace != first


async def test_a_failed_call_is_a_failed_span_and_still_fails(upstream):
    CALL.set(RequestFacts(traceparent=CALLER))
    upstream.status = 0
    with pytest.raises(httpx.ConnectError):
        await upstream.ask()
    upstream.status = 503
    await upstream.ask()
    assert [span.status.is_ok for span in upstream.spans.get_finished_spans()] == [False, False]


@pytest.mark.parametrize(
    "header",
    ["", "00-xyz", f"{CALLER}-more", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", CALLER.upper()],
)
def test_what_is_no_place_in_a_trace_is_none(header):
    assert TracePlace.read(header) is None
