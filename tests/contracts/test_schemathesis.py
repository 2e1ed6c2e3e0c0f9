"""Schemathesis holds the running gateway against its committed OpenAPI documents.

It sends what the documents allow, what they forbid, and calls that follow from each other. The
same seed gives the same calls. Where a check says nothing about an operation, it is left out for
that operation alone, and the reason stands beside it.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import (
    AcceptedNegativeData,
    Failure,
)
from schemathesis.engine.events import NonFatalError, ScenarioFinished
from schemathesis.openapi.checks import (
    IgnoredAuth,
    JsonSchemaError,
    MissingHeaders,
    RejectedPositiveData,
    UndefinedContentType,
    UndefinedStatusCode,
)

from gateway.openapi import TIERS
from tests.contracts.conftest import Served
from tests.contracts.raw_documents import documents

FOLDER = Path(__file__).resolve().parents[2] / "openapi"
RAW = {
    "x-application/hl7-v2+er7": "hl7v2_feed",
    "application/edi-x12": "edi_x12",
    "application/fhir+json": "fhir_r4",
}
for media_type, kind in RAW.items():
    schemathesis.openapi.media_type(media_type, documents(kind))


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda east: timezone(timedelta(minutes=east)))
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31), timezones=ZONES)  # noqa: DTZ001 - ZONES come in
schemathesis.openapi.format("date-time", MOMENTS.map(datetime.isoformat))


@schemathesis.serializer(*RAW)
def as_it_is(_context: schemathesis.SerializationContext, value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


ELSEWHERE = {
    # Whether a FHIR resource can be used is for its profile and for what it says of a patient.
    "sendFhir": ["positive_data_acceptance"],
    # An interchange needs an ISA that says from whom it is: «string» says too little.
    "sendX12": ["positive_data_acceptance"],
    # To give something up needs a reason; which actions do that, the task says, not its schema.
    "resolveTask": ["positive_data_acceptance"],
    # A requisition that needs no approval is there, and its decision is not.
    "decideRequisition": ["ensure_resource_availability"],
    # Which target can be called, and which events there are, is more than a schema can say.
    "createSubscription": ["positive_data_acceptance"],
    # Either a time or a position: msgspec has no word for it.
    "replaySubscription": ["positive_data_acceptance"],
}
"""Checks that say nothing about an operation."""


def configured(*, examples: int, phases: Iterable[str]) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": 8420,
            "generation": {
                "deterministic": True,
                "max-examples": examples,
                "database": "none",
                "with-security-parameters": False,
                # JSON Schema cannot say «no U+0000»; test_hostile_input.py sends it everywhere.
                "allow-x00": False,
            },
            "phases": {"enabled": False} | {phase: {"enabled": True} for phase in phases},
            "operations": [
                {
                    "include-operation-id": operation,
                    "checks": {check: {"enabled": False} for check in checks},
                }
                for operation, checks in ELSEWHERE.items()
            ],
        }
    )


def committed(tier: str) -> Any:
    """Return a document, its OAuth said as what travels: `ignored_auth` passes over `oauth2`."""
    document = msgspec.json.decode((FOLDER / f"{tier}.json").read_bytes())
    document["components"]["securitySchemes"]["oauth2"] = {"type": "http", "scheme": "bearer"}
    return document


PATHS = {path: tier for tier in TIERS for path in committed(tier)["paths"]}


class Run(NamedTuple):
    """What a run came to: how many calls it made, and what it found, with a command to see it."""

    calls: int
    failures: list[Failure]
    told: list[str]


def run(document: dict[str, Any], config: SchemathesisConfig, served: Served) -> Run:
    """Run the configured phases on a document."""
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.config.update(base_url=served.url, headers=served.headers)
    calls, found, told = 0, list[Failure](), list[str]()
    for event in engine.from_schema(schema).execute():
        if isinstance(event, NonFatalError):
            raise event.value
        if isinstance(event, ScenarioFinished):
            calls += len(event.recorder.interactions)
            for check in chain.from_iterable(event.recorder.checks.values()):
                if check.failure_info:
                    failure, again = check.failure_info.failure, check.failure_info.code_sample
                    found.append(failure)
                    told.append(f"{failure.title}: {failure.message}\n{again}")
    return Run(calls, found, told)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_keeps_its_contract(path, served):
    document = committed(PATHS[path])
    document["paths"] = {path: document["paths"][path]}
    config = configured(examples=60, phases=["examples", "coverage", "fuzzing"])
    ran = run(document, config, served)
    assert ran.told == []
    assert ran.calls > 10


@pytest.mark.parametrize("tier", ["process", "experience"])
def test_calls_that_follow_from_each_other_keep_the_contract(tier, served):
    """Links of the document, and those that its names suggest: hand in, then look it up."""
    ran = run(committed(tier), configured(examples=20, phases=["stateful"]), served)
    assert ran.told == []
    assert ran.calls > 10


TASKS, ORDER = "/process/v1/tasks", "/process/v1/orders/{number}"
Fault = Callable[[dict[str, Any]], object]


def _limit(document: dict[str, Any]) -> dict[str, Any]:
    parameters = document["paths"][TASKS]["get"]["parameters"]
    return next(each for each in parameters if each["name"] == "limit")["schema"]


FAULTS: dict[str, tuple[Fault, type[Failure]]] = {
    "a field that answers do not have": (
        lambda doc: doc["components"]["schemas"]["TaskList"]["required"].append("total"),
        JsonSchemaError,
    ),
    "a status that is not documented": (
        lambda doc: doc["paths"][ORDER]["get"]["responses"].pop("404"),
        UndefinedStatusCode,
    ),
    "another kind of body": (
        lambda doc: doc["components"]["responses"]["NotFound"].update(
            content={"application/json": {}}
        ),
        UndefinedContentType,
    ),
    "a header that answers do not have": (
        lambda doc: doc["components"]["responses"]["NotFound"]["headers"].update(
            {"X-Answered-By": {"required": True, "schema": {"type": "string"}}}
        ),
        MissingHeaders,
    ),
    "a limit that is not kept": (
        lambda doc: _limit(doc).update(maximum=50),
        AcceptedNegativeData,
    ),
    "a limit that is narrower than documented": (
        lambda doc: _limit(doc).update(maximum=5000),
        RejectedPositiveData,
    ),
    "a public path that is documented as protected": (
        lambda doc: doc["paths"].update({"/health/live": doc["paths"].pop(TASKS)}),
        IgnoredAuth,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_document_that_is_wrong_is_found_out(fault, served):
    """The other tests can fail: each of these lies about the gateway is caught."""
    lie, expected = FAULTS[fault]
    document = committed("process")
    document["paths"] = {path: {"get": document["paths"][path]["get"]} for path in (TASKS, ORDER)}
    lie(document)
    config = configured(examples=5, phases=["coverage", "fuzzing"])
    ran = run(document, config, served)
    assert expected in {type(failure) for failure in ran.failures}
