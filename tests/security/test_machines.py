"""What honest machines get of the authorization server: tokens, what they say, less of them."""

from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from gateway.app import create_app
from gateway.config import load
from policies.oauth.clients import OAuthClient, with_new_secret
from tests.security.machines import (
    ASSERTION,
    EXCHANGE,
    ISSUER,
    READ,
    TOKEN,
    WRITE,
    Keys,
    Machines,
    found,
    open_machines,
    refusal,
)

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machines(state: Path):
    told = load(ROOT / "gateway.toml")
    async with open_machines(msgspec.structs.replace(told, state_folder=str(state))) as opened:
        yield opened


async def told_of(machines: Machines, token: str) -> dict:
    answer = await machines.as_client("auditor", "/oauth/introspect", token=token)
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def test_a_client_with_keys_gets_a_token_by_each_algorithm_that_is_promised(machines):
    promised = (await described(machines))["token_endpoint_auth_signing_alg_values_supported"]
    for algorithm in promised:
        header = {"alg": algorithm, "kid": algorithm.lower()}
        answer = await machines.ask(machines.assertion(header, machines.keys.named(algorithm)))
        assert (await machines.call(answer.json()["access_token"])).status_code == 200


async def test_a_receiver_learns_all_of_a_token_that_its_owner_may_do(machines):
    token = await machines.token("plain", scope=READ)
    said = await told_of(machines, token)
    assert said["active"] is True
    assert said["client_id"] == said["sub"] == "plain"
    assert (said["iss"], said["aud"], said["token_type"]) == (ISSUER, "suture", "Bearer")
    assert (said["scope"], said["facilities"]) == (READ, ["1710", "1720"])
    assert said["exp"] - said["iat"] == 600
    own = await machines.as_client("plain", "/oauth/introspect", token=token)
    assert own.json() == said


async def test_a_revoked_token_is_over_and_revoking_it_again_changes_nothing(machines):
    token, kept = await machines.token("plain"), await machines.token("plain")
    for _ in range(2):
        answer = await machines.as_client("plain", "/oauth/revoke", token=token)
        assert answer.status_code == 200
    unknown = await machines.as_client("plain", "/oauth/revoke", token="never was")
    assert unknown.status_code == 200
    assert (await told_of(machines, token)) == {"active": False}
    assert (await machines.call(token)).status_code == 401
    assert (await machines.call(kept)).status_code == 200


async def test_a_token_is_narrowed_for_one_hop(machines):
    token = await machines.token("plain")
    answer = await machines.exchange(
        "hop", token, scope=READ, facilities="1710", purpose="HOPERAT", lifetime="60"
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["issued_token_type"].endswith(":access_token")
    assert (body["expires_in"], body["scope"]) == (60, READ)
    said = await told_of(machines, body["access_token"])
    assert (said["client_id"], said["sub"], said["act"]) == ("hop", "plain", {"sub": "hop"})
    assert (said["facilities"], said["data_classes"]) == (["1710"], ["supply"])
    assert said["purpose"] == "HOPERAT"
    again = await machines.exchange("plain", body["access_token"])
    assert refusal(again) == "invalid_request"  # it may not act for others
    assert (await machines.call(body["access_token"])).status_code == 200


async def test_what_the_hop_may_not_have_itself_is_left_out(machines):
    await machines.know("narrow-hop", "oauth.tokens:act", READ, facilities=("1730",))
    token = await machines.token("plain")
    refused = await machines.exchange("narrow-hop", token, scope=READ)
    assert refusal(refused) == "invalid_request"
    assert "no facility that both" in refused.json()["error_description"]
    said = await told_of(machines, (await machines.exchange("hop", token)).json()["access_token"])
    assert (said["scope"], said["facilities"]) == (READ, ["1710"])


async def test_a_narrowed_token_falls_with_the_client_that_it_came_from(machines):
    await machines.know("leaving", READ)
    token = await machines.token("leaving")
    narrowed = (await machines.exchange("hop", token)).json()["access_token"]
    assert (await machines.call(narrowed)).status_code == 200
    until = machines.now + 600
    await machines.parts.ledger.withdrawals.withdraw("party:leaving", until=until)
    for each in (token, narrowed):
        assert (await machines.call(each)).status_code == 401
    assert (await machines.call(await machines.token("plain"))).status_code == 200


async def test_old_and_new_secret_are_good_side_by_side_for_the_stated_time(machines):
    await machines.know("turning", READ)
    client = found(await machines.book.find("turning"))
    old = machines.secrets["turning"]
    for overlap, statuses in ((60.0, [200, 200]), (0.0, [401, 200])):
        client, new = with_new_secret(client, machines.now, overlap)
        await machines.book.put(client)
        for secret, status in zip((old, new), statuses, strict=True):
            answer = await machines.post(
                "/oauth/token", {"grant_type": "client_credentials"}, auth=("turning", secret)
            )
            assert answer.status_code == status
        old = new
    earlier = with_new_secret(client, machines.now - 61, 60)[0]
    assert not earlier.accepts(old, machines.now)


async def test_a_partner_registers_itself_into_the_sandbox(machines):
    keys = Keys()
    answer = await machines.register(
        client_name="not what the statement says",
        token_endpoint_auth_method="private_key_jwt",
        jwks=msgspec.json.decode(keys.public()),
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert "client_secret" not in made
    assert (made["client_name"], made["scope"]) == ("Scanner", READ)
    name = made["client_id"]
    assertion = machines.assertion(key=keys.es384, iss=name, sub=name)
    token = (await machines.ask(assertion)).json()["access_token"]
    said = await told_of(machines, token)
    assert (said["facilities"], said["sla"]) == (["sandbox"], "sandbox")
    client = found(await machines.book.find(name))
    assert client.wish is not None
    assert (client.wish.scopes, client.wish.facilities) == ((READ, WRITE), ("1710",))


async def test_a_secret_made_at_registration_is_shown_once_and_works(machines):
    made = (await machines.register(token_endpoint_auth_method="client_secret_post")).json()
    assert made["client_secret_expires_at"] == 0
    form = {name: made[name] for name in ("client_id", "client_secret")}
    answer = await machines.post("/oauth/token", {"grant_type": "client_credentials", **form})
    assert answer.status_code == 200
    assert made["client_secret"] not in repr(await machines.book.find(made["client_id"]))


async def test_every_decision_is_in_the_audit_trail_without_what_was_sent(machines):
    token = await machines.token("plain")
    await machines.as_client("plain", "/oauth/revoke", token=token)
    await machines.as_client("plain", "/oauth/token", grant_type="client_credentials", scope="x")
    rows = await machines.parts.ledger.database.rows(
        "select convert_from(record, 'UTF8') as record from audit order by at desc limit 60"
    )
    records = [msgspec.json.decode(row["record"]) for row in rows]
    told = {(r["actor"], r["action"], r["outcome"]) for r in records}
    assert ("plain", "token request", "granted") in told
    assert ("plain", "token request", "refused") in told
    assert ("plain", "token revocation", "granted") in told
    text = "".join(row["record"] for row in rows)
    for hidden in (token, *machines.secrets.values()):
        assert hidden not in text


# What the metadata promise is what the server does


async def described(machines: Machines) -> dict:
    return (await machines.http.get("/.well-known/oauth-authorization-server")).json()


ELSEWHERE = {
    "authorization_endpoint",
    "device_authorization_endpoint",
    "response_types_supported",
    "response_modes_supported",
    "code_challenge_methods_supported",
    "authorization_response_iss_parameter_supported",
    "dpop_signing_alg_values_supported",
    "tls_client_certificate_bound_access_tokens",
    "mtls_endpoint_aliases",
}
"""Members that concern people and proofs of possession: their tests compare them."""
ENDPOINTS = ("token", "introspection", "revocation")


async def test_every_member_of_the_metadata_is_compared_with_the_server(machines):
    said = await described(machines)
    # RFC 8414 wants the list, Authlib a type in it: without people there is none.
    AuthorizationServerMetadata(
        {**said, "response_types_supported": said["response_types_supported"] or ["code"]}
    ).validate()
    per_endpoint = {
        f"{each}_endpoint_auth_{what}_supported"
        for each in ENDPOINTS
        for what in ("methods", "signing_alg_values")
    }
    addresses = {f"{each}_endpoint" for each in (*ENDPOINTS, "registration")}
    compared = {"issuer", "jwks_uri", "scopes_supported", "grant_types_supported"}
    assert set(said) - ELSEWHERE == per_endpoint | addresses | compared
    assert said["issuer"] == ISSUER
    for member in addresses:
        assert (await machines.http.post(said[member])).status_code in (400, 401)


async def test_the_published_keys_verify_the_tokens(machines):
    said = await described(machines)
    assert (await machines.http.get(said["jwks_uri"])).json() == (
        machines.parts.authorization.keys.public()
    )
    token = await machines.token("plain")
    assert (await told_of(machines, token))["iss"] == said["issuer"]


async def test_exactly_the_scopes_that_routes_ask_for_are_promised(machines):
    said = await described(machines)
    documents = [
        msgspec.json.decode((ROOT / "openapi" / f"{tier}.json").read_bytes())
        for tier in ("system", "process", "experience")
    ]
    asked = {
        scope
        for document in documents
        for path in document["paths"].values()
        for operation in path.values()
        for scope in operation["security"][0]["oauth2"]
    }
    assert set(said["scopes_supported"]) - asked == {"oauth.tokens:act", "oauth.tokens:introspect"}
    assert asked <= set(said["scopes_supported"])


async def test_exactly_the_grants_that_are_promised_are_known(machines):
    promised = set((await described(machines))["grant_types_supported"])
    assert {"client_credentials", EXCHANGE} <= promised
    await machines.know("curious", READ, grant_types=(*promised, "password", "implicit"))
    for grant in {*promised, "password", "implicit", "urn:ietf:params:oauth:grant-type:saml2"}:
        answer = await machines.as_client("curious", grant_type=grant)
        unknown = refusal(answer) == "unsupported_grant_type"
        assert unknown == (grant not in promised), grant


METHODS = {
    "client_secret_basic": lambda m: {"auth": ("plain", m.secrets["plain"])},
    "client_secret_post": lambda m: {
        "form": {"client_id": "plain", "client_secret": m.secrets["plain"]}
    },
    "private_key_jwt": lambda m: {
        "form": {"client_assertion_type": ASSERTION, "client_assertion": m.assertion()}
    },
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_every_way_of_authentication_that_is_promised_is_taken(machines, endpoint):
    said = await described(machines)
    promised = set(said[f"{endpoint}_endpoint_auth_methods_supported"])
    assert set(METHODS) <= promised
    for method, prove in METHODS.items():
        given = prove(machines)
        form = {"grant_type": "client_credentials", "token": "x"} | given.pop("form", {})
        answer = await machines.post(said[f"{endpoint}_endpoint"], form, **given)
        assert answer.status_code == 200, method


async def test_an_assertion_may_name_the_issuer_or_the_token_endpoint(machines):
    for audience in (ISSUER, TOKEN):
        assert (await machines.ask(machines.assertion(aud=audience))).status_code == 200


async def test_whoever_may_not_register_is_told_whom_to_ask(machines):
    closed = msgspec.structs.replace(machines.parts.authorization, registration=None)
    parts = msgspec.structs.replace(machines.parts, authorization=closed)
    transport = httpx.ASGITransport(create_app(parts))
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:
        answer = await http.post("/oauth/register", json={})
        assert (answer.status_code, answer.json()["fix"]) == (404, "ask the operator for a client")
        said = (await http.get("/.well-known/oauth-authorization-server")).json()
        assert "registration_endpoint" not in said


async def test_a_client_kept_by_an_earlier_version_is_still_one() -> None:
    kept = b'{"clientId":"a","secretHash":"00","secretSalt":"00","scopes":["x"],"facilities":[]}'
    client = msgspec.json.decode(kept, type=OAuthClient)
    assert (client.auth_method, client.sla, client.active) == ("client_secret", "standard", True)
