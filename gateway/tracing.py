"""Where spans go: nowhere, or as JSON to standard output; another exporter is added here."""

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from gateway.config import Observability


def sampled_share(config: Observability) -> float:
    """Return the share of what begins here that is recorded: nothing where nobody gets it."""
    return config.sample_ratio if config.spans != "off" else 0.0


def tracer(config: Observability) -> Tracer:
    """Return a tracer that records the configured share; callers' own sampling decisions hold."""
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sampled_share(config))),
        resource=Resource({"service.name": "suture"}),
        shutdown_on_exit=False,
    )
    if config.spans == "console":
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    return provider.get_tracer("suture")
