"""Whoever may not, is refused, told why, and recorded; and the record can be checked."""

import base64
import re

import httpx
import msgspec
import pytest
from fhir.resources.R4B.bundle import Bundle
from joserfc.jwk import ECKey

from gateway.authorization import ClientBook
from gateway.demo.stage import Stage
from policies.oauth.clients import new_client
from policies.oauth.keys import SigningKeys
from policies.oauth.tokens import TokenIssuer
from tests.ledger.outside import eventually

PATH = "/experience/v1/operations/transactions"
EVENTS = "/experience/v1/security/audit-events"


async def token_of(stage: Stage, scopes: tuple[str, ...], *, seconds: int = 600) -> str:
    """Return a token as this gateway issues it."""
    client, _ = new_client("probe", scopes)
    await ClientBook(stage.running.parts.ledger.clients).put(client)
    issuer = msgspec.structs.replace(
        stage.running.parts.authorization.issuer, lifetime_seconds=seconds
    )
    return issuer.issue(client, scopes, stage.running.parts.clock().timestamp())


def forged(stage: Stage) -> str:
    """Return a token with everything right but the key."""
    client, _ = new_client("probe", ("experience.operations:read",))
    real = stage.running.parts.authorization.issuer
    issuer = TokenIssuer(
        keys=SigningKeys((ECKey.generate_key("P-256"),)),
        issuer=real.issuer,
        audience=real.audience,
    )
    return issuer.issue(client, client.scopes, stage.running.parts.clock().timestamp())


def unsigned(token: str) -> str:
    """Return the same claims under alg none."""
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


async def test_every_refusal_is_a_problem_and_stands_in_the_audit_trail(stage: Stage):
    good = await token_of(stage, ("experience.operations:read",))
    cases = {
        "no token": (PATH, None, 401, "unauthenticated"),
        "wrong scope": (PATH, await token_of(stage, ("process.tasks:read",)), 403, "forbidden"),
        "expired": (PATH, await token_of(stage, (), seconds=-10), 401, "unauthenticated"),
        "forged": (PATH, forged(stage), 401, "unauthenticated"),
        "unsigned": (PATH, unsigned(good), 401, "unauthenticated"),
        "unknown path": ("/nothing/here", good, 404, "not-found"),
        "unknown path, no token": ("/nothing/there", None, 404, "not-found"),
        "not a token": (PATH, "abc", 401, "unauthenticated"),
    }
    async with httpx.AsyncClient(base_url=stage.running.url) as http:
        for name, (path, token, status, slug) in cases.items():
            headers = {"x-correlation-id": re.sub(r"\W", "-", name)}
            if token is not None:
                headers["authorization"] = f"Bearer {token}"
            answer = await http.get(path, headers=headers)
            assert (name, answer.status_code) == (name, status)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["type"] == f"urn:suture:problem:{slug}"
            assert answer.headers["x-correlation-id"] == headers["x-correlation-id"]
            if status == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer ")

    trail = await stage.people["operator"].call(
        "GET", "/experience/v1/security/audit-events", params={"kind": "call", "limit": 500}
    )
    recorded = {row["correlationId"]: row for row in trail["items"]}
    for name, (path, _, _, slug) in cases.items():
        row = recorded[re.sub(r"\W", "-", name)]
        assert (name, row["outcome"], row["action"]) == (name, slug, f"GET {path}")


async def test_a_wrong_secret_gets_no_token_and_is_recorded(stage: Stage):
    async with httpx.AsyncClient(base_url=stage.running.url) as http:
        answer = await http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=("demo-operator", "guess"),
        )
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    trail = await stage.people["operator"].call("GET", "/experience/v1/security/audit-events")
    assert any(row["action"] == "token request" for row in trail["items"])


RENAMED = """
update audit set record = convert_to(
    replace(convert_from(record, 'UTF8'), 'demo-operator', 'demo-nobody'), 'UTF8')
where chain = $1 and seq = $2"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (RENAMED, "not the one that was written"),
        ("delete from audit where chain = $1 and seq = $2", "missing or out of order"),
        (
            "update audit set hash = sha256(hash) where chain = $1 and seq = $2",
            "not the one that was written",
        ),
    ],
)
async def test_a_changed_record_is_found_and_named(stage: Stage, change: str, reason: str):
    operator = stage.people["operator"]
    for _ in range(5):
        await operator.call("GET", PATH)
    ledger = stage.running.parts.ledger
    count, broken = await ledger.audit.verify()
    assert count > 5
    assert broken == []

    row = await ledger.database.row(
        "select chain, seq from audit where convert_from(record, 'UTF8') like '%demo-operator%'"
        " order by seq offset 1 limit 1"
    )
    await ledger.database.run(change, row["chain"], row["seq"])
    _, broken = await ledger.audit.verify()
    assert [link.chain for link in broken] == [row["chain"]]
    assert reason in broken[0].reason
    assert broken[0].seq in (row["seq"], row["seq"] + 1)


async def test_the_trail_is_read_page_by_page_while_it_grows(stage: Stage):
    operator = stage.people["operator"]
    first = await operator.call("GET", EVENTS, params={"limit": 5})
    seen = [row["id"] for row in first["items"]]
    page = first
    while page.get("next"):
        page = await operator.call("GET", EVENTS, params={"limit": 50, "after": page["next"]})
        seen += [row["id"] for row in page["items"]]
    assert len(seen) == len(set(seen))
    before = first["items"][0]["at"]
    older = await operator.call("GET", EVENTS, params={"limit": 500, "before": before})
    assert {row["id"] for row in older["items"]} <= set(seen)


async def test_evidence_is_found_by_its_kind_and_shown_as_fhir(stage: Stage):
    operator = stage.people["operator"]
    for evidence in ("message", "transformation", "approval", "access"):
        page = await operator.call("GET", EVENTS, params={"evidence": evidence, "limit": 500})
        assert {row["evidence"] for row in page["items"]} <= {evidence}
    found = await operator.call("GET", f"{EVENTS}/fhir", params={"kind": "call", "limit": 2})
    bundle = Bundle.model_validate_json(msgspec.json.encode(found))
    assert [link.relation for link in bundle.link] == ["next"]
    more = await operator.call("GET", bundle.link[0].url)
    ids = [entry["resource"]["id"] for page in (found, more) for entry in page["entry"]]
    assert len(ids) == len(set(ids)) == 4
    keys = await operator.call("GET", "/experience/v1/security/audit-keys")
    assert [key["alg"] for key in keys["keys"]] == ["EdDSA"]


async def test_a_worker_signs_the_trail_by_itself(stage: Stage):
    ledger = stage.running.parts.ledger

    async def signed() -> bool:
        return (await ledger.audit.examine()).signed > 0

    await eventually(signed)
    verdict = await ledger.audit.examine(pinned={ledger.checkpoints.keys.first.id})
    assert (verdict.broken, verdict.pinned) == ([], True)


async def test_the_documentation_and_the_console_need_nothing_from_outside(stage: Stage):
    async with httpx.AsyncClient(base_url=stage.running.url) as http:
        for page in ("/docs", "/console"):
            answer = await http.get(page)
            assert answer.status_code == 200
            assert "https://" not in answer.text
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            for part in re.findall(r'(?:src|href)="(/[^"]+)"', answer.text):
                assert (part, (await http.get(part)).status_code) == (part, 200)
        for tier in ("system", "process", "experience"):
            document = (await http.get(f"/openapi/{tier}.json")).json()
            assert document["openapi"].startswith("3.1")


async def test_health_and_metrics_answer_without_a_token(stage: Stage):
    async with httpx.AsyncClient(base_url=stage.running.url) as http:
        assert (await http.get("/health/live")).json()["status"] == "ok"
        ready = (await http.get("/health/ready")).json()
        assert ready["parts"] == {"postgresql": "ok", "valkey": "ok"}
        assert "suture_flows" in (await http.get("/metrics")).text
