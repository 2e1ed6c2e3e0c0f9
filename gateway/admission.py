"""Whose tokens are taken here, and what their bearers have to show: put together, and described."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from canonical.clock import Clock
from canonical.errors import StoreUnavailable
from gateway.authorization.opening import open_authorization
from gateway.authorization.parts import Authorization
from gateway.config import Config, ConfigurationRefused
from gateway.events import public_url
from ledger.ledger import Ledger
from policies.aiohttp_transport import AiohttpTransport
from policies.oauth.binding import Binding
from policies.oauth.certificates import ClientCertificates
from policies.oauth.dpop import ALGORITHMS, Proofs
from policies.oauth.issuers import Issuers
from policies.oauth.proof_memory import proof_memory
from policies.rate_limit import Gcra

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
    """What checks who comes in, and issues what they come in with."""

    authorization: Authorization
    issuers: Issuers
    binding: Binding
    resource: ProtectedResource


@asynccontextmanager
async def open_admission(
    config: Config, ledger: Ledger, valkey: str, limiter: Gcra
) -> AsyncGenerator[Admission]:
    """Put it together; no other issuer has to answer for that."""
    url = public_url(config)
    if any(issuer.url == url for issuer in config.issuers):
        raise ConfigurationRefused(f"issuers: {url} is this gateway itself")
    async with AsyncExitStack() as stack:
        binding = await stack.enter_async_context(_open_binding(config, valkey, ledger.clock))
        authorization = await stack.enter_async_context(
            open_authorization(config, ledger, limiter, binding)
        )
        transport = AiohttpTransport(connections=8, longest_body=_LONGEST_ANSWER)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, trust_env=False, timeout=10)
        )
        issuers = Issuers(authorization.verifier.verify, config.issuers, http)
        stack.push_async_callback(issuers.aclose)
        yield Admission(
            authorization=authorization,
            issuers=issuers,
            binding=binding,
            resource=_resource(config, url),
        )


@asynccontextmanager
async def _open_binding(config: Config, valkey: str, clock: Clock) -> AsyncGenerator[Binding]:
    memory = proof_memory(valkey)
    try:
        with suppress(StoreUnavailable):  # it begins with the first proof, which needs a nonce then
            await memory.claim("start", 1, clock().timestamp())
        proofs = Proofs(memory, public_url(config), config.dpop)
        yield Binding(proofs, ClientCertificates(config.server.proxies), clock)
    finally:
        await memory.aclose()


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
