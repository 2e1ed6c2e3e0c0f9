"""Whose tokens are taken here, and what their bearers have to show: put together, and described."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from canonical.clock import Clock
from canonical.errors import StoreUnavailable
from canonical.request import Principal
from gateway.config import Config, ConfigurationRefused
from gateway.events import public_url
from policies.aiohttp_transport import AiohttpTransport
from policies.oauth.binding import Binding
from policies.oauth.certificates import ClientCertificates
from policies.oauth.dpop import ALGORITHMS, Proofs
from policies.oauth.issuers import Issuers
from policies.oauth.proof_memory import proof_memory

METADATA = "/.well-known/oauth-protected-resource"
_LONGEST_ANSWER = 1_048_576


class ProtectedResource(msgspec.Struct, frozen=True, kw_only=True):
    """What RFC 9728 2 says of a resource: who issues tokens for it, and what goes with them."""

    resource: str
    authorization_servers: tuple[str, ...]
    scopes_supported: tuple[str, ...]
    resource_name: str = "Suture"
    resource_documentation: str = ""
    bearer_methods_supported: tuple[str, ...] = ("header",)
    dpop_signing_alg_values_supported: tuple[str, ...] = ALGORITHMS
    dpop_bound_access_tokens_required: bool = False
    tls_client_certificate_bound_access_tokens: bool = False


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What checks who comes in."""

    issuers: Issuers
    binding: Binding
    resource: ProtectedResource


@asynccontextmanager
async def open_binding(config: Config, valkey: str, clock: Clock) -> AsyncGenerator[Binding]:
    """Put together what asks callers to show what their tokens are bound to."""
    memory = proof_memory(valkey)
    try:
        with suppress(StoreUnavailable):  # it begins with the first proof, which needs a nonce then
            await memory.claim("start", 1, clock().timestamp())
        proofs = Proofs(memory, public_url(config), config.dpop)
        yield Binding(proofs, ClientCertificates(config.server.proxies), clock)
    finally:
        await memory.aclose()


@asynccontextmanager
async def open_admission(
    config: Config, own: Callable[[bytes, float], Principal], binding: Binding
) -> AsyncGenerator[Admission]:
    """Put it together; no issuer has to answer for that."""
    url = public_url(config)
    if any(issuer.url == url for issuer in config.issuers):
        raise ConfigurationRefused(f"issuers: {url} is this gateway itself")
    async with AsyncExitStack() as stack:
        transport = AiohttpTransport(connections=8, longest_body=_LONGEST_ANSWER)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, trust_env=False, timeout=10)
        )
        issuers = Issuers(own, config.issuers, http)
        stack.push_async_callback(issuers.aclose)
        yield Admission(issuers=issuers, binding=binding, resource=_resource(config, url))


def _resource(config: Config, url: str) -> ProtectedResource:
    tls, proxies = config.server.tls, config.server.proxies
    shows_certificates = tls is not None and tls.client_certificates != "none"
    return ProtectedResource(
        resource=url,
        authorization_servers=(url, *(issuer.url for issuer in config.issuers)),
        scopes_supported=(),
        resource_documentation=f"{url.rstrip('/')}/docs",
        tls_client_certificate_bound_access_tokens=shows_certificates or proxies is not None,
    )


@get(METADATA, operation_id="describeResource", public=True)
async def describe_resource(
    resource: NamedDependency[SkipValidation[ProtectedResource]],
) -> ProtectedResource:
    """Return the metadata of this protected resource."""
    return resource
