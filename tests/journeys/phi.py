"""A patient whose every word can be told from all others, the documents that name him, and every
place where a word of his must not be.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from gateway.demo.people import Person
from gateway.demo.stage import Stage
from gateway.openapi import TIERS, document
from gateway.runtime import state_folder
from sandbox.ehr import fhir, hl7
from sandbox.ehr.hospital import NewCase, Patient, Usage, UsedLine
from sandbox.ehr.settings import Settings

MARK = "qzq"
IMPLANT = "(01)00844588017339(17)280331(10)LIMP002A"
SETTINGS = Settings(
    gateway_url="", mllp_host="", mllp_port=0, token_url="", client_id="", client_secret=""
)


class Tags:
    """Words that mean nothing and that no other document has; which field each one stood in."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def __call__(self, field: str) -> str:
        tag = f"{MARK}{next(self._numbers):04}{MARK}"
        self.fields[tag] = field
        return tag

    def found(self, said: bytes) -> list[str]:
        """Return the fields whose words are in it, also as hexadecimal."""
        text = said.lower()
        return [
            field
            for tag, field in self.fields.items()
            if tag.encode() in text or tag.encode().hex().encode() in text
        ]


class Papers:
    """The documents about one patient after the other."""

    def __init__(self, tag: Tags) -> None:
        self._tag = tag
        self._numbers = itertools.count(1)

    def charges(self, *lines: UsedLine, control: str = "") -> bytes:
        """A DFT with everything a DFT can say about a person."""
        control, case, patient = control or self._control(), self._case(), self._patient("hl7")
        usage = Usage(lines=lines or (UsedLine(udi=IMPLANT, description="x"),))
        told = hl7.charges(usage, case, patient, self._envelope(control)).decode()
        return self._about(told, "DFT").encode()

    def schedule(self) -> bytes:
        told = hl7.schedule(
            "S12", self._case(), self._patient("hl7"), self._envelope(self._control())
        ).decode()
        return self._about(told, "SIU").encode()

    def bundle(self) -> dict[str, Any]:
        """A FHIR transaction with everything a Patient can say about himself."""
        usage = Usage(lines=(UsedLine(udi=IMPLANT, description="x"),))
        body = fhir.usage_bundle(
            usage, self._case(), self._patient("fhir"), self._envelope(self._control())
        )
        told: dict[str, Any] = msgspec.json.decode(body)
        patient = told["entry"][0]["resource"]
        tag = self._tag
        patient |= {
            "id": tag("Patient.id"),
            "telecom": [{"system": "phone", "value": tag("Patient.telecom")}],
            "address": [{"line": [tag("Patient.address.line")], "city": tag("Patient.city")}],
            "contact": [{"name": {"family": tag("Patient.contact.name")}}],
            "text": {"status": "generated", "div": f"<div>{tag('Patient.text')}</div>"},
        }
        patient["name"][0]["text"] = tag("Patient.name.text")
        return told

    def scanned(self) -> dict[str, Any]:
        tag = self._tag
        return {
            "facility": "1710",
            "location": "OR01",
            "occurredAt": datetime.now(UTC).isoformat(),
            "encounter": tag("mobile encounter"),
            "caseNumber": tag("mobile caseNumber"),
            "patientId": tag("mobile patientId"),
            "procedure": "27447",
            "lines": [{"code": IMPLANT, "quantity": "1"}],
        }

    def _about(self, told: str, kind: str) -> str:
        """Put in what else a message says about a person and his family."""
        tag, segments = self._tag, told.rstrip("\r").split("\r")
        place = next(n for n, segment in enumerate(segments) if segment.startswith("PID|"))
        pid = segments[place].split("|") + [""] * 20
        pid[3] += f"~{tag(f'{kind} PID-3 ssn')}^^^USSSA^SS"
        pid[9] = tag(f"{kind} PID-9 alias")
        pid[11] = f"{tag(f'{kind} PID-11 street')}^^{tag(f'{kind} PID-11 city')}^NY"
        pid[13] = tag(f"{kind} PID-13 phone")
        pid[18] = tag(f"{kind} PID-18 account")
        pid[19] = tag(f"{kind} PID-19 ssn")
        segments[place] = "|".join(pid)
        relative = f"NK1|1|{tag(f'{kind} NK1-2 kin')}^Kin|SPO||{tag(f'{kind} NK1-5 phone')}"
        segments.insert(place + 1, relative)
        if kind == "DFT":
            segments.append(f"GT1|1||{tag('DFT GT1-3 guarantor')}^G")
            insured = tag("DFT IN1-16 insured")
            segments.append(f"IN1|1|PLAN|1|INSURER||||||||||||{insured}^I")
        return "\r".join(segments) + "\r"

    def _patient(self, kind: str) -> Patient:
        tag = self._tag
        return Patient(tag(f"{kind} number"), tag(f"{kind} family"), tag(f"{kind} given"))

    def _case(self) -> NewCase:
        tag = self._tag
        return NewCase(
            case_number=tag("case number"),
            visit=tag("visit"),
            procedure="27447",
            procedure_name="Total knee arthroplasty",
            location="OR",
            start=datetime.now(UTC),
            surgeon="S-1001",
        )

    def _control(self) -> str:
        return f"WALK{next(self._numbers):05}"

    def _envelope(self, control: str) -> hl7.Envelope:
        return hl7.Envelope(SETTINGS, control, datetime.now(UTC))


class Heard(logging.Handler):
    """All that any logger says at DEBUG, before anybody masks it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("httpx", "httpcore")):  # the test's own calls
            self.lines.append(self.format(record))


class Spans(SpanExporter):
    """All spans that leave."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def export(self, spans: Iterable[ReadableSpan]) -> SpanExportResult:
        self.told += [span.to_json() for span in spans]
        return SpanExportResult.SUCCESS


class Walk:
    """Looks at every place; remembers what was said where."""

    def __init__(self, stage: Stage, who: Person) -> None:
        self.said: dict[str, bytes] = {}
        self._stage = stage
        self._who = who

    async def everywhere(self) -> dict[str, bytes]:
        await self._routes()
        await self._elsewhere()
        await self._tables()
        self.said["file names"] = "\n".join(self._files()).encode()
        return self.said

    async def _routes(self) -> None:
        names = await self._names()
        async with self._http() as http:
            for path in self._paths():
                wanted = [part[1:-1] for part in path.split("/") if part.startswith("{")]
                values = [names.get(name, names["name"]) for name in wanted]
                for chosen in itertools.product(*values):
                    address = path
                    for name, value in zip(wanted, chosen, strict=True):
                        address = address.replace(f"{{{name}}}", value)
                    await self._look(http, address)

    async def _look(self, http: httpx.AsyncClient, address: str) -> None:
        query = _QUERIES.get(address.rsplit("/", 1)[-1], {})
        answer = await http.get(address, params=query)
        assert answer.status_code < 500, f"{address}: {answer.status_code}"
        self.said[f"GET {address}"] = answer.content + str(answer.headers).encode()

    def _paths(self) -> Iterator[str]:
        for tier in TIERS:
            yield f"/openapi/{tier}.json"
            for path, operations in document(tier)["paths"].items():
                if "get" in operations:
                    yield path
        yield from ("/metrics", "/health/ready", "/docs", "/console", "/console/audit")
        yield "/oauth/jwks"

    async def _names(self) -> dict[str, list[str]]:
        """Every name that a path may take, from what there is."""
        database = self._stage.running.parts.ledger.database

        async def of(sql: str) -> list[str]:
            return [str(row[0]) for row in await database.rows(sql)] or ["none"]

        return {
            "name": await of(
                "select id from transaction union select value from reference"
                " union select id from task"
            ),
            "number": await of("select value from reference where kind = 'order'"),
            "item_id": ["IMP-10002"],
            "code": ["IMP-10002"],
            "supplier_id": ["100000"],
            "cost_center_id": ["4711"],
            "subscription_id": await of("select id from subscription"),
            "check_id": await of("select id from audit_check"),
        }

    async def _elsewhere(self) -> None:
        """What the other systems were told; the charge reviewers alone may know the patient."""
        self.said["ERP"] = (await self._stage.erp.get("/sim/state")).content
        self.said["supplier"] = (await self._stage.supplier.get("/sim/orders")).content

    async def _tables(self) -> None:
        """What somebody sees who reads the database: bodies and contexts are sealed."""
        database = self._stage.running.parts.ledger.database
        tables = await database.rows(
            "select table_name from information_schema.tables where table_schema = 'suture'"
            " and table_type = 'BASE TABLE'"
        )
        for row in tables:
            rows = await database.rows(f'select t::text as told from suture."{row[0]}" t')
            self.said[f"table {row[0]}"] = "\n".join(str(each["told"]) for each in rows).encode()

    def _files(self) -> Iterator[str]:
        folder = state_folder(self._stage.running.parts.config)
        yield from (str(path) for path in Path(folder).rglob("*"))

    def _http(self) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self._who.token}"}
        return httpx.AsyncClient(base_url=self._stage.running.url, headers=headers, timeout=30)


_QUERIES: dict[str, dict[str, str]] = {
    "stock": {"item": "IMP-10002", "facility": "1710", "location": "OR01"},
    "availability": {"location": "OR01"},
    "tasks": {"status": "any", "limit": "500"},
    "audit-events": {"limit": "500"},
    "fhir": {"limit": "500"},
}


async def listened(stage: Stage, who: Person, path: str) -> AsyncGenerator[list[bytes]]:
    """Listen to server-sent events while the caller goes on."""
    heard: list[bytes] = []
    headers = {"authorization": f"Bearer {who.token}", "accept": "text/event-stream"}

    async def listen() -> None:
        async with (
            httpx.AsyncClient(base_url=stage.running.url, timeout=300) as http,
            http.stream("GET", path, headers=headers) as answer,
        ):
            assert answer.status_code == 200
            async for part in answer.aiter_bytes():
                heard.append(part)  # noqa: PERF401 - whoever listens reads what is there so far

    listening = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
