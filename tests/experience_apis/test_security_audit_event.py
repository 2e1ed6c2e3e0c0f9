"""Audit records as FHIR: valid R4 AuditEvents in the shape of IHE BALP, read by a third party."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.bundle import Bundle

from experience_apis.security.audit_event import audit_bundle, audit_event
from experience_apis.security.views import AuditRow

AT = datetime(2026, 11, 21, 15, 4, 5, 123456, tzinfo=UTC)


def row(**changes: Any) -> AuditRow:
    told: dict[str, Any] = {
        "id": "trail_01kap3:12",
        "at": AT,
        "evidence": "access",
        "kind": "call",
        "actor": "app",
        "action": "GET /process/v1/tasks",
        "outcome": "200",
        "object": "",
        "transaction": "",
        "correlation_id": "",
        "detail": {"status": "200", "ms": "1.0"},
    }
    return AuditRow(**{**told, **changes})


def read(told: AuditRow) -> AuditEvent:
    return AuditEvent.model_validate_json(msgspec.json.encode(audit_event(told)))


KINDS = {
    "read": (row(), "rest/read", "R", "IHE.BasicAudit.Read"),
    "create": (row(action="POST /x"), "rest/create", "C", "IHE.BasicAudit.Create"),
    "update": (row(action="PUT /x"), "rest/update", "U", "IHE.BasicAudit.Update"),
    "delete": (row(action="DELETE /x"), "rest/delete", "D", ""),
    "any other call": (row(action="BREW /x"), "rest/operation", "E", ""),
    "message in": (row(kind="message", action="mllp ORU^R01"), "110107/receive", "C", ""),
    "message out": (
        row(kind="message", actor="suture", action="send 850", detail={"to": "VENDOR"}),
        "110106/transmit",
        "R",
        "",
    ),
    "event": (row(kind="event", action="order-placed"), "110106/transmit", "R", ""),
    "transformation": (row(kind="transformation", action="map"), "110100/transform", "E", ""),
    "approval": (row(kind="approval", action="accept"), "110100/attest", "E", ""),
    "master data": (row(kind="master-data", action="change"), "110100/amend", "U", ""),
    "opened context": (
        row(kind="access", action="patient context opened", transaction="tx_1"),
        "110110/access",
        "R",
        "",
    ),
    "token": (row(kind="access", actor="", action="token request"), "110114/110122", "E", ""),
    "client": (row(kind="access", action="add client"), "110113/110136", "U", ""),
}


@pytest.mark.parametrize("case", KINDS)
def test_every_sort_of_record_is_a_valid_audit_event(case: str) -> None:
    told, codes, action, profile = KINDS[case]
    outcome = "200" if told.kind == "call" else "done"
    event = read(msgspec.structs.replace(told, outcome=outcome))
    assert f"{event.type.code}/{event.subtype[0].code}" == codes
    assert (event.action, event.outcome, event.outcomeDesc) == (action, "0", None)
    named = [url.rpartition("/")[2] for url in event.meta.profile] if event.meta else []
    assert named == ([profile] if profile else [])
    assert event.recorded == AT
    assert event.id == "trail-01kap3.12"


@pytest.mark.parametrize(
    ("action", "client", "server"),
    [
        ("GET /x", "110152", "110153"),
        ("POST /x", "110153", "110152"),
        ("PUT /x", "110153", "110152"),
    ],
)
def test_a_call_has_the_agents_that_balp_wants(action: str, client: str, server: str) -> None:
    """BALP: client and server by their roles, each known by who and network, one requestor."""
    event = read(row(action=action, detail={"status": "200", "token": "jti-7"}))
    [caller, ours] = event.agent
    assert [agent.type.coding[0].code for agent in event.agent] == [client, server]
    assert (caller.who.identifier.value, caller.requestor, ours.requestor) == ("app", True, False)
    assert caller.policy == ["urn:ietf:params:oauth:jti:jti-7"]
    assert all(agent.network.extension[0].valueCode == "unknown" for agent in event.agent)


def test_what_it_is_about_is_one_system_object_beside_request_and_transaction() -> None:
    event = read(row(correlation_id="c-1", transaction="tx_9"))
    [what, request, transaction] = event.entity
    assert (what.type.code, what.role.code, what.what.identifier.value) == (
        "2",
        "4",
        "/process/v1/tasks",
    )
    assert (request.type.code, request.what.identifier.value) == ("XrequestId", "c-1")
    assert transaction.what.identifier.value == "tx_9"
    assert {detail.type for detail in what.detail} == {"status", "ms"}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"detail": {"status": "204"}}, "0"),
        ({"detail": {"status": "404"}, "outcome": "not-found"}, "4"),
        ({"detail": {"status": "503"}, "outcome": "store-unavailable"}, "8"),
        ({"detail": {"status": "0"}, "outcome": "0"}, "8"),
        ({"kind": "transformation", "outcome": "done", "detail": {}}, "0"),
        ({"kind": "transformation", "outcome": "unknown-item", "detail": {}}, "4"),
        ({"kind": "transformation", "outcome": "upstream-timeout", "detail": {}}, "8"),
        ({"kind": "message", "outcome": "refused", "detail": {}}, "4"),
    ],
)
def test_who_is_at_fault_is_said_by_the_outcome(changes: dict[str, Any], outcome: str) -> None:
    event = read(row(**changes))
    assert event.outcome == outcome
    assert (event.outcomeDesc is None) == (outcome == "0")
    if outcome != "0":
        assert event.meta is None, "the profiles are of what succeeded"


def test_a_page_is_a_searchset_that_leads_on() -> None:
    events = [audit_event(row()), audit_event(row(id="trail_01kap3:11"))]
    asked = [("kind", "call"), ("actor", "a&b")]
    body = msgspec.json.encode(audit_bundle(events, link="/here", after="t:11", asked=asked))
    bundle = Bundle.model_validate_json(body)
    assert (bundle.type, len(bundle.entry)) == ("searchset", 2)
    [link] = bundle.link
    assert (link.relation, link.url) == ("next", "/here?kind=call&actor=a%26b&after=t%3A11")
    last = Bundle.model_validate_json(
        msgspec.json.encode(audit_bundle([], link="/here", after="", asked=[]))
    )
    assert (last.link, last.entry) == (None, None)
