"""Numbers for Prometheus: calls as they pass, the ledger when asked. No names, no PHI."""

import time

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.params import SkipValidation
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.upstreams import Upstreams
from ledger.figures import Figures

_TIERS = ("system", "process", "experience", "oauth", "health")
_TYPE = "text/plain; version=0.0.4"


class Metrics:
    """The process's own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "suture_http_requests", "Calls answered", ["tier", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "suture_http_seconds", "Time to the answer", ["tier"], registry=self.registry
        )
        self._ledger = Gauge(
            "suture_ledger", "The ledger in numbers", ["what", "kind"], registry=self.registry
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
        self._ledger.clear()
        for what, kind, count in await figures.counts():
            self._ledger.labels(what, kind).set(count)
        return generate_latest(self.registry)


@get("/metrics", operation_id="readMetrics", public=True)
async def read_metrics(
    metrics: NamedDependency[SkipValidation[Metrics]],
    figures: NamedDependency[SkipValidation[Figures]],
    upstreams: NamedDependency[SkipValidation[Upstreams]],
) -> Response[bytes]:
    """Return the metrics in Prometheus's text format."""
    return Response(await metrics.page(figures, upstreams.circuits()), media_type=_TYPE)
