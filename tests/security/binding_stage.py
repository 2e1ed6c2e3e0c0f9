"""A gateway that takes bound tokens and tokens of two other issuers, and whoever attacks it."""

import base64
import itertools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from joserfc.jwk import ECKey, RSAKey

from canonical.clock import utc_now
from gateway.app import Parts, create_app
from gateway.authorization.book import ClientBook
from gateway.config import Config
from gateway.demo.servers import vendor_system
from gateway.runtime import Stores, open_parts
from policies.oauth.certificates import TrustedProxies, thumbprint
from policies.oauth.clients import OAuthClient, new_client
from policies.oauth.issuer_settings import ExternalIssuer, Grant
from policies.oauth.tokens import Rights, own_rights
from tests.certificates import Authority, Issued
from tests.security.proofs import proof

ROOT = "https://suture.example"
PATH = "/experience/v1/operations/transactions"
URL = ROOT + PATH
TOKEN_URL = f"{ROOT}/oauth/token"
SCOPE = "experience.operations:read"
PROXY = "10.9.0.1"
KEY = ECKey.generate_key("P-256")
OTHER_KEY = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)

_addresses = (f"10.1.{n // 250}.{n % 250 + 1}" for n in itertools.count())
"""Everybody has an address of their own: refused tokens are limited by address."""


class Field:
    """Where the attacks take place; its clock is a minute ahead of when its memory began."""

    def __init__(self, parts: Parts, issuers: tuple[str, str], folder: Path) -> None:
        self.parts = parts
        self.app = create_app(parts)
        self.north, self.south = issuers
        authority = Authority(folder, "ca")
        self.ward, self.dock = authority.issue("ward"), authority.issue("dock")
        self.secrets: dict[str, str] = {}

    def now(self) -> float:
        return self.parts.clock().timestamp()

    async def call(self, method: str, path: str, *, peer: str = "", **request: Any):
        """Call from `peer`; without one, from an address that nobody else calls from."""
        transport = httpx.ASGITransport(self.app, client=(peer or next(_addresses), 40_000))
        async with httpx.AsyncClient(transport=transport, base_url=ROOT) as http:
            return await http.request(method, path, **request)

    async def read(self, token: str, *proofs: str, scheme: str = "DPoP", **more: Any):
        """Read something with a token and proofs."""
        extra = more.pop("headers", ())
        headers = [("authorization", f"{scheme} {token}"), *(("dpop", one) for one in proofs)]
        return await self.call("GET", PATH, headers=[*headers, *extra], **more)

    async def ask(self, client: str, *proofs: str, secret: str | None = None, **more: Any):
        """Ask for a token; with a `secret` of '' by none."""
        form = {"grant_type": "client_credentials", "client_id": client}
        known = self.secrets[client] if secret is None else secret
        if known:
            form["client_secret"] = known
        headers = [*(("dpop", one) for one in proofs), *more.pop("headers", ())]
        return await self.call("POST", "/oauth/token", data=form, headers=headers, **more)

    def proof(self, token: str | None, **changed: Any) -> str:
        """Return a proof for reading; what is `changed` is wrong with it."""
        key = changed.pop("key", KEY)
        method, url = changed.pop("method", "GET"), changed.pop("url", URL)
        return proof(key, method, url, changed.pop("now", self.now()), token=token, **changed)

    def token(self, cnf: dict[str, str] | None = None, **changed: Any) -> str:
        """Return a token of ours, as the token endpoint would issue it."""
        client, _ = new_client("probe", (SCOPE,))
        rights: Rights = msgspec.structs.replace(
            own_rights(client, client.scopes), cnf=cnf or {}, **changed
        )
        return self.parts.authorization.issuer.signed(rights, self.now())

    def bound(self, key: ECKey = KEY) -> str:
        return self.token({"jkt": key.thumbprint()})

    def certified(self, shown: Issued) -> str:
        return self.token({"x5t#S256": thumbprint(shown.der)})

    async def foreign(self, issuer: str, **order: Any) -> str:
        """Have an issuer sign a token that would be good, but for what is ordered."""
        claims = {"aud": "suture", "sub": "ann", "client_id": "app", "groups": ["buyers"]}
        order["claims"] = {**claims, **order.get("claims", {})}
        async with httpx.AsyncClient(base_url=issuer, trust_env=False) as http:
            answer = await http.post("/sim/token", content=msgspec.json.encode(order))
        assert answer.status_code == 200, answer.text
        return answer.text

    async def sim(self, issuer: str, path: str, **body: Any) -> Any:
        async with httpx.AsyncClient(base_url=issuer, trust_env=False) as http:
            if path == "asked":
                return (await http.get("/sim/asked")).json()
            return await http.post(f"/sim/{path}", content=msgspec.json.encode(body))

    async def introduce(self, client: OAuthClient, secret: str) -> None:
        await ClientBook(self.parts.ledger.clients).put(client)
        self.secrets[client.client_id] = secret


def passed_on(*shown: Issued) -> list[tuple[str, str]]:
    """Return the headers in which a proxy passes certificates on (RFC 9440)."""
    return [("client-cert", f":{base64.b64encode(one.der).decode()}:") for one in shown]


def configured(config: Config, north: str, south: str, **changed: Any) -> Config:
    grants = (
        Grant(claim="groups", value="buyers", scopes=(SCOPE,), facilities=("1710",)),
        Grant(claim="groups", value="guests", scopes=(), facilities=("1710",)),
        Grant(claim="groups", value="homeless", scopes=(SCOPE,)),
    )
    known = {"audience": "suture", "grants": grants}
    return msgspec.structs.replace(
        config,
        server=msgspec.structs.replace(
            config.server, issuer=ROOT, proxies=TrustedProxies(networks=(f"{PROXY}/32",))
        ),
        issuers=(
            ExternalIssuer(name="north", url=north, algorithms=("ES256",), **known),
            ExternalIssuer(name="south", url=south, algorithms=("ES256", "RS256"), **known),
        ),
        **changed,
    )


class Clock:
    """The real time, and what it was put forward by."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self._ahead

    def forward(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


@asynccontextmanager
async def open_field(config: Config, stores: Stores, folder: Path) -> AsyncGenerator[Field]:
    """Open the gateway, its two issuers, and its clients."""
    async with AsyncExitStack() as stack:
        north = await stack.enter_async_context(vendor_system("issuer"))
        south = await stack.enter_async_context(vendor_system("issuer"))
        clock = Clock()
        parts = await stack.enter_async_context(
            open_parts(configured(config, north, south), clock, stores)
        )
        field = Field(parts, (north, south), folder)
        clock.forward(60)
        client, secret = new_client("app", (SCOPE,))
        changes: dict[str, dict[str, Any]] = {
            "app": {},
            "bound-app": {"binds": ("dpop",)},
            "sealed-app": {"binds": ("certificate",)},
            "ward-app": {"auth_method": "tls_client_auth", "tls_subject": "dns:ward"},
        }
        for name, changed in changes.items():
            named = msgspec.structs.replace(client, client_id=name, **changed)
            await field.introduce(named, secret)
        yield field
