"""What is tried against tokens that are bound, and against tokens of other issuers: row by row."""

import base64
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx
import msgspec
import pytest
import pytest_asyncio
from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from gateway.config import load
from gateway.runtime import open_stores
from ledger.database import fresh_database
from policies.oauth.certificates import thumbprint
from tests.conftest import ROOT as PROJECT
from tests.security.binding_stage import (
    KEY,
    OTHER_KEY,
    PROXY,
    ROOT,
    TOKEN_URL,
    URL,
    Field,
    open_field,
    passed_on,
)
from tests.security.negative import Case
from tests.security.proofs import unsigned

Attack = Callable[[Field], Awaitable[httpx.Response]]
SECRET = OctKey.import_key("a-shared-secret-that-is-long-enough-for-it")
UNKNOWN, UNPROVEN, NONCE = "unauthenticated", "key-not-proven", "nonce-needed"


class Row(NamedTuple):
    case: Case
    attack: Attack


def row(kind: str, name: str, refused: str, attack: Attack) -> Row:
    return Row(Case(name, kind, refused), attack)


def with_proof(name: str, refused: str = UNPROVEN, **changed) -> Row:
    """A row with a good token, and a proof with which one thing is wrong."""

    async def attack(field: Field) -> httpx.Response:
        token = field.bound()
        return await field.read(token, field.proof(token, **changed))

    return row("dpop", name, refused, attack)


def made_in(seconds: float) -> Attack:
    async def attack(field: Field) -> httpx.Response:
        token = field.bound()
        return await field.read(token, field.proof(token, now=field.now() + seconds))

    return attack


def foreign(name: str, refused: str = UNKNOWN, *, signer: str = "north", **order) -> Row:
    """A row with a token of another issuer that would be good, but for one thing."""

    async def attack(field: Field) -> httpx.Response:
        told = msgspec.json.encode(order)
        for one in ("north", "south"):
            told = told.replace(one.upper().encode(), getattr(field, one).encode())
        token = await field.foreign(getattr(field, signer), **msgspec.json.decode(told))
        return await field.read(token, scheme="Bearer")

    return row("issuer", name, refused, attack)


async def no_proof(field: Field) -> httpx.Response:
    return await field.read(field.bound())


async def empty_proof(field: Field) -> httpx.Response:
    return await field.read(field.bound(), "")


async def two_proofs(field: Field) -> httpx.Response:
    token = field.bound()
    return await field.read(token, field.proof(token), field.proof(token))


async def two_proofs_in_one_header(field: Field) -> httpx.Response:
    token = field.bound()
    return await field.read(token, f"{field.proof(token)}, {field.proof(token)}")


async def replayed(field: Field) -> httpx.Response:
    token = field.bound()
    made = field.proof(token)
    assert (await field.read(token, made)).status_code == 200
    return await field.read(token, made)


async def same_name_again(field: Field) -> httpx.Response:
    token, name = field.bound(), uuid.uuid4().hex
    first = field.proof(token, claims={"jti": name})
    assert (await field.read(token, first)).status_code == 200
    return await field.read(token, field.proof(token, now=field.now() - 3, claims={"jti": name}))


async def proof_of_another_token(field: Field) -> httpx.Response:
    return await field.read(field.bound(), field.proof(field.token(purpose="another")))


async def address_that_the_caller_says(field: Field) -> httpx.Response:
    token = field.bound()
    made = field.proof(token, url=URL.replace("suture.example", "evil.example"))
    said = [("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example")]
    return await field.read(token, made, headers=[*said, ("host", "evil.example")])


async def own_key_for_a_stolen_token(field: Field) -> httpx.Response:
    token = field.bound()
    return await field.read(token, field.proof(token, key=OTHER_KEY))


async def bound_as_bearer(field: Field) -> httpx.Response:
    return await field.read(field.bound(), scheme="Bearer")


async def bound_as_bearer_with_a_proof(field: Field) -> httpx.Response:
    token = field.bound()
    return await field.read(token, field.proof(token), scheme="Bearer")


async def bearer_as_bound(field: Field) -> httpx.Response:
    token = field.token()
    return await field.read(token, field.proof(token))


async def bound_by_something_unknown(field: Field) -> httpx.Response:
    return await field.read(field.token({"kid": "k1"}), scheme="Bearer")


async def token_as_proof(field: Field) -> httpx.Response:
    token = field.bound()
    return await field.read(token, token)


async def proof_without_algorithm(field: Field) -> httpx.Response:
    token = field.bound()
    header = {"typ": "dpop+jwt", "alg": "none", "jwk": KEY.as_dict(private=False)}
    claims = {"jti": "n", "htm": "GET", "htu": URL, "iat": field.now()}
    return await field.read(token, unsigned(header, claims))


async def damaged_signature(field: Field) -> httpx.Response:
    token = field.bound()
    head, payload, signature = field.proof(token).split(".")
    return await field.read(token, f"{head}.{payload}.{signature[::-1]}")


async def token_with_a_replayed_proof(field: Field) -> httpx.Response:
    made = field.proof(None, method="POST", url=TOKEN_URL)
    assert (await field.ask("app", made)).status_code == 200
    return await field.ask("app", made)


def token_with(**changed) -> Attack:
    """Ask for a token with a proof that is wrong."""

    async def attack(field: Field) -> httpx.Response:
        settings = {"method": "POST", "url": TOKEN_URL, **changed}
        return await field.ask("app", field.proof(None, **settings))

    return attack


async def token_with_two_proofs(field: Field) -> httpx.Response:
    made = [field.proof(None, method="POST", url=TOKEN_URL) for _ in range(2)]
    return await field.ask("app", *made)


def asking(client: str, **request) -> Attack:
    async def attack(field: Field) -> httpx.Response:
        return await field.ask(client, **request)

    return attack


def showing(shown: str, *, peer: str = "", **more) -> Attack:
    """Read with a token that is bound to the ward's certificate, and show something else."""

    async def attack(field: Field) -> httpx.Response:
        certificates = [getattr(field, name) for name in shown.split()]
        headers = [*passed_on(*certificates), *more.get("headers", ())]
        return await field.read(
            field.certified(field.ward), scheme="Bearer", peer=peer, headers=headers
        )

    return attack


def unreadable(value: str) -> Attack:
    async def attack(field: Field) -> httpx.Response:
        headers = [("client-cert", value)]
        token = field.certified(field.ward)
        return await field.read(token, scheme="Bearer", peer=PROXY, headers=headers)

    return attack


def ward_app(shown: str, peer: str = PROXY, secret: str | None = "") -> Attack:
    """Ask for a token as the client that authenticates by its certificate."""

    async def attack(field: Field) -> httpx.Response:
        certificates = [getattr(field, name) for name in shown.split()]
        return await field.ask(
            "ward-app", secret=secret, peer=peer, headers=passed_on(*certificates)
        )

    return attack


async def secret_client_by_certificate(field: Field) -> httpx.Response:
    return await field.ask("app", secret="", peer=PROXY, headers=passed_on(field.ward))


async def certified_and_bound_elsewhere(field: Field) -> httpx.Response:
    """Both are asked for: the certificate alone is not enough."""
    cnf = {"jkt": KEY.thumbprint(), "x5t#S256": "A" * 43}
    token = field.token(cnf)
    return await field.read(token, field.proof(token), peer=PROXY, headers=passed_on(field.ward))


async def public_key_as_secret(field: Field) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        [known] = [
            key for key in (await http.get(f"{field.north}/jwks")).json()["keys"]
            if key["alg"] == "ES256"
        ]  # fmt: skip
    shared = OctKey.import_key(base64.b64encode(ECKey.import_key(known).as_pem(private=False)))
    claims = jws.extract_compact((await field.foreign(field.north)).encode()).payload
    header = {"alg": "HS256", "typ": "at+jwt", "kid": known["kid"]}
    forged = jws.serialize_compact(header, claims, shared, ["HS256"])
    return await field.read(forged, scheme="Bearer")


async def without_algorithm(field: Field) -> httpx.Response:
    token = (await field.foreign(field.north)).encode()
    header = {**jws.extract_compact(token).headers(), "alg": "none"}
    claims = msgspec.json.decode(jws.extract_compact(token).payload)
    return await field.read(unsigned(header, claims), scheme="Bearer")


async def our_name_their_key(field: Field) -> httpx.Response:
    token = await field.foreign(field.north, claims={"iss": ROOT})
    return await field.read(token, scheme="Bearer")


async def their_name_our_key(field: Field) -> httpx.Response:
    issuer = msgspec.structs.replace(field.parts.authorization.issuer, issuer=field.north)
    ours = msgspec.structs.replace(issuer, audience="suture")
    rights = field.parts.authorization.verifier.claims(field.token().encode(), field.now())
    token = jws.serialize_compact(
        {"alg": "ES256", "typ": "at+jwt", "kid": ours.keys.signing_id},
        msgspec.json.encode(msgspec.structs.replace(rights, iss=field.north)),
        ours.keys.signing,
        ["ES256"],
    )
    return await field.read(token, scheme="Bearer")


async def two_names_in_one_token(field: Field) -> httpx.Response:
    """Whichever of the two a reader believes, the keys are of the other."""
    good = jws.extract_compact((await field.foreign(field.north)).encode()).payload
    named = good[:-1] + b',"iss":"' + field.south.encode() + b'"}'
    token = jws.serialize_compact(
        {"alg": "ES256", "typ": "at+jwt", "kid": "es256-1"}, named, OTHER_KEY, ["ES256"]
    )
    return await field.read(token, scheme="Bearer")


async def signed_by_a_stranger(field: Field) -> httpx.Response:
    good = jws.extract_compact((await field.foreign(field.north)).encode())
    token = jws.serialize_compact(dict(good.headers()), good.payload, OTHER_KEY, ["ES256"])
    return await field.read(token, scheme="Bearer")


async def foreign_bound_as_bearer(field: Field) -> httpx.Response:
    cnf = {"cnf": {"jkt": KEY.thumbprint()}}
    return await field.read(await field.foreign(field.north, claims=cnf), scheme="Bearer")


async def foreign_bound_to_another_key(field: Field) -> httpx.Response:
    cnf = {"cnf": {"jkt": KEY.thumbprint()}}
    token = await field.foreign(field.north, claims=cnf)
    return await field.read(token, field.proof(token, key=OTHER_KEY))


PUBLIC = KEY.as_dict(private=False)
EVIL = "https://evil.example/jwks"
ROWS: tuple[Row, ...] = (
    row("dpop", "no proof", UNPROVEN, no_proof),
    row("dpop", "an empty proof", UNPROVEN, empty_proof),
    row("dpop", "two DPoP headers", UNPROVEN, two_proofs),
    row("dpop", "two proofs in one header", UNPROVEN, two_proofs_in_one_header),
    row("dpop", "a replayed proof", UNPROVEN, replayed),
    row("dpop", "the jti of another proof", UNPROVEN, same_name_again),
    with_proof("another method", method="POST"),
    with_proof("the method in small letters", claims={"htm": "get"}),
    with_proof("no method", claims={"htm": None}),
    with_proof("another path", url=URL + "/4500000001"),
    with_proof("a path that only begins the same", url=URL[:-1]),
    with_proof("a longer host", url=URL.replace("suture.example", "suture.example.evil.example")),
    with_proof("another host", url=URL.replace("suture", "seture")),
    with_proof("our host as a user name", url=URL.replace("://", "://suture.example@")),
    with_proof("another port", url=URL.replace(".example", ".example:8443")),
    with_proof("plain http", url=URL.replace("https", "http")),
    with_proof("a path without a host", url=URL.removeprefix(ROOT)),
    with_proof("a port that is none", url=URL.replace(".example", ".example:x")),
    with_proof("no address", claims={"htu": None}),
    row("dpop", "the address the caller says", "misdirected-request", address_that_the_caller_says),
    with_proof("no ath", claims={"ath": None}),
    with_proof("an empty ath", claims={"ath": ""}),
    row("dpop", "the ath of another token", UNPROVEN, proof_of_another_token),
    row("dpop", "a proof of yesterday", UNPROVEN, made_in(-86_400)),
    row("dpop", "a proof that is just too old", UNPROVEN, made_in(-62)),
    row("dpop", "a proof of tomorrow", UNPROVEN, made_in(86_400)),
    with_proof("no iat", claims={"iat": None}),
    with_proof("an iat in words", claims={"iat": "2999"}),
    with_proof("an endless iat", claims={"iat": 10**400}),
    with_proof("no jti", claims={"jti": None}),
    with_proof("an empty jti", claims={"jti": ""}),
    with_proof("an endless jti", claims={"jti": "j" * 300}),
    with_proof("a proof longer than any", claims={"more": "x" * 4000}),
    with_proof("a shared secret", header={"alg": "HS256"}, signer=SECRET),
    with_proof(
        "a shared secret that is shown",
        header={"alg": "HS256", "jwk": SECRET.as_dict(private=True)},
        signer=SECRET,
    ),
    row("dpop", "no algorithm", UNPROVEN, proof_without_algorithm),
    with_proof("a private key that is shown", header={"jwk": KEY.as_dict(private=True)}),
    with_proof("no key", header={"jwk": None}),
    with_proof("a key by name only", header={"jwk": None, "kid": KEY.thumbprint()}),
    with_proof("a key that did not sign", header={"jwk": OTHER_KEY.as_dict(private=False)}),
    with_proof("a point off the curve", header={"jwk": {**PUBLIC, "y": PUBLIC["x"]}}),
    with_proof("a key of an unknown kind", header={"jwk": {**PUBLIC, "kty": "XX"}}),
    row("dpop", "the attacker's own key", UNPROVEN, own_key_for_a_stolen_token),
    with_proof("typ JWT", header={"typ": "JWT"}),
    with_proof("no typ", header={"typ": None}),
    with_proof("crit", header={"crit": ["kid"], "kid": "k1"}),
    with_proof("an unencoded payload", header={"crit": ["b64"], "b64": False}),
    with_proof("a nonce that was never given", NONCE, claims={"nonce": "made-up"}),
    row("dpop", "a signature that is damaged", UNPROVEN, damaged_signature),
    row("dpop", "the token itself as the proof", UNPROVEN, token_as_proof),
    row("dpop", "a bound token as Bearer", UNPROVEN, bound_as_bearer),
    row("dpop", "a bound token as Bearer, with a proof", UNPROVEN, bound_as_bearer_with_a_proof),
    row("dpop", "a plain token as DPoP", UNKNOWN, bearer_as_bound),
    row("dpop", "a token that is bound to something unknown", UNKNOWN, bound_by_something_unknown),
    row("dpop-token", "a replayed proof", "invalid_dpop_proof", token_with_a_replayed_proof),
    row("dpop-token", "two proofs", "invalid_dpop_proof", token_with_two_proofs),
    row("dpop-token", "a proof for reading", "invalid_dpop_proof", token_with(url=URL)),
    row("dpop-token", "another method", "invalid_dpop_proof", token_with(method="GET")),
    row(
        "dpop-token", "another signer", "invalid_dpop_proof", token_with(signer=OTHER_KEY)
    ),
    row("dpop-token", "a private key", "invalid_dpop_proof", token_with(
        header={"jwk": KEY.as_dict(private=True)}
    )),
    row("dpop-token", "none where one is due", "invalid_dpop_proof", asking("bound-app")),
    row("mtls", "no certificate", UNPROVEN, showing("", peer=PROXY)),
    row("mtls", "another certificate", UNPROVEN, showing("dock", peer=PROXY)),
    row("mtls", "a header from anywhere", UNPROVEN, showing("ward")),
    row("mtls", "a header from the next address", UNPROVEN, showing("ward", peer="10.9.0.2")),
    row("mtls", "a header from whoever says to be the proxy", UNPROVEN, showing(
        "ward", headers=[("x-forwarded-for", PROXY), ("forwarded", f"for={PROXY}")]
    )),
    row("mtls", "a second header behind the proxy's", UNKNOWN, showing("dock ward", peer=PROXY)),
    row("mtls", "something that is no certificate", UNPROVEN, unreadable(":YWJj:")),
    row("mtls", "something that is no base64", UNKNOWN, unreadable(":a*c:")),
    row("mtls", "something that is nothing", UNKNOWN, unreadable("ward")),
    row("mtls", "a certificate without its key's proof", UNPROVEN, certified_and_bound_elsewhere),
    row("mtls-token", "no certificate", "invalid_client", ward_app("")),
    row("mtls-token", "another name", "invalid_client", ward_app("dock")),
    row("mtls-token", "a header from anywhere", "invalid_client", ward_app("ward", peer="")),
    row("mtls-token", "a secret instead", "invalid_client", ward_app("", secret=None)),
    row("mtls-token", "a secret as well", "invalid_client", ward_app("ward", secret="guess")),
    row("mtls-token", "instead of a secret", "invalid_client", secret_client_by_certificate),
    row("mtls-token", "none where one is due", "invalid_request", asking("sealed-app")),
    foreign("keys of another issuer", signer="south", claims={"iss": "NORTH"}),
    foreign("the other issuer's name", claims={"iss": "SOUTH"}),
    foreign("an unknown issuer", claims={"iss": "https://evil.example"}),
    foreign("no issuer", claims={"iss": None}),
    foreign("a slash after the issuer", claims={"iss": "NORTH/"}),
    foreign("a path after the issuer", claims={"iss": "NORTH/../"}),
    foreign("the issuer in a list", claims={"iss": ["NORTH"]}),
    foreign("the issuer with a blank", claims={"iss": "NORTH "}),
    row("issuer", "two issuers in one token", UNKNOWN, two_names_in_one_token),
    row("issuer", "our name, another's key", UNKNOWN, our_name_their_key),
    row("issuer", "another's name, our key", UNKNOWN, their_name_our_key),
    row("issuer", "a stranger's key under a known id", UNKNOWN, signed_by_a_stranger),
    row("issuer", "the public key as a shared secret", UNKNOWN, public_key_as_secret),
    row("issuer", "no algorithm", UNKNOWN, without_algorithm),
    foreign("an algorithm that is not agreed", algorithm="RS256"),
    foreign("an audience that only begins the same", claims={"aud": "suture2"}),
    foreign("a list of other audiences", claims={"aud": ["a", "b"]}),
    foreign("our audience deep in a list", claims={"aud": [["suture"]]}),
    foreign("no audience", claims={"aud": None}),
    foreign("an id token", header={"typ": "JWT"}),
    foreign("no typ", header={"typ": None}),
    foreign("a logout token", header={"typ": "logout+jwt"}),
    foreign("an expired one", claims={"exp": 1_700_000_000}),
    foreign("no expiry", claims={"exp": None}),
    foreign("an expiry in words", claims={"exp": "2999"}),
    foreign("one for tomorrow", claims={"nbf": 4_000_000_000}),
    foreign("one of tomorrow", claims={"iat": 4_000_000_000, "exp": 4_000_000_600}),
    foreign("no key id", header={"kid": None}),
    foreign("an unknown key id", header={"kid": "es256-99"}),
    foreign("a path as key id", header={"kid": "../../../dev/null"}),
    foreign("the key id of another algorithm", header={"kid": "rs256-1"}),
    foreign("crit", header={"crit": ["kid"]}),
    foreign("an address of keys", header={"jku": EVIL, "kid": "evil"}),
    foreign("a key of its own", header={"jwk": PUBLIC, "kid": "evil"}),
    foreign("bound by a certificate's SHA-1", claims={"cnf": {"x5t": "abc"}}),
    row("issuer", "a bound one as Bearer", UNPROVEN, foreign_bound_as_bearer),
    row("issuer", "a bound one with another key", UNPROVEN, foreign_bound_to_another_key),
    foreign("nobody's name", claims={"sub": "", "client_id": ""}),
    foreign("a name with line ends", claims={"client_id": "app\r\nx"}),
    foreign("a scope it gives itself", "forbidden", claims={
        "groups": [], "scope": "experience.operations:read", "facilities": ["1710"]
    }),
    foreign("a group that only begins the same", "forbidden", claims={"groups": ["buyers2"]}),
    foreign("a group in capitals", "forbidden", claims={"groups": ["BUYERS"]}),
    foreign("a group among words", "forbidden", claims={"groups": "guests buyers"}),
    foreign("a group as an object", "forbidden", claims={"groups": {"buyers": True}}),
    foreign("a grant without scopes", "forbidden", claims={"groups": ["guests"]}),
    foreign("a grant without facilities", "forbidden", claims={"groups": ["homeless"]}),
)  # fmt: skip
CASES: tuple[Case, ...] = tuple(tried.case for tried in ROWS)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def field(state: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Field]:
    told = load(PROJECT / "gateway.toml")
    config = msgspec.structs.replace(told, state_folder=str(state))
    async with open_stores(config) as stores:
        dsn = await fresh_database(stores.dsn, f"binding_{uuid.uuid4().hex}")
        own = msgspec.structs.replace(stores, dsn=dsn)
        async with open_field(config, own, tmp_path_factory.mktemp("field")) as opened:
            yield opened


def refusal(answer: httpx.Response) -> str:
    """Return what an answer refuses with: an OAuth code, or the slug of a problem."""
    told = answer.json()
    return told["error"] if "error" in told else told["type"].removeprefix("urn:suture:problem:")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("tried", ROWS, ids=[f"{case.kind}: {case.name}" for case in CASES])
async def test_an_attack_is_refused_and_told_why(field: Field, tried: Row):
    answer = await tried.attack(field)
    assert answer.status_code in (400, 401, 403, 421), answer.text
    assert refusal(answer) == tried.case.refused
    print(
        "ROW",
        tried.case.kind,
        "|",
        tried.case.name,
        "|",
        answer.json().get("detail") or answer.json().get("error_description"),
    )
    if answer.status_code == 401 and "token" not in tried.case.kind:
        assert "resource_metadata=" in answer.headers["www-authenticate"]


def test_there_are_enough_attacks_and_each_has_its_own_name():
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES) >= 120


@pytest.mark.asyncio(loop_scope="module")
async def test_what_the_attacks_start_from_is_let_in(field: Field):
    bound, plain, sealed = field.bound(), field.token(), field.certified(field.ward)
    both = field.token({"jkt": KEY.thumbprint(), "x5t#S256": thumbprint(field.ward.der)})
    north = await field.foreign(field.north)
    tied = await field.foreign(field.north, claims={"cnf": {"jkt": KEY.thumbprint()}})
    listed = await field.foreign(
        field.south, algorithm="RS256", claims={"aud": ["other", "suture"]}
    )
    shown = passed_on(field.ward)
    escaped = [("client-cert", quote(field.ward.certificate.read_text()))]
    proof = field.proof(None, method="POST", url=TOKEN_URL)
    answers = {
        "bound": await field.read(bound, field.proof(bound)),
        "plain": await field.read(plain, scheme="Bearer"),
        "sealed": await field.read(sealed, scheme="Bearer", peer=PROXY, headers=shown),
        "escaped": await field.read(sealed, scheme="Bearer", peer=PROXY, headers=escaped),
        "both": await field.read(both, field.proof(both), peer=PROXY, headers=shown),
        "north": await field.read(north, scheme="Bearer"),
        "tied": await field.read(tied, field.proof(tied)),
        "listed": await field.read(listed, scheme="Bearer"),
        "app": await field.ask("app"),
        "bound-app": await field.ask("bound-app", proof),
        "sealed-app": await field.ask("sealed-app", peer=PROXY, headers=shown),
        "ward-app": await field.ask("ward-app", secret="", peer=PROXY, headers=shown),
    }
    let_in = {name: answer.status_code for name, answer in answers.items()}
    assert let_in == dict.fromkeys(answers, 200)
    told = {name: answer.json() for name, answer in answers.items() if "app" in name}
    kinds = {name: one["token_type"] for name, one in told.items()}
    assert kinds == {**dict.fromkeys(told, "Bearer"), "bound-app": "DPoP"}
    issued = told["bound-app"]["access_token"]
    assert (await field.read(issued, field.proof(issued))).status_code == 200
    assert (await field.read(issued, scheme="Bearer")).status_code == 401
    for name in ("sealed-app", "ward-app"):
        issued = told[name]["access_token"]
        good = await field.read(issued, scheme="Bearer", peer=PROXY, headers=shown)
        assert good.status_code == 200
        assert (await field.read(issued, scheme="Bearer")).status_code == 401
