"""The authorization server, put together: one line a grant, one line a proof."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import msgspec

from canonical.clock import Clock
from gateway.authorization.addresses import KeyAddresses
from gateway.authorization.book import ClientBook
from gateway.authorization.parts import Authorization
from gateway.config import Config, setting
from gateway.events import public_url
from gateway.keys import keys_folder
from gateway.sign_in.desk import desk_of
from gateway.sign_in.token_grants import PeopleGrants
from ledger.ledger import Ledger
from policies.aiohttp_transport import AiohttpTransport
from policies.oauth.assertions import Assertions
from policies.oauth.authentication import ClientAuthentication
from policies.oauth.binding import Binding
from policies.oauth.client_keys import ClientKeys
from policies.oauth.clients import TOKEN_EXCHANGE
from policies.oauth.exchange import Exchange
from policies.oauth.introspection import Introspection, Revocation
from policies.oauth.keys import kept_signing_keys
from policies.oauth.live_keys import LiveKeys
from policies.oauth.registration import Registration
from policies.oauth.revoked import is_revoked
from policies.oauth.server import GRANTS, Confirm, Grant, TokenServer
from policies.oauth.statements import Statements
from policies.oauth.tokens import TokenIssuer, TokenVerifier
from policies.public_addresses import public_socket
from policies.rate_limit import Gcra

AUDIENCE = "suture"
_LONGEST_KEY_SET = 65_536
_KEY_SET_SECONDS = 5.0
_LOOK_SECONDS = 0.5


@asynccontextmanager
async def open_authorization(
    config: Config, ledger: Ledger, limiter: Gcra, binding: Binding
) -> AsyncGenerator[Authorization]:
    """Read the keys, know what is revoked, and follow both until left."""
    clock = ledger.clock
    async with AsyncExitStack() as stack:
        await ledger.withdrawals.start()
        stack.push_async_callback(ledger.withdrawals.stop)
        keys = LiveKeys(signing_key_file(config), lambda: clock().timestamp())
        http = await stack.enter_async_context(_outside())
        found = ClientKeys(KeyAddresses(http, _KEY_SET_SECONDS).read, _loop_time)
        parts = _Parts(ledger, clock, keys, found)
        authorization = _put_together(config, parts, limiter, binding)
        following = asyncio.create_task(_follow(keys, authorization.verifier), name="signing-keys")
        stack.callback(following.cancel)
        yield authorization


def signing_key_file(config: Config) -> Path:
    """Return where the signing keys are: named by the environment, or our own, made once."""
    given = setting("SUTURE_SIGNING_KEY_FILE")
    if given:
        return Path(given)
    own = keys_folder(config) / "signing.jwks"
    kept_signing_keys(own)
    return own


class _Parts:
    """What the endpoints of one server share."""

    def __init__(self, ledger: Ledger, clock: Clock, keys: LiveKeys, found: ClientKeys) -> None:
        self.ledger = ledger
        self.clock = clock
        self.keys = keys
        self.found = found
        self.book = ClientBook(ledger.clients)

    async def use_once(self, name: str, until: float) -> bool:
        return await self.ledger.once.take(name, until, self.clock().timestamp())

    async def withdraw(self, name: str, until: float) -> None:
        await self.ledger.withdrawals.withdraw(name, until=until)


def _put_together(config: Config, parts: _Parts, limiter: Gcra, binding: Binding) -> Authorization:
    url = public_url(config)
    desk = desk_of(config, parts.ledger, limiter, parts.book.find)
    people = PeopleGrants(desk=desk)
    issuer = TokenIssuer(
        keys=parts.keys.current,
        issuer=url,
        audience=AUDIENCE,
        lifetime_seconds=config.server.token_seconds,
    )

    def issuer_now() -> TokenIssuer:
        return msgspec.structs.replace(issuer, keys=parts.keys.current)

    verifier = _verifier(url, parts)
    authenticate = _authentication(url, parts)
    grants = {**_grants(url, verifier), **people.table}
    return Authorization(
        live_keys=parts.keys,
        issuer_now=issuer_now,
        verifier=verifier,
        tokens=TokenServer(
            authenticate=authenticate,
            issuer=issuer_now,
            grants=grants,
            confirm=_confirmations(binding),
        ),
        introspection=Introspection(authenticate=authenticate, claims=verifier.claims),
        revocation=Revocation(
            authenticate=authenticate,
            claims=verifier.claims,
            withdraw=parts.withdraw,
            others=(people.end_refresh_token,),
        ),
        registration=_registration(config, parts, tuple(grants)),
        desk=desk,
        url=url,
        clock=parts.clock,
        certificate_of=binding.certificate_of,
    )


def _grants(url: str, verifier: TokenVerifier) -> dict[str, Grant]:
    """Return how each grant_type is answered."""
    return {
        **GRANTS,
        TOKEN_EXCHANGE: Exchange(claims=verifier.claims, audiences=(AUDIENCE, url)),
    }


def _confirmations(binding: Binding) -> tuple[Confirm, ...]:
    """Return what may bind a token to its holder."""
    return (binding.to_a_key, binding.to_a_certificate)


def _verifier(url: str, parts: _Parts) -> TokenVerifier:
    any_of = parts.ledger.withdrawals.any_of
    verifier = TokenVerifier(
        parts.keys.current,
        issuer=url,
        audience=AUDIENCE,
        is_revoked=lambda principal: is_revoked(principal, any_of),
    )
    verifier.other_keys = parts.keys.look
    return verifier


def _audiences(url: str) -> tuple[str, ...]:
    """Return what an assertion for this server may name: the issuer, or its token endpoint."""
    return url, f"{url.rstrip('/')}/oauth/token"


def _authentication(url: str, parts: _Parts) -> ClientAuthentication:
    return ClientAuthentication(
        find=parts.book.find,
        assertions=Assertions(
            audiences=_audiences(url), find_key=parts.found.find, use_once=parts.use_once
        ),
    )


def _registration(
    config: Config, parts: _Parts, grant_types: tuple[str, ...]
) -> Registration | None:
    if not config.registration.issuers:
        return None
    statements = Statements(
        issuers=config.registration.issuers,
        audiences=_audiences(public_url(config)),
        find_key=parts.found.find,
        use_once=parts.use_once,
    )
    return Registration(
        terms=config.registration,
        statements=statements,
        grant_types=grant_types,
        keep=parts.book.put,
    )


@asynccontextmanager
async def _outside() -> AsyncGenerator[httpx.AsyncClient]:
    """Give what reads addresses that clients name: public ones only, without redirects."""
    transport = AiohttpTransport(
        sockets=public_socket, longest_body=_LONGEST_KEY_SET, connections=16
    )
    async with httpx.AsyncClient(
        transport=transport, timeout=_KEY_SET_SECONDS, trust_env=False, follow_redirects=False
    ) as http:
        yield http


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


async def _follow(keys: LiveKeys, verifier: TokenVerifier) -> None:
    """Take other keys as soon as the file, or the time, says so."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        newer = keys.look()
        if newer is not None:
            verifier.use(newer)
