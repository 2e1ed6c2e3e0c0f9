import base64
import logging
from urllib.parse import urlencode

import msgspec
import pytest
from joserfc.jwk import ECKey

from policies.oauth.assertions import Assertions
from policies.oauth.authentication import ClientAuthentication
from policies.oauth.client_keys import ClientKeys
from policies.oauth.clients import new_client
from policies.oauth.keys import SigningKeys
from policies.oauth.metadata import metadata
from policies.oauth.server import GRANTS, Call, TokenServer
from policies.oauth.tokens import TokenIssuer, TokenVerifier

NOW = 1_800_000_000.0
KEYS = SigningKeys((ECKey.generate_key("P-256"),))
ISSUER = TokenIssuer(keys=KEYS, issuer="https://suture.test", audience="suture")
CLIENT, SECRET = new_client("ward-app", ("items:read", "orders:write"), ("NORTH",))
RETIRED = msgspec.structs.replace(CLIENT, client_id="retired", active=False)
FORM = (b"content-type", b"application/x-www-form-urlencoded")


async def find_client(client_id):
    return {"ward-app": CLIENT, "retired": RETIRED}.get(client_id)


def basic(client_id="ward-app", secret=SECRET):
    return b"authorization", b"Basic " + base64.b64encode(f"{client_id}:{secret}".encode())


async def nowhere(_):
    raise AssertionError("no client here names an address")


async def new(name, until):
    return True


SERVER = TokenServer(
    authenticate=ClientAuthentication(
        find=find_client,
        assertions=Assertions(
            audiences=("https://suture.test",),
            find_key=ClientKeys(nowhere, lambda: 0.0).find,
            use_once=new,
        ),
    ),
    issuer=lambda: ISSUER,
    grants=GRANTS,
)


async def ask(form, *headers, kind=FORM):
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    reply = await SERVER.answer(Call(body=body, headers=(kind, *headers), now=NOW))
    return reply.status, dict(reply.headers), msgspec.json.decode(reply.body)


GRANT = {"grant_type": "client_credentials"}


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (GRANT, [basic()]),
        ({**GRANT, "client_id": "ward-app"}, [basic()]),
        ({**GRANT, "client_id": "ward-app", "client_secret": SECRET}, []),
    ],
)
async def test_a_client_gets_a_token_by_either_way_of_authentication(form, headers):
    status, answered, answer = await ask(form, *headers)
    assert status == 200
    assert answered[b"cache-control"] == b"no-store"
    assert answered[b"content-type"] == b"application/json"
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 600
    assert answer["scope"] == "items:read orders:write"
    verifier = TokenVerifier(KEYS, issuer="https://suture.test", audience="suture")
    principal = verifier.verify(answer["access_token"].encode(), NOW)
    assert (principal.client, principal.facilities) == ("ward-app", {"NORTH"})
    assert principal.scopes == {"items:read", "orders:write"}


async def test_a_client_may_ask_for_less_than_it_has():
    _, _, answer = await ask({**GRANT, "scope": "orders:write"}, basic())
    assert answer["scope"] == "orders:write"


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (GRANT, []),
        (GRANT, [basic(secret="wrong")]),
        (GRANT, [basic("nobody")]),
        (GRANT, [basic("retired")]),
        (GRANT, [basic("", "")]),
        (GRANT, [(b"authorization", b"Basic !!!")]),
        (GRANT, [(b"authorization", b"Basic " + base64.b64encode(b"\xff\xfe:x"))]),
        (GRANT, [(b"authorization", b"Bearer abc")]),
        ({**GRANT, "client_id": "ward-app"}, []),
        ({**GRANT, "client_id": "ward-app", "client_secret": "wrong"}, []),
        ({**GRANT, "client_id": "nobody", "client_secret": "wrong"}, []),
        ({**GRANT, "client_id": "retired", "client_secret": SECRET}, []),
    ],
)
async def test_whoever_cannot_prove_it_gets_one_and_the_same_answer(form, headers):
    status, answered, answer = await ask(form, *headers)
    assert status == 401
    assert answered[b"www-authenticate"] == b'Basic realm="suture", charset="UTF-8"'
    assert answer == {
        "error": "invalid_client",
        "error_description": "Unknown client or wrong secret.",
    }


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        (b"grant_type=client_credentials&grant_type=password", "invalid_request"),
        (b"grant_type=%ff", "invalid_request"),
        (b"\xff", "invalid_request"),
        ("&".join(f"p{n}=1" for n in range(50)).encode(), "invalid_request"),
        ({**GRANT, "client_secret": SECRET}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": 'authorization_code"é\\'}, "unsupported_grant_type"),
        ({**GRANT, "scope": "items:read admin"}, "invalid_scope"),
        ({**GRANT, "scope": " "}, "invalid_scope"),
        ({**GRANT, "scope": 'x"é\\'}, "invalid_scope"),
    ],
)
async def test_a_request_that_breaks_the_protocol_is_told_so_in_its_words(form, error):
    status, answered, answer = await ask(form, basic())
    assert (status, answer["error"]) == (400, error)
    assert answered[b"cache-control"] == b"no-store"


async def test_another_kind_of_body_is_refused():
    json = (b"content-type", b"application/json")
    status, _, answer = await ask(b'{"grant_type":"client_credentials"}', basic(), kind=json)
    assert (status, answer["error"]) == (400, "invalid_request")


async def test_neither_secrets_nor_tokens_are_logged(caplog):
    with caplog.at_level(logging.DEBUG):
        _, _, answer = await ask(GRANT, basic())
        await ask({**GRANT, "client_id": "ward-app", "client_secret": SECRET})
        await ask(GRANT, basic(secret="wrong-secret"))
    for hidden in (answer["access_token"], SECRET, "wrong-secret"):
        assert hidden not in caplog.text


def test_the_metadata_says_what_the_server_does():
    said = metadata("https://suture.test/", tuple(GRANTS), ("items:read",))
    assert said["issuer"] == "https://suture.test/"
    assert said["token_endpoint"] == "https://suture.test/oauth/token"
    assert said["jwks_uri"] == "https://suture.test/oauth/jwks"
    assert said["grant_types_supported"] == ["client_credentials"]
    assert said["response_types_supported"] == ["code"]
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["scopes_supported"] == ["items:read"]
