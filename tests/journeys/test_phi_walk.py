"""A patient's words go in by every door, in good and in broken documents. They come out at one
place: the charge review of the EHR.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from gateway.config import Config, Observability
from gateway.demo.people import SCOPES, Person
from gateway.demo.stage import Stage, open_stage
from ledger.audit_trail import Evidence
from sandbox.ehr.hospital import UsedLine
from tests.journeys.front_doors import eventually, person
from tests.journeys.phi import Heard, Papers, Spans, Tags, Walk, listened
from tests.journeys.test_bad_input_hl7 import END, ER7, START, said_over_mllp
from tests.journeys.test_subscribers import QUICK
from tests.system_apis.receiver import Receiver, receiving

FHIR = {"content-type": "application/fhir+json"}
EVENTS = "/experience/v1/security/audit-events"
MORE = ("system.subscriptions:read", "system.subscriptions:write", "system.events:read")


class Walked(msgspec.Struct, frozen=True, kw_only=True):
    """A hospital where everything that is said can be read."""

    stage: Stage
    who: Person
    heard: Heard
    spans: Spans
    receiver: Receiver
    answers: list[bytes]


@pytest.fixture
async def walked(config: Config, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Walked]:
    spans = Spans()
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setattr("gateway.tracing.ConsoleSpanExporter", lambda: spans)
    traced = Observability(sample_ratio=1.0, spans="console")
    config = msgspec.structs.replace(config, observability=traced, events=QUICK)
    async with (
        receiving() as receiver,
        open_stage(config, pace=0.02, say=lambda _: None) as stage,
    ):
        with unmasked() as heard:
            scopes = tuple({*MORE, *(scope for each in SCOPES.values() for scope in each)})
            known = await person(stage, "walker", *scopes)
            who = Person(stage.running.url, known.client, known.secret)
            await who.sign_in()
            yield Walked(
                stage=stage,
                who=who,
                heard=heard,
                spans=spans,
                receiver=receiver,
                answers=[],
            )
            await who.close()


class unmasked:  # noqa: N801 - reads as a function
    """Let every logger speak at DEBUG and take the last line of defence away: what is proved is
    that there is nothing to mask.
    """

    def __enter__(self) -> Heard:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.005  # the event loop speaks, too
        loop.set_debug(True)
        self._root, self._heard = logging.getLogger(), Heard()
        self._factory, self._level = logging.getLogRecordFactory(), self._root.level
        logging.setLogRecordFactory(logging.LogRecord)
        self._root.addHandler(self._heard)
        self._root.setLevel(logging.DEBUG)
        return self._heard

    def __exit__(self, *_: object) -> None:
        logging.setLogRecordFactory(self._factory)
        self._root.removeHandler(self._heard)
        self._root.setLevel(self._level)


async def test_no_word_of_a_patient_is_anywhere_but_in_the_charge_review(walked: Walked):
    tag, stage = Tags(), walked.stage
    made = {"name": "all", "kind": "webhook", "target": walked.receiver.url, "types": ["*"]}
    await walked.who.call("POST", "/system/v1/subscriptions", json=made)
    async with (
        _news(walked, "/system/v1/events/stream") as events,
        _news(walked, "/experience/v1/operations/events") as changes,
    ):
        await everything_comes_in(walked, Papers(tag))
        walk = await _looked(walked)
        walk["events"], walk["changes"] = b"".join(events), b"".join(changes)
    assert walk["webhooks"]
    assert walk["events"]
    assert walk["spans"].count(b"suture.transaction") > 5
    assert b"asyncio" in walk["log"]
    assert {place: tag.found(said) for place, said in walk.items() if tag.found(said)} == {}
    charged = (await stage.ehr.get("/fhir/ChargeItem")).content
    assert {"hl7 number", "visit"} & set(tag.found(charged))

    # A leak that is put there on purpose is found, wherever it is.
    await _leak(walked, tag("seeded"))
    leaking = {place for place, said in (await _looked(walked)).items() if tag.found(said)}
    exported = (f"{EVENTS}{form}" for form in ("", "/fhir", "/csv", "/ndjson"))
    wanted = {"log", "table audit", "table task", "/process/v1/tasks", *exported}
    assert wanted - {place.removeprefix("GET ") for place in leaking} == set()
    assert leaking & {"ERP", "supplier", "spans", "GET /metrics"} == set()


async def everything_comes_in(walked: Walked, papers: Papers) -> None:
    """Good documents and broken ones, by every door; every answer is kept."""
    good = papers.charges()
    unknown = UsedLine(code="NO-SUCH-ITEM", description="x")
    broken = papers.charges()
    messages = [
        papers.schedule(),
        good,
        good,
        good.replace(b"Total knee", b"Other knee"),  # the same control id with other content
        papers.charges(unknown),
        papers.charges().replace(b"|GENERAL|SUTURE", b"|NOWHERE|SUTURE"),
        papers.charges().replace(b"DFT^P03^DFT_P03", b"ADT^A01^ADT_A01"),
        broken.replace(b"FT1|1|", b"FT1|one|").replace(b"|CG|", b"|??|"),
        papers.charges().replace(b"UNICODE UTF-8", b"KLINGON"),
        papers.charges().replace(b"MSH|^~\\&|", b"MSH|^~"),
        papers.charges().replace(b"PID|1|", b"PID|1|\xff\xfe"),
    ]
    stage, answers = walked.stage, walked.answers
    for message in messages:
        answers += await said_over_mllp(stage, START + message + END)
    answers += await said_over_mllp(stage, START + papers.charges()[:400])
    answers += await said_over_mllp(stage, papers.charges())
    async with httpx.AsyncClient(base_url=stage.running.url, timeout=30) as http:
        http.headers["authorization"] = f"Bearer {walked.who.token}"
        for message in (papers.charges(), papers.charges(unknown), papers.charges()[:200]):
            answer = await http.post("/system/v1/ehr/hl7v2", content=message, headers=ER7)
            answers.append(answer.content)
        for body in _bundles(papers):
            answer = await http.post("/system/v1/ehr/fhir", content=body, headers=FHIR)
            answers.append(answer.content)
        for scanned in _scans(papers):
            answer = await http.post("/experience/v1/mobile/usage", json=scanned)
            answers.append(answer.content)
        answers.append(
            (await http.post("/system/v1/ehr/hl7v2", content=good, headers=FHIR)).content
        )
        secret = papers.charges().hex()
        answers.append((await http.get("/nowhere", headers={"x-patient": secret})).content)
        asked = {"kind": "case", "facility": "1710", "number": papers.scanned()["caseNumber"]}
        links = await http.post("/experience/v1/security/patient-links", json=asked)
        answers.append(links.content)


def _bundles(papers: Papers) -> list[bytes]:
    encoded = [msgspec.json.encode(papers.bundle()) for _ in range(4)]
    conflict = msgspec.json.decode(encoded[0])
    conflict["entry"][0]["resource"]["name"][0]["use"] = "old"
    no_type = papers.bundle()
    no_type["entry"][2]["resource"]["status"] = 17
    return [
        *encoded[:2],
        encoded[0],
        msgspec.json.encode(conflict),
        msgspec.json.encode(no_type),
        encoded[2][:-40],
        encoded[3].replace(b"DeviceUseStatement", b"Observation"),
    ]


def _scans(papers: Papers) -> list[dict[str, Any]]:
    wrong, odd = papers.scanned(), papers.scanned()
    wrong["lines"] = [{"code": "NO-SUCH-ITEM", "quantity": "1"}]
    odd["occurredAt"] = odd["patientId"]
    return [papers.scanned(), wrong, odd, papers.scanned() | {"patient": odd["patientId"]}]


async def _looked(walked: Walked) -> dict[str, bytes]:
    await _settled(walked.stage)
    said = await Walk(walked.stage, walked.who).everywhere()
    await asyncio.sleep(0.2)  # the exporter's own pause, told above
    deliveries = walked.receiver.deliveries
    said["webhooks"] = b"\n".join(str(one.headers).encode() + one.body for one in deliveries)
    said["answers"] = b"\n".join(walked.answers)
    said["log"] = "\n".join(walked.heard.lines).encode()
    said["spans"] = "\n".join(walked.spans.told).encode()
    return said


async def _settled(stage: Stage) -> None:
    """Wait until no flow is at work any more."""
    database = stage.running.parts.ledger.database

    async def idle() -> bool:
        row = await database.row(
            "select count(*) filter (where status in ('ready', 'queued')) as busy,"
            " count(*) filter (where status = 'done') as done from flow"
        )
        return row is not None and row["busy"] == 0 and row["done"] > 0

    await eventually(idle, "the flows are done, or wait for a person")


async def _leak(walked: Walked, word: str) -> None:
    logging.getLogger("suture.careless").debug("read %s", f"PID|1||{word}")
    ledger = walked.stage.running.parts.ledger
    told = {"kind": "access", "actor": "careless", "action": "look", "outcome": "done"}
    await ledger.record(Evidence(**told, object=word))
    await ledger.database.run("update task set detail = detail || $1", word)


@asynccontextmanager
async def _news(walked: Walked, path: str) -> AsyncGenerator[list[bytes]]:
    listening = listened(walked.stage, walked.who, path)
    heard = await anext(listening)
    await asyncio.sleep(0.3)
    yield heard
    await listening.aclose()
