"""The systems we call, each behind the same outbound policies: retry, breaker, timeout, aiohttp."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from gateway.config import Config, ConfigurationRefused, Upstream, secret
from policies.aiohttp_transport import AiohttpTransport
from policies.circuit_breaker import CircuitBreaker
from policies.retry import Retry
from policies.timeout import Timeout


class Upstreams:
    """One HTTP client an upstream, by its name in gateway.toml."""

    def __init__(self, clients: dict[str, httpx.AsyncClient]) -> None:
        self._clients = clients

    def client(self, name: str) -> httpx.AsyncClient:
        """Return the client of an upstream, or say that it is not configured."""
        found = self._clients.get(name)
        if found is None:
            raise ConfigurationRefused(f"upstreams.{name} is used but not configured")
        return found


@asynccontextmanager
async def open_upstreams(config: Config) -> AsyncGenerator[Upstreams]:
    """Open a client for each upstream; close them all on leaving."""
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(_client(upstream))
            for name, upstream in config.upstreams.items()
        }
        yield Upstreams(clients)


def _client(upstream: Upstream) -> httpx.AsyncClient:
    timed = Timeout(seconds=upstream.timeout_seconds)(AiohttpTransport())
    guarded = CircuitBreaker(
        failures=upstream.failures_to_open, open_seconds=upstream.open_seconds
    )(timed)
    auth = (upstream.user, secret(upstream.password_secret)) if upstream.user else None
    return httpx.AsyncClient(
        base_url=upstream.url,
        transport=Retry(attempts=upstream.attempts)(guarded),
        auth=auth,
        timeout=upstream.timeout_seconds,
        trust_env=False,
    )
