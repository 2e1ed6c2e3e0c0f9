"""Numbers for Prometheus: calls as they pass, the ledger when asked. No names, no PHI.

Names end in their unit, what only grows in `_total`. Every label has few values: statuses, tiers,
the words of the ledger; of subscriptions the furthest behind, and all others as one.
"""

import time
from collections.abc import Iterable, Iterator, Sequence

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.params import SkipValidation
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.upstreams import Upstreams
from ledger.figures import Figures

_TIERS = ("system", "process", "experience", "oauth", "health")
_TYPE = "text/plain; version=0.0.4"
_MOST_SERIES = 50
_OTHERS = "others"

_FIGURES = {
    "flows": ("suture_flows", "Flows that are not finished", "status"),
    "tasks": ("suture_open_tasks", "Tasks that wait for a person", "reason"),
    "subscriptions": ("suture_subscriptions", "Subscriptions to events", "status"),
    "messages": ("suture_messages", "Documents that came or went", "which"),
    "transactions": ("suture_transactions", "Business transactions", "which"),
    "subscription-backlog": (
        *("suture_subscription_backlog_events", "Events not yet heard"),
        "subscription",
    ),
    "subscription-oldest-seconds": (
        *("suture_subscription_oldest_seconds", "Age of the oldest event not yet heard"),
        "subscription",
    ),
    "subscription-failed-attempts": (
        *("suture_subscription_failed_attempts", "Tries since an event was last heard"),
        "subscription",
    ),
}
_COUNTED = {
    "batches": ("suture_writer_batches", "Commits of the ledger's writer"),
    "records": ("suture_writer_records", "Records written by them"),
}

Figure = tuple[str, str, int]


class Metrics:
    """The process's own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "suture_http_requests", "Calls answered", ["tier", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            *("suture_http_request_duration_seconds", "Time to the answer", ["tier"]),
            registry=self.registry,
        )
        self._circuits = Gauge(
            "suture_circuit_open",
            "1 while no calls are made to an upstream that failed again and again",
            ["upstream"],
            registry=self.registry,
        )

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Count what passes."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            first = scope["path"].lstrip("/").split("/", 1)[0]
            tier = first if first in _TIERS else "other"
            began = time.perf_counter()

            async def noticed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._calls.labels(tier, str(message["status"])).inc()
                    self._seconds.labels(tier).observe(time.perf_counter() - began)
                await send(message)

            await app(scope, receive, noticed)

        return counted

    async def page(self, figures: Figures, circuits: dict[str, bool]) -> bytes:
        """Return everything in the text format."""
        for upstream, is_open in circuits.items():
            self._circuits.labels(upstream).set(is_open)
        told = CollectorRegistry()
        told.register(_Told(await figures.counts()))
        return generate_latest(self.registry) + generate_latest(told)


class _Told(Collector):
    """The ledger's figures of one moment."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        for what, (name, said, label) in _FIGURES.items():
            family = GaugeMetricFamily(name, said, labels=[label])
            for kind, count in bounded((k, n) for w, k, n in self._figures if w == what):
                family.add_metric([kind], count)
            yield family
        for kind, (name, said) in _COUNTED.items():
            counted = sum(n for w, k, n in self._figures if (w, k) == ("writer", kind))
            yield CounterMetricFamily(name, said, value=counted)


def bounded(series: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the highest of many series, and the highest of all others as one."""
    highest = sorted(series, key=lambda one: -one[1])
    told, rest = highest[:_MOST_SERIES], highest[_MOST_SERIES:]
    return [*told, (_OTHERS, rest[0][1])] if rest else told


@get("/metrics", operation_id="readMetrics", public=True)
async def read_metrics(
    metrics: NamedDependency[SkipValidation[Metrics]],
    figures: NamedDependency[SkipValidation[Figures]],
    upstreams: NamedDependency[SkipValidation[Upstreams]],
) -> Response[bytes]:
    """Return the metrics in Prometheus's text format."""
    return Response(await metrics.page(figures, upstreams.circuits()), media_type=_TYPE)
