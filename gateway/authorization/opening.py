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
from ledger.ledger import Ledger
from policies.aiohttp_transport import AiohttpTransport
from policies.oauth.assertions import Assertions
from policies.oauth.authentication import ClientAuthentication
from policies.oauth.client_keys import ClientKeys
from policies.oauth.keys import kept_signing_keys
from policies.oauth.live_keys import LiveKeys
from policies.oauth.revoked import is_revoked
from policies.oauth.server import GRANTS, Confirm, Grant, TokenServer
from policies.oauth.tokens import TokenIssuer, TokenVerifier
from policies.public_addresses import public_socket

AUDIENCE = "suture"
_LONGEST_KEY_SET = 65_536
_KEY_SET_SECONDS = 5.0
_LOOK_SECONDS = 0.5


@asynccontextmanager
async def open_authorization(
    config: Config, ledger: Ledger, clock: Clock
) -> AsyncGenerator[Authorization]:
    """Read the keys, know what is revoked, and follow both until left."""

    def now() -> float:
        return clock().timestamp()

    async with AsyncExitStack() as stack:
        await ledger.withdrawals.start()
        stack.push_async_callback(ledger.withdrawals.stop)
        keys = LiveKeys(signing_key_file(config), now)
        http = await stack.enter_async_context(_outside())
        authorization = _put_together(config, ledger, clock, keys, http)
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


def _put_together(
    config: Config, ledger: Ledger, clock: Clock, keys: LiveKeys, http: httpx.AsyncClient
) -> Authorization:
    url = public_url(config)
    issuer = TokenIssuer(
        keys=keys.current,
        issuer=url,
        audience=AUDIENCE,
        lifetime_seconds=config.server.token_seconds,
    )

    def issuer_now() -> TokenIssuer:
        return msgspec.structs.replace(issuer, keys=keys.current)

    verifier = TokenVerifier(
        keys.current,
        issuer=url,
        audience=AUDIENCE,
        is_revoked=lambda principal: is_revoked(principal, ledger.withdrawals.any_of),
    )
    verifier.other_keys = keys.look
    return Authorization(
        live_keys=keys,
        issuer_now=issuer_now,
        verifier=verifier,
        tokens=TokenServer(
            authenticate=_authentication(ledger, clock, url, http),
            issuer=issuer_now,
            grants=_grants(),
            confirm=_confirmations(),
        ),
        url=url,
        clock=clock,
    )


def _grants() -> dict[str, Grant]:
    """Return how each grant_type is answered."""
    return {**GRANTS}


def _confirmations() -> tuple[Confirm, ...]:
    """Return what may bind a token to its holder."""
    return ()


def _authentication(
    ledger: Ledger, clock: Clock, url: str, http: httpx.AsyncClient
) -> ClientAuthentication:
    keys = ClientKeys(KeyAddresses(http, _KEY_SET_SECONDS).read, asyncio.get_running_loop().time)

    async def use_once(name: str, until: float) -> bool:
        return await ledger.once.take(name, until, clock().timestamp())

    return ClientAuthentication(
        find=ClientBook(ledger.clients).find,
        assertions=Assertions(
            audiences=(url, f"{url.rstrip('/')}/oauth/token"),
            find_key=keys.find,
            use_once=use_once,
        ),
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


async def _follow(keys: LiveKeys, verifier: TokenVerifier) -> None:
    """Take other keys as soon as the file, or the time, says so."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        newer = keys.look()
        if newer is not None:
            verifier.use(newer)
