"""The systems we call, each behind the same outbound policies: trace, retry, breaker, timeout,
aiohttp.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from gateway.config import Config, ConfigurationRefused, Upstream, secret
from gateway.tracing import sampled_share, tracer
from policies.aiohttp_transport import AiohttpTransport
from policies.circuit_breaker import CircuitBreaker, GuardedTransport
from policies.retry import Retry
from policies.timeout import Timeout
from policies.trace_context import TraceContext


class Upstreams:
    """One HTTP client an upstream, by its name in gateway.toml, and its circuit."""

    def __init__(
        self, clients: dict[str, httpx.AsyncClient], circuits: dict[str, GuardedTransport]
    ) -> None:
        self._clients = clients
        self._circuits = circuits

    def circuits(self) -> dict[str, bool]:
        """Say of each upstream whether its circuit is open: no calls are made for a while."""
        return {name: circuit.is_open for name, circuit in self._circuits.items()}

    def client(self, name: str) -> httpx.AsyncClient:
        """Return the client of an upstream, or say that it is not configured."""
        found = self._clients.get(name)
        if found is None:
            raise ConfigurationRefused(f"upstreams.{name} is used but not configured")
        return found


@asynccontextmanager
async def open_upstreams(config: Config) -> AsyncGenerator[Upstreams]:
    """Open a client for each upstream; close them all on leaving."""
    seen, ratio = tracer(config.observability), sampled_share(config.observability)
    async with AsyncExitStack() as stack:
        circuits = {name: _circuit(upstream) for name, upstream in config.upstreams.items()}
        clients = {
            name: await stack.enter_async_context(
                _client(
                    upstream,
                    TraceContext(system=name, sample_ratio=ratio)(
                        Retry(attempts=upstream.attempts)(circuits[name]), seen
                    ),
                )
            )
            for name, upstream in config.upstreams.items()
        }
        yield Upstreams(clients, circuits)


def _circuit(upstream: Upstream) -> GuardedTransport:
    timed = Timeout(seconds=upstream.timeout_seconds)(AiohttpTransport())
    return CircuitBreaker(failures=upstream.failures_to_open, open_seconds=upstream.open_seconds)(
        timed
    )


def _client(upstream: Upstream, transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    auth = (upstream.user, secret(upstream.password_secret)) if upstream.user else None
    return httpx.AsyncClient(
        base_url=upstream.url,
        transport=transport,
        auth=auth,
        timeout=upstream.timeout_seconds,
        trust_env=False,
    )
