import base64
import random

import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from canonical.errors import Unauthenticated
from policies.oauth.clients import new_client
from policies.oauth.keys import SigningKeys
from policies.oauth.tokens import TokenIssuer, TokenVerifier

ISSUER = "https://suture.test"
AUDIENCE = "https://suture.test/api"
NOW = 1_800_000_000.0
KEYS = SigningKeys((ECKey.generate_key("P-256"),))
OTHERS = SigningKeys((ECKey.generate_key("P-256"),))
CLIENT, _ = new_client("ward-app", ("items:read", "orders:write"), ("NORTH",))


def issuer(keys=KEYS, **changed):
    settings = {"issuer": ISSUER, "audience": AUDIENCE, "lifetime_seconds": 600, **changed}
    return TokenIssuer(keys=keys, **settings)


def verifier(keys=KEYS, **changed):
    return TokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, **changed)


def token(keys=KEYS, now=NOW, **changed):
    return issuer(keys, **changed).issue(CLIENT, ("items:read",), now).encode()


def forged(header=(), claims=(), key=None, algorithm="ES256"):
    """Return a token like ours, with some of its header or claims changed."""
    own = jws.extract_compact(token())
    changed_header = {**own.headers(), "alg": algorithm, **dict(header)}
    changed_claims = {**msgspec.json.decode(own.payload), **dict(claims)}
    payload = msgspec.json.encode({k: v for k, v in changed_claims.items() if v is not None})
    kept = {k: v for k, v in changed_header.items() if v is not None}
    return jws.serialize_compact(kept, payload, key or KEYS.signing, [algorithm]).encode()


def test_a_token_of_ours_stands_for_its_client_with_its_rights():
    principal = verifier().verify(token(), NOW + 1)
    assert principal.client == "ward-app"
    assert principal.scopes == {"items:read"}
    assert principal.facilities == {"NORTH"}
    assert principal.expires == NOW + 600
    assert principal.token_id


def test_a_token_says_what_rfc_9068_asks_for():
    found = jws.extract_compact(token())
    assert found.headers() == {"alg": "ES256", "typ": "at+jwt", "kid": KEYS.signing_id}
    claims = msgspec.json.decode(found.payload)
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope"} <= set(claims)
    assert claims["sub"] == claims["client_id"] == "ward-app"
    assert token() != token()


def unsigned(algorithm):
    header, payload, _ = forged().split(b".")
    text = base64.urlsafe_b64encode(msgspec.json.encode({"alg": algorithm, "typ": "at+jwt"}))
    kid = {"alg": algorithm, "typ": "at+jwt", "kid": KEYS.signing_id}
    with_kid = base64.urlsafe_b64encode(msgspec.json.encode(kid))
    return [part.rstrip(b"=") + b"." + payload + b"." for part in (text, with_kid, header)]


PUBLIC = KEYS.signing.as_pem(private=False)
BAD = {
    "signed by somebody else": token(OTHERS),
    "somebody else's key under our id": forged(key=OTHERS.signing),
    "our public key as a shared secret": forged(
        key=OctKey.import_key(base64.b64encode(PUBLIC) * 2), algorithm="HS256"
    ),
    "another algorithm": forged(key=RSAKey.generate_key(2048), algorithm="RS256"),
    "another issuer": token(issuer="https://evil.test"),
    "another audience": token(audience="https://other.test"),
    "an audience list": forged(claims={"aud": [AUDIENCE, "x"]}),
    "an id token": forged(header={"typ": "JWT"}),
    "no type": forged(header={"typ": None}),
    "no key id": forged(header={"kid": None}),
    "a key id of another kind": forged(header={"kid": "../../etc/passwd"}),
    "no expiry": forged(claims={"exp": None}),
    "expiry as text": forged(claims={"exp": "2999"}),
    "no id": forged(claims={"jti": None}),
    "not yet valid": forged(claims={"nbf": int(NOW) + 60}),
    "issued in the future": forged(claims={"iat": int(NOW) + 60}),
    "expired": token(now=NOW - 601),
    "expires now": token(now=NOW - 600),
    "empty": b"",
    "two parts": b"a.b",
    "no json": b"YQ.YQ.YQ",
    "not ascii": "ä.ö.ü".encode(),
    **{f"alg none {n}": made for n, made in enumerate(unsigned("none"))},
    **{f"alg NONE {n}": made for n, made in enumerate(unsigned("NONE"))},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_token_that_is_not_exactly_ours_stands_for_nobody(bad):
    tested = verifier()
    for _ in range(2):  # a refusal is not remembered as a success
        with pytest.raises(Unauthenticated):
            tested.verify(bad, NOW)


def test_any_damage_to_a_token_is_refused_in_one_way():
    good = token()
    tested = verifier()
    tested.verify(good, NOW)
    dice = random.Random(7)
    for _ in range(600):
        damaged = bytearray(good)
        position = dice.randrange(len(damaged))
        damaged[position] = dice.choice([b for b in range(256) if b != damaged[position]])
        cut = bytes(damaged) if dice.random() < 0.7 else bytes(damaged)[: dice.randrange(300)]
        try:
            principal = tested.verify(cut, NOW)
        except Unauthenticated:
            continue
        # The last character of a base64 signature has spare bits: same bytes, same token.
        assert position == len(good) - 1
        assert principal.client == "ward-app"


def test_a_remembered_token_still_expires_and_is_still_revoked():
    revoked = set()
    tested = verifier(is_revoked=lambda principal: principal.token_id in revoked, max_age=10_000)
    good = token()
    principal = tested.verify(good, NOW)
    assert tested.verify(good, NOW + 599) is principal
    with pytest.raises(Unauthenticated, match="expired"):
        tested.verify(good, NOW + 600)
    assert tested.verify(good, NOW + 1)
    revoked.add(principal.token_id)
    with pytest.raises(Unauthenticated, match="revoked"):
        tested.verify(good, NOW + 1)


def test_a_rotated_key_keeps_the_tokens_of_the_last_one_and_a_removed_one_does_not():
    tested = verifier()
    old = token()
    tested.verify(old, NOW)
    rotated = KEYS.rotated()
    tested.use(rotated)
    assert tested.verify(old, NOW).client == "ward-app"
    assert tested.verify(token(rotated), NOW).client == "ward-app"
    tested.use(rotated.rotated())
    with pytest.raises(Unauthenticated):
        tested.verify(old, NOW)


def test_the_memory_is_bounded_and_forgets_by_age():
    tested = verifier(capacity=3, max_age=10)
    tokens = [token() for _ in range(5)]
    principals = [tested.verify(one, NOW) for one in tokens]
    assert tested.verify(tokens[-1], NOW) is principals[-1]
    assert tested.verify(tokens[0], NOW) is not principals[0]
    assert tested.verify(tokens[-1], NOW + 10) is not principals[-1]
    assert len(tested._seen) <= 3
