"""Where spans go: nowhere, or as JSON to standard output; another exporter is added here."""

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from gateway.config import Observability


def tracer(config: Observability) -> Tracer:
    """Return a tracer that records the configured share; callers' own sampling decisions hold."""
    ratio = config.sample_ratio if config.spans != "off" else 0.0
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource({"service.name": "suture"}),
        shutdown_on_exit=False,
    )
    if config.spans == "console":
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    return provider.get_tracer("suture")
