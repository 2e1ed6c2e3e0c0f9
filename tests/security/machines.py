"""A finished gateway in this process, machines that call it, and a signer that signs anything."""

import base64
import hashlib
import hmac
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, RSAKey

from gateway.app import create_app
from gateway.authorization import ClientBook
from gateway.config import Config
from gateway.runtime import open_parts, open_stores
from ledger.database import fresh_database
from policies.oauth.client_keys import public_keys
from policies.oauth.clients import ACT, INTROSPECT, OAuthClient, new_client
from policies.oauth.registration import RegistrationTerms, with_keys
from policies.oauth.statements import StatementIssuer
from policies.rate_limit import RateLimit

ISSUER = "https://suture.test"
TOKEN = f"{ISSUER}/oauth/token"
READ, WRITE = "experience.operations:read", "process.usage:write"
GUARDED = "/experience/v1/operations/transactions"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
DIRECTORY = "https://directory.test"

_HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def encoded(part: Any) -> bytes:
    raw = part if isinstance(part, bytes) else msgspec.json.encode(part)
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def signed(header: Any, claims: Any, key: Any) -> str:
    """Return a JWS with exactly this header and payload; `key` None leaves the signature out."""
    message = encoded(header) + b"." + encoded(claims)
    return (message + b"." + encoded(_signature(header, message, key))).decode()


def _signature(header: Any, message: bytes, key: Any) -> bytes:
    if key is None:
        return b""
    if isinstance(key, bytes):
        return hmac.digest(key, message, hashlib.sha256)
    kind = _HASHES.get(str(header.get("alg", ""))[2:], hashes.SHA256)()
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), kind)
    long = (key.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(kind)))
    return r.to_bytes(long, "big") + s.to_bytes(long, "big")


class Keys:
    """The keys that a machine signs with."""

    def __init__(self) -> None:
        self.es384 = ec.generate_private_key(ec.SECP384R1())
        self.es256 = ec.generate_private_key(ec.SECP256R1())
        self.rs384 = rsa.generate_private_key(65537, 2048)

    def named(self, algorithm: str) -> Any:
        return getattr(self, algorithm.lower())

    def public(self) -> bytes:
        told = [
            {**kind.import_key(self.named(alg).public_key()).as_dict(), "kid": alg.lower(), **more}
            for kind, alg, more in (
                (ECKey, "ES384", {"alg": "ES384"}),
                (ECKey, "ES256", {}),
                (RSAKey, "RS384", {"use": "sig"}),
            )
        ]
        return msgspec.json.encode({"keys": told})


class Machines:
    """The gateway, and those who call it: some honest, some not."""

    def __init__(self, http: httpx.AsyncClient, parts: Any, directory: Keys) -> None:
        self.http = http
        self.parts = parts
        self.book = ClientBook(parts.ledger.clients)
        self.keys, self.others, self.directory = Keys(), Keys(), directory
        self.secrets: dict[str, str] = {}

    @property
    def now(self) -> float:
        return self.parts.clock().timestamp()

    async def know(self, name: str, *scopes: str, keys: Keys | None = None, **more: Any) -> None:
        """Add a client, with a secret or with keys."""
        client, secret = new_client(name, scopes)
        if keys is not None:
            client = with_keys(client, public_keys(keys.public()), "")
        self.secrets[name] = secret
        await self.book.put(msgspec.structs.replace(client, **more))

    def assertion(self, header: dict[str, Any] | None = None, key: Any = ..., **claims: Any) -> str:
        """Return an assertion of «keyed»; a claim or header that is None is left out."""
        head = {"alg": "ES384", "typ": "JWT", "kid": "es384", **(header or {})}
        now = int(self.now)
        body = {"iss": "keyed", "sub": "keyed", "aud": TOKEN, "iat": now, "exp": now + 200}
        body |= {"jti": uuid.uuid4().hex, **claims}
        return signed(_said(head), _said(body), self.keys.es384 if key is ... else key)

    def lone_surrogate(self) -> bytes:
        """Claims whose names are JSON, but no text that can be encoded."""
        now = int(self.now)
        said = {"iss": "@", "sub": "@", "aud": TOKEN, "exp": now + 60, "jti": "@"}
        return msgspec.json.encode(said).replace(b"@", b"\\ud800")

    async def post(self, path: str, form: Any, **given: Any) -> httpx.Response:
        if isinstance(form, dict):
            return await self.http.post(path, data=form, **given)
        kind = {"content-type": "application/x-www-form-urlencoded"} | given.pop("headers", {})
        return await self.http.post(path, content=form, headers=kind, **given)

    async def ask(self, assertion: str | None = None, **form: str) -> httpx.Response:
        """Ask for a token by an assertion."""
        told = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION}
        told["client_assertion"] = self.assertion() if assertion is None else assertion
        return await self.post("/oauth/token", told | form)

    async def as_client(self, name: str, path: str = "/oauth/token", **form: str) -> httpx.Response:
        """Call an endpoint with a client's secret."""
        return await self.post(path, form, auth=(name, self.secrets.get(name, "none")))

    async def token(self, name: str, **form: str) -> str:
        answer = await self.as_client(name, grant_type="client_credentials", **form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def exchange(self, name: str, token: str, **form: str) -> httpx.Response:
        told = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
        return await self.as_client(name, **{**told, **form})

    async def call(self, token: str, path: str = GUARDED) -> httpx.Response:
        """Call a guarded route with a token."""
        return await self.http.get(path, headers={"authorization": f"Bearer {token}"})

    def forged(self, header: dict[str, Any] | None = None, key: Any = ..., **claims: Any) -> str:
        """Return an access token with some of its parts changed, signed as one likes."""
        now, issuer = int(self.now), self.parts.authorization.issuer
        head = {"alg": "ES256", "typ": "at+jwt", "kid": issuer.keys.signing_id, **(header or {})}
        body = {"iss": ISSUER, "aud": "suture", "sub": "plain", "client_id": "plain"}
        body |= {"scope": READ, "iat": now, "exp": now + 600, "jti": uuid.uuid4().hex, **claims}
        own = issuer.keys.signing.private_key
        return signed(_said(head), _said(body), own if key is ... else key)

    def statement(self, header: dict[str, Any] | None = None, key: Any = ..., **said: Any) -> str:
        """Return a software statement of the directory."""
        head = {"alg": "ES384", "typ": "JWT", "kid": "es384", **(header or {})}
        now = int(self.now)
        body = {"iss": DIRECTORY, "iat": now, "exp": now + 300, "jti": uuid.uuid4().hex}
        body |= {"software_id": "scanner-3", "client_name": "Scanner", "scope": f"{READ} {WRITE}"}
        body |= {"facilities": ["1710"], **said}
        return signed(_said(head), _said(body), self.directory.es384 if key is ... else key)

    async def register(self, statement: str | None = None, **asked: Any) -> httpx.Response:
        told = {"software_statement": self.statement() if statement is None else statement}
        return await self.http.post("/oauth/register", json=_said(told | asked))


def _said(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value is not None}


def refusal(answer: httpx.Response) -> str:
    """Return in one word how a call was refused; «granted» where it was not."""
    body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    if answer.is_success:
        return "inactive" if body.get("active") is False else "granted"
    if "error" in body:
        return str(body["error"])
    return str(body["type"]).rsplit(":", 1)[-1]


def roomy(config: Config) -> Config:
    """Return the configuration with limits that no test meets."""
    pipeline = tuple(
        msgspec.structs.replace(policy, limit=10**9, burst=10**9)
        if isinstance(policy, RateLimit)
        else policy
        for policy in config.pipeline
    )
    return msgspec.structs.replace(config, pipeline=pipeline)


@asynccontextmanager
async def open_machines(config: Config) -> AsyncGenerator[Machines]:
    """Open the finished application on an empty ledger, with everybody known to it."""
    directory = Keys()
    issuers = (StatementIssuer(issuer=DIRECTORY, jwks=public_keys(directory.public())),)
    served = msgspec.structs.replace(
        roomy(config),
        server=msgspec.structs.replace(config.server, issuer=ISSUER),
        registration=RegistrationTerms(issuers=issuers, sandbox_scopes=(READ,)),
    )
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(served))
        dsn = await fresh_database(stores.dsn, f"machines_{uuid.uuid4().hex}")
        stores = msgspec.structs.replace(stores, dsn=dsn)
        parts = await stack.enter_async_context(open_parts(served, stores=stores))
        transport = httpx.ASGITransport(create_app(parts))
        http = httpx.AsyncClient(transport=transport, base_url=ISSUER)
        machines = Machines(await stack.enter_async_context(http), parts, directory)
        await _introduce(machines)
        yield machines


async def _introduce(machines: Machines) -> None:
    await machines.know("plain", READ, WRITE, facilities=("1710", "1720"))
    await machines.know("other", READ)
    await machines.know("hop", READ, ACT, facilities=("1710",), data_classes=("supply",))
    await machines.know("auditor", INTROSPECT)
    await machines.know("retired", READ, active=False)
    await machines.know("keyed", READ, keys=machines.keys)
    await machines.know("moved-on", READ, auth_method="private_key_jwt")
    await machines.know("keyed-too", READ, keys=machines.others)
    await machines.know("keyed-retired", READ, keys=machines.keys, active=False)


def found(client: OAuthClient | None) -> OAuthClient:
    assert client is not None
    return client
