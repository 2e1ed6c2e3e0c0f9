"""What machines try against the authorization server: one row an attack, each really sent by HTTP.

The same calls without the attack are granted (see the end): else a row would prove nothing.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.config import load
from tests.security.machines import (
    ACCESS_TOKEN,
    ASSERTION,
    ISSUER,
    READ,
    TOKEN,
    WRITE,
    Machines,
    encoded,
    open_machines,
    refusal,
    signed,
)
from tests.security.negative import Case

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.asyncio(loop_scope="module")

Attempt = Callable[[Machines], Awaitable[httpx.Response]]
ATTACKS: dict[Case, Attempt] = {}


def attack(name: str, kind: str, refused: str, attempt: Attempt) -> None:
    ATTACKS[Case(name, kind, refused)] = attempt


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machines(state: Path):
    told = load(ROOT / "gateway.toml")
    config = msgspec.structs.replace(told, state_folder=str(state))
    async with open_machines(config) as opened:
        yield opened


# Assertions: the header


def asserting(name: str, kind: str, make: Callable[[Machines], str], **form: str) -> None:
    attack(name, kind, "invalid_client", lambda m: m.ask(make(m), **form))


def pem(machines: Machines) -> bytes:
    """The public key as anybody can have it, taken for a shared secret."""
    public = machines.keys.es384.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


for spelled in ("none", "None", "NONE", ""):
    asserting(
        f"assertion with alg «{spelled}»",
        "algorithm",
        lambda m, alg=spelled: m.assertion({"alg": alg}, None),
    )
asserting("no alg at all", "algorithm", lambda m: m.assertion({"alg": None}, None))
asserting(
    "HS256 with our client's public key as the secret",
    "algorithm",
    lambda m: m.assertion({"alg": "HS256"}, pem(m)),
)
asserting("HS384 with an empty secret", "algorithm", lambda m: m.assertion({"alg": "HS384"}, b""))
asserting(
    "ES256 said, ES384 key named",
    "algorithm",
    lambda m: m.assertion({"alg": "ES256"}, m.keys.es256),
)
asserting(
    "RS256, which nobody agreed to",
    "algorithm",
    lambda m: m.assertion({"alg": "RS256", "kid": "rs384"}, m.keys.rs384),
)
asserting(
    "ES384 with a signature of zeros",
    "algorithm",
    lambda m: m.assertion(key=None) + encoded(bytes(96)).decode(),
)
asserting("a signature of somebody else", "key", lambda m: m.assertion(key=m.others.es384))
asserting("no signature", "key", lambda m: m.assertion(key=None))
for label, kid in (
    ("a path", "../../../../dev/null"),
    ("SQL", "es384' OR '1'='1"),
    ("unknown", uuid.uuid4().hex),
    ("another case", "ES384"),
    ("a list", ["es384"]),
    ("a number", 0),
    ("absent", None),
    ("empty", ""),
    ("with U+0000", "es384\0"),
):
    asserting(f"kid that is {label}", "key", lambda m, kid=kid: m.assertion({"kid": kid}))
asserting(
    "key brought along in jwk",
    "smuggled key",
    lambda m: m.assertion(
        {"jwk": msgspec.json.decode(m.others.public())["keys"][0]}, m.others.es384
    ),
)
for name in ("jku", "x5u"):
    asserting(
        f"keys to be read at {name}",
        "smuggled key",
        lambda m, name=name: m.assertion({name: "https://evil.test/keys"}, m.others.es384),
    )
asserting(
    "well signed, but with keys to be read elsewhere",
    "smuggled key",
    lambda m: m.assertion({"jku": "https://evil.test/keys"}),
)
asserting("a certificate in x5c", "smuggled key", lambda m: m.assertion({"x5c": ["MIIB"]}))
asserting("crit with what nobody knows", "header", lambda m: m.assertion({"crit": ["x"], "x": 1}))
asserting("b64=false", "header", lambda m: m.assertion({"crit": ["b64"], "b64": False}))
asserting("a token in a token", "header", lambda m: m.assertion({"cty": "JWT"}))
asserting("typ of an access token", "header", lambda m: m.assertion({"typ": "at+jwt"}))
asserting("compressed", "header", lambda m: m.assertion({"zip": "DEF"}))


# Assertions: the claims

for label, audience in (
    ("of another server", "https://evil.test/oauth/token"),
    ("absent", None),
    ("a list of two", [TOKEN, "https://evil.test"]),
    ("an empty list", []),
    ("a prefix of ours", f"{ISSUER}/oauth"),
    ("ours and more", f"{TOKEN}/x"),
    ("of a look-alike", TOKEN.replace("suture", "sutur\u0435")),
    ("the access tokens' one", "suture"),
):
    asserting(f"aud {label}", "audience", lambda m, aud=audience: m.assertion(aud=aud))
asserting("iss of another client", "identity", lambda m: m.assertion(iss="keyed-too"))
asserting("sub of another client", "identity", lambda m: m.assertion(sub="keyed-too"))
asserting(
    "both of another client",
    "identity",
    lambda m: m.assertion(iss="keyed-too", sub="keyed-too"),
)
asserting(
    "assertion of one client, client_id of another",
    "identity",
    lambda m: m.assertion(),
    client_id="keyed-too",
)
asserting("of nobody", "identity", lambda m: m.assertion(iss="nobody", sub="nobody"))
asserting(
    "of a disabled client",
    "identity",
    lambda m: m.assertion(iss="keyed-retired", sub="keyed-retired"),
)
asserting(
    "of a client that has a secret",
    "identity",
    lambda m: m.assertion(iss="plain", sub="plain"),
)
for claim in ("iss", "sub", "exp", "jti"):
    asserting(f"without {claim}", "claims", lambda m, claim=claim: m.assertion(**{claim: None}))
asserting("expired", "time", lambda m: m.assertion(exp=int(m.now) - 1))
asserting("good for an hour", "time", lambda m: m.assertion(exp=int(m.now) + 3600))
asserting("good for ever", "time", lambda m: m.assertion(exp=10**12))
asserting("exp as text", "time", lambda m: m.assertion(exp=str(int(m.now) + 60)))
asserting("issued tomorrow", "time", lambda m: m.assertion(iat=int(m.now) + 86_400))
asserting("not yet good", "time", lambda m: m.assertion(nbf=int(m.now) + 60))
asserting("jti of a megabyte, nearly", "claims", lambda m: m.assertion(jti="x" * 9000))
asserting("jti too long", "claims", lambda m: m.assertion(jti="x" * 300))
asserting("payload that is a list", "claims", lambda m: signed({"alg": "ES384"}, [1], None))
for label, name in (
    ("U+0000", "keyed\0"),
    ("a line break", "keyed\n"),
    ("a look-alike", "k\u0435yed"),
):
    asserting(
        f"client whose name has {label}",
        "identity",
        lambda m, name=name: m.assertion(iss=name, sub=name),
    )
asserting(
    "client whose name is half a character",
    "identity",
    lambda m: signed({"alg": "ES384", "kid": "es384"}, m.lone_surrogate(), m.keys.es384),
)
asserting("garbage for base64", "form", lambda m: "%%%.###.!!!")
asserting("five parts", "form", lambda m: m.assertion() + ".a.b")
asserting("nothing", "form", lambda m: " ")
asserting("oversized", "form", lambda m: m.assertion({"pad": "x" * 20_000}))


async def replayed(m: Machines) -> httpx.Response:
    assertion = m.assertion()
    assert (await m.ask(assertion)).status_code == 200
    return await m.ask(assertion)


async def replayed_at_once(m: Machines) -> httpx.Response:
    assertion = m.assertion()
    answers = await asyncio.gather(*(m.ask(assertion) for _ in range(8)))
    granted = [answer for answer in answers if answer.status_code == 200]
    assert len(granted) == 1
    return next(answer for answer in answers if answer.status_code != 200)


async def replayed_elsewhere(m: Machines) -> httpx.Response:
    """The same jti in another assertion."""
    jti = uuid.uuid4().hex
    assert (await m.ask(m.assertion(jti=jti))).status_code == 200
    return await m.ask(m.assertion(jti=jti, exp=int(m.now) + 100))


attack("assertion sent twice", "replay", "invalid_client", replayed)
attack("assertion sent eight times at once", "replay", "invalid_client", replayed_at_once)
attack("jti used in another assertion", "replay", "invalid_client", replayed_elsewhere)
attack(
    "the token endpoint's assertion at introspection, used before",
    "replay",
    "invalid_client",
    lambda m: replayed_at(m, "/oauth/introspect"),
)


async def replayed_at(m: Machines, path: str) -> httpx.Response:
    assertion = m.assertion()
    assert (await m.ask(assertion)).status_code == 200
    form = {"client_assertion_type": ASSERTION, "client_assertion": assertion, "token": "x"}
    return await m.post(path, form)


# How a client proves itself

GRANT = "grant_type=client_credentials"


def basic(machines: Machines, name: str = "plain") -> tuple[str, str]:
    return name, machines.secrets[name]


attack(
    "secret and assertion together",
    "two proofs",
    "invalid_request",
    lambda m: m.ask(client_secret="x", client_id="keyed"),
)
attack(
    "Basic and a secret in the form",
    "two proofs",
    "invalid_request",
    lambda m: m.as_client("plain", grant_type="client_credentials", client_secret="x"),
)
attack(
    "Basic and an assertion",
    "two proofs",
    "invalid_request",
    lambda m: m.as_client(
        "plain",
        grant_type="client_credentials",
        client_assertion=m.assertion(),
        client_assertion_type=ASSERTION,
    ),
)
attack(
    "Basic of one client, client_id of another",
    "identity",
    "invalid_client",
    lambda m: m.as_client("plain", grant_type="client_credentials", client_id="other"),
)
attack(
    "two Authorization headers",
    "two proofs",
    "unauthenticated",
    lambda m: m.http.post(
        "/oauth/token",
        content=GRANT.encode(),
        headers=[
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", "Basic cGxhaW46eA=="),
            ("authorization", "Basic b3RoZXI6eA=="),
        ],
    ),
)
attack(
    "an assertion of another type",
    "form",
    "invalid_client",
    lambda m: m.ask(client_assertion_type="urn:ietf:params:oauth:client-assertion-type:saml2"),
)
attack(
    "a client with keys comes with a secret",
    "downgrade",
    "invalid_client",
    lambda m: m.as_client("keyed", grant_type="client_credentials"),
)
attack(
    "a client that moved on to keys comes with the secret it had",
    "downgrade",
    "invalid_client",
    lambda m: m.as_client("moved-on", grant_type="client_credentials"),
)
attack(
    "a client with keys comes with an empty secret",
    "downgrade",
    "invalid_client",
    lambda m: m.post(
        "/oauth/token", b"grant_type=client_credentials", auth=httpx.BasicAuth("keyed", "")
    ),
)
attack(
    "a client with keys comes with nothing",
    "downgrade",
    "invalid_client",
    lambda m: m.post("/oauth/token", {"grant_type": "client_credentials", "client_id": "keyed"}),
)
attack(
    "a disabled client",
    "identity",
    "invalid_client",
    lambda m: m.as_client("retired", grant_type="client_credentials"),
)
attack(
    "a client id in another case",
    "identity",
    "invalid_client",
    lambda m: m.post("/oauth/token", GRANT.encode(), auth=("PLAIN", m.secrets["plain"])),
)
for label, name in (("U+0000", "plain\0"), ("a line break", "plain\n"), ("a wildcard", "pl%in")):
    attack(
        f"a client id with {label}",
        "identity",
        "invalid_client",
        lambda m, name=name: m.post(
            "/oauth/token",
            {
                "grant_type": "client_credentials",
                "client_id": name,
                "client_secret": m.secrets["plain"],
            },
        ),
    )
attack(
    "the secret in the address",
    "form",
    "invalid_request",
    lambda m: m.post(
        f"/oauth/token?client_id=plain&client_secret={m.secrets['plain']}", GRANT.encode()
    ),
)
attack(
    "the grant in the address",
    "form",
    "invalid_request",
    lambda m: m.post(f"/oauth/token?{GRANT}", GRANT.encode(), auth=basic(m)),
)
attack(
    "JSON instead of a form",
    "form",
    "invalid_request",
    lambda m: m.http.post("/oauth/token", json={"grant_type": "client_credentials"}, auth=basic(m)),
)
attack(
    "a form that says it is a multipart",
    "form",
    "invalid_request",
    lambda m: m.post(
        "/oauth/token",
        GRANT.encode(),
        headers={"content-type": "multipart/form-data; boundary=x"},
        auth=basic(m),
    ),
)
for doubled in ("grant_type=client_credentials", f"scope={READ}", "client_id=plain"):
    attack(
        f"«{doubled.partition('=')[0]}» sent twice",
        "form",
        "invalid_request",
        lambda m, doubled=doubled: m.post(
            "/oauth/token",
            f"{GRANT}&scope={READ}&client_id=plain&{doubled}".encode(),
            auth=basic(m),
        ),
    )
attack(
    "a hundred parameters",
    "form",
    "invalid-request",
    lambda m: m.post(
        "/oauth/token",
        (GRANT + "".join(f"&p{n}=1" for n in range(100))).encode(),
        auth=basic(m),
    ),
)
attack(
    "a form of 100 KB",
    "form",
    "invalid_request",
    lambda m: m.post("/oauth/token", f"{GRANT}&p={'x' * 100_000}".encode(), auth=basic(m)),
)
attack(
    "text that is no UTF-8",
    "form",
    "invalid_request",
    lambda m: m.post("/oauth/token", f"{GRANT}&scope=%ff%fe".encode(), auth=basic(m)),
)
for grant in ("password", "implicit", "CLIENT_CREDENTIALS", "client_credentials\u200b"):
    attack(
        f"the grant «{grant.encode('ascii', 'replace').decode()}»",
        "grant",
        "unsupported_grant_type",
        lambda m, grant=grant: m.as_client("plain", grant_type=grant),
    )


# Scopes

for label, scope in (
    ("of another client", "system.edi.x12:write"),
    ("in capitals", READ.upper()),
    ("with a Cyrillic letter", READ.replace("e", "\u0435", 1)),
    ("in full width", "\uff45" + READ[1:]),
    ("that is a prefix", "experience.operations"),
    ("with more behind", f"{READ}x"),
    ("with a star", "*"),
    ("with a wildcard", "experience.*:read"),
    ("behind a no-break space", f"{READ}\u00a0admin"),
    ("behind a tab", f"{READ}\t{WRITE}"),
    ("behind a comma", f"{READ},{WRITE}"),
    ("with U+0000", f"{READ}\0"),
    ("beside a good one", f"{READ} admin"),
    ("that is empty", "   "),
):
    attack(
        f"scope {label}",
        "scope",
        "invalid_scope",
        lambda m, scope=scope: m.as_client("plain", grant_type="client_credentials", scope=scope),
    )


# Access tokens


def calling(name: str, kind: str, make: Callable[[Machines], str]) -> None:
    attack(name, kind, "unauthenticated", lambda m: m.call(make(m)))


calling("token with alg none", "algorithm", lambda m: m.forged({"alg": "none"}, None))
calling(
    "token with HS256 and our published key",
    "algorithm",
    lambda m: m.forged({"alg": "HS256"}, m.parts.authorization.keys.signing.as_pem(private=False)),
)
calling("token of somebody else's key", "key", lambda m: m.forged(key=m.others.es256))
for name, kid in (("a path", "/etc/passwd"), ("SQL", "' or 1=1 --"), ("unknown", "x" * 43)):
    calling(f"token whose kid is {name}", "key", lambda m, kid=kid: m.forged({"kid": kid}))
calling(
    "token that brings its key along",
    "smuggled key",
    lambda m: m.forged({"jwk": msgspec.json.decode(m.others.public())["keys"][1]}, m.others.es256),
)
calling("token that is an assertion", "type", lambda m: m.assertion())
calling("token of typ JWT", "type", lambda m: m.forged({"typ": "JWT"}))
calling("token of another issuer", "issuer", lambda m: m.forged(iss="https://evil.test"))
calling("token for another audience", "audience", lambda m: m.forged(aud="other"))
calling("token for two audiences", "audience", lambda m: m.forged(aud=["suture", "other"]))
calling("token that has expired", "time", lambda m: m.forged(exp=int(m.now) - 1))
calling("token of the future", "time", lambda m: m.forged(nbf=int(m.now) + 600))
calling("token issued tomorrow", "time", lambda m: m.forged(iat=int(m.now) + 86_400))
calling("token without expiry", "claims", lambda m: m.forged(exp=None))
calling("token without a client", "claims", lambda m: m.forged(client_id=None))
calling("token with crit", "header", lambda m: m.forged({"crit": ["exp"]}))
calling("token with b64=false", "header", lambda m: m.forged({"crit": ["b64"], "b64": False}))
calling("token in JSON form", "form", lambda m: '{"payload":"e30","signatures":[]}')
calling("token of 9 KB", "form", lambda m: "x" * 9_000)
attack("token of 20 KB", "form", "headers-too-large", lambda m: m.call("x" * 20_000))
calling("nested token", "form", lambda m: m.forged({"cty": "JWT"}, key=m.others.es256))


async def other_scope(m: Machines) -> httpx.Response:
    return await m.call(await m.token("plain", scope=WRITE))


attack("token without the scope of the route", "scope", "forbidden", other_scope)


# Introspection and revocation


async def introspected(m: Machines, owner: str, by: str, **form: str) -> httpx.Response:
    token = await m.token(owner)
    return await m.as_client(by, "/oauth/introspect", token=token, **form)


attack(
    "introspecting another's token",
    "others' tokens",
    "inactive",
    lambda m: introspected(m, "plain", "other"),
)
attack(
    "introspecting without a proof",
    "others' tokens",
    "invalid_client",
    lambda m: m.post("/oauth/introspect", {"token": "x", "client_id": "plain"}),
)
attack(
    "introspecting with a bearer token as the proof",
    "others' tokens",
    "unauthenticated",
    lambda m: m.post("/oauth/introspect", {"token": "x"}, headers={"authorization": "Bearer x"}),
)
attack(
    "introspecting a forged token",
    "others' tokens",
    "inactive",
    lambda m: m.as_client("auditor", "/oauth/introspect", token=m.forged(key=m.others.es256)),
)
attack(
    "introspecting no token",
    "form",
    "invalid_request",
    lambda m: m.as_client("plain", "/oauth/introspect"),
)


async def revoked_by_another(m: Machines) -> httpx.Response:
    token = await m.token("plain")
    answer = await m.as_client("other", "/oauth/revoke", token=token)
    assert (await m.call(token)).status_code == 200
    return answer


async def used_after_revocation(m: Machines) -> httpx.Response:
    token = await m.token("plain")
    assert (await m.call(token)).status_code == 200
    assert (await m.as_client("plain", "/oauth/revoke", token=token)).status_code == 200
    return await m.call(token)


async def introspected_after_revocation(m: Machines) -> httpx.Response:
    token = await m.token("plain")
    await m.as_client("plain", "/oauth/revoke", token=token)
    return await m.as_client("plain", "/oauth/introspect", token=token)


async def exchanged_after_revocation(m: Machines) -> httpx.Response:
    token = await m.token("plain")
    await m.as_client("plain", "/oauth/revoke", token=token)
    return await m.exchange("plain", token)


async def narrowed_after_revocation(m: Machines) -> httpx.Response:
    """A token falls with the one that it was made from."""
    token = await m.token("plain")
    narrowed = (await m.exchange("hop", token, scope=READ)).json()["access_token"]
    assert (await m.call(narrowed)).status_code == 200
    await m.as_client("plain", "/oauth/revoke", token=token)
    return await m.call(narrowed)


attack("revoking another's token", "others' tokens", "unauthorized_client", revoked_by_another)
attack("using a revoked token", "revoked", "unauthenticated", used_after_revocation)
attack("introspecting a revoked token", "revoked", "inactive", introspected_after_revocation)
attack("exchanging a revoked token", "revoked", "invalid_request", exchanged_after_revocation)
attack("a token made from a revoked one", "revoked", "unauthenticated", narrowed_after_revocation)


# Token exchange


def widening(name: str, refused: str, by: str = "plain", /, **form: str) -> None:
    async def attempt(m: Machines) -> httpx.Response:
        token = await m.token("plain", scope=READ)
        narrowed = await m.exchange(
            "plain", token, facilities="1710", lifetime="60", purpose="TREAT"
        )
        assert narrowed.status_code == 200, narrowed.text
        return await m.exchange(by, narrowed.json()["access_token"], **form)

    attack(f"exchange: {name}", "widening", refused, attempt)


widening("a scope more", "invalid_scope", scope=f"{READ} {WRITE}")
widening("a scope of the client, not of the token", "invalid_scope", scope=WRITE)
widening("a facility more", "invalid_request", facilities="1710 1720")
widening("a facility with U+0000", "invalid_request", facilities="1710\0")
widening("an empty facility", "invalid_request", facilities=" ")
widening("a data class more", "invalid_request", data_classes="supply phi")
widening("a role more", "invalid_request", roles="approver")
widening("a longer life", "invalid_request", lifetime="61")
widening("a life without an end", "invalid_request", lifetime="99999999999")
widening("a negative life", "invalid_request", lifetime="-1")
widening("another purpose", "invalid_request", purpose="HPAYMT")
widening("a purpose with a line break", "invalid_request", purpose="TREAT\r\nX: y")
widening("another audience", "invalid_target", audience="https://evil.test")
widening("a resource elsewhere", "invalid_request", resource="https://evil.test")
widening("somebody else as the actor", "invalid_request", actor_token="x")
widening("a refresh token", "invalid_request", requested_token_type=f"{ACCESS_TOKEN[:-12]}refresh")
widening("by a client that may not act for others", "invalid_request", "other")
attack(
    "exchange: a forged token",
    "widening",
    "invalid_request",
    lambda m: m.exchange("plain", m.forged(key=m.others.es256)),
)
attack(
    "exchange: an assertion for a token",
    "widening",
    "invalid_request",
    lambda m: m.exchange("plain", m.assertion()),
)


async def passed_on_and_on(m: Machines) -> httpx.Response:
    token = await m.token("plain", scope=READ)
    for _ in range(8):
        answer = await m.exchange("plain", token)
        if answer.status_code != 200:
            return answer
        token = answer.json()["access_token"]
    return answer


attack("exchange: on and on", "widening", "invalid_request", passed_on_and_on)


# Registration


def registering(
    name: str, refused: str, make: Callable[[Machines], str | None], **asked: Any
) -> None:
    attack(f"register: {name}", "registration", refused, lambda m: m.register(make(m), **asked))


WRONG = "invalid_software_statement"
registering("a statement nobody signed", WRONG, lambda m: m.statement(key=None))
registering("a statement with alg none", WRONG, lambda m: m.statement({"alg": "none"}, None))
registering("a statement of another's key", WRONG, lambda m: m.statement(key=m.others.es384))
registering(
    "a statement of somebody unknown",
    "unapproved_software_statement",
    lambda m: m.statement(iss="https://evil.test"),
)
registering("an expired statement", WRONG, lambda m: m.statement(exp=int(m.now) - 1))
registering("a statement for ever", WRONG, lambda m: m.statement(exp=10**11))
registering("a statement for another server", WRONG, lambda m: m.statement(aud="https://evil.test"))
registering("a statement for a number", WRONG, lambda m: m.statement(aud=7))
registering("a statement that is no text", WRONG, lambda m: "x")
registering(
    "a statement that brings its key along",
    WRONG,
    lambda m: m.statement({"jwk": {"kty": "EC"}}, m.others.es384),
)
for address in (
    "http://evil.test/",
    "https://app.test/#x",
    "javascript:alert(1)",
    "https://app.test@evil.test/",
    "https://*.test/",
    "//evil.test",
):
    registering(
        f"a redirect to {address}",
        "invalid_redirect_uri",
        lambda m: m.statement(),
        redirect_uris=[address],
    )
METADATA = "invalid_client_metadata"
registering(
    "keys over http",
    METADATA,
    lambda m: m.statement(),
    token_endpoint_auth_method="private_key_jwt",
    jwks_uri="http://127.0.0.1/keys",
)
registering(
    "keys that are private",
    METADATA,
    lambda m: m.statement(),
    jwks={"keys": [{"kty": "oct", "k": "AAAA", "kid": "a"}]},
)
registering("no proof at all", METADATA, lambda m: m.statement(), token_endpoint_auth_method="none")
for label, asked in (
    ("name", {"client_name": "x\0"}),
    ("facility", {"facilities": ["17\x0010"]}),
    ("key id", {"jwks": {"keys": [{"kty": "EC", "kid": "a\0"}]}}),
):
    attack(
        f"register: a {label} with U+0000",
        "registration",
        METADATA,
        lambda m, asked=asked: m.register(m.statement(client_name=None, facilities=None), **asked),
    )
registering("a grant that is none", METADATA, lambda m: m.statement(), grant_types=["password"])


async def registered_twice(m: Machines) -> httpx.Response:
    statement = m.statement()
    assert (await m.register(statement)).status_code == 201
    return await m.register(statement)


async def sandboxed(m: Machines) -> httpx.Response:
    """What it asked for is not what it has."""
    made = (await m.register()).json()
    m.secrets[made["client_id"]] = made["client_secret"]
    return await m.as_client(made["client_id"], grant_type="client_credentials", scope=WRITE)


attack("register: a statement twice", "registration", WRONG, registered_twice)
attack("register: more than the sandbox has", "registration", "invalid_scope", sandboxed)
attack(
    "register: without a statement",
    "registration",
    WRONG,
    lambda m: m.http.post("/oauth/register", json={"client_name": "x"}),
)
attack(
    "register: a form",
    "registration",
    METADATA,
    lambda m: m.http.post("/oauth/register", data={"software_statement": "x"}),
)


# Keys at an address that only we can reach


async def inner_address(m: Machines) -> httpx.Response:
    name = f"reader-{uuid.uuid4().hex[:8]}"
    await m.know(name, READ, auth_method="private_key_jwt", jwks_uri="https://127.0.0.1:1/keys")
    return await m.ask(m.assertion(iss=name, sub=name))


attack("keys at an address of our own network", "smuggled key", "invalid_client", inner_address)


CASES: tuple[Case, ...] = tuple(ATTACKS)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_an_attack_by_a_machine_is_refused(machines: Machines, case: Case) -> None:
    answer = await ATTACKS[case](machines)
    assert refusal(answer) == case.refused, answer.text
    assert answer.status_code < 500
    for secret in machines.secrets.values():
        assert secret not in answer.text


async def test_the_same_calls_without_the_attack_are_granted(machines: Machines) -> None:
    m = machines
    for algorithm in ("ES384", "ES256", "RS384"):
        header = {"alg": algorithm, "kid": algorithm.lower()}
        assert refusal(await m.ask(m.assertion(header, m.keys.named(algorithm)))) == "granted"
    for audience in (TOKEN, ISSUER, [TOKEN]):
        assert refusal(await m.ask(m.assertion(aud=audience))) == "granted"
    assert refusal(await m.ask(m.assertion(), client_id="keyed")) == "granted"
    assert refusal(await m.call(m.forged())) == "granted"
    token = await m.token("plain")
    assert refusal(await m.call(token)) == "granted"
    for by in ("plain", "auditor"):
        assert refusal(await m.as_client(by, "/oauth/introspect", token=token)) == "granted"
    for by in ("plain", "hop"):
        assert refusal(await m.exchange(by, token, scope=READ, facilities="1710")) == "granted"
    for statement in (m.statement(), m.statement(aud=ISSUER)):
        assert refusal(await m.register(statement)) == "granted"


async def test_there_are_enough_rows_and_each_has_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60
