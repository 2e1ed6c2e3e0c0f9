"""Schemathesis holds the running gateway against its committed OpenAPI documents.

It sends what the documents allow, what they forbid, and calls that follow from each other. The
same seed gives the same calls. Where a check says nothing about an operation, it is left out for
that operation alone, and the reason stands beside it.
"""

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from tests.contracts.raw_documents import documents
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

FOLDER = Path(__file__).resolve().parents[2] / "openapi"
RAW = {
    "x-application/hl7-v2+er7": "hl7v2_feed",
    "application/edi-x12": "edi_x12",
    "application/fhir+json": "fhir_r4",
}
for media_type, kind in RAW.items():
    schemathesis.openapi.media_type(media_type, documents(kind))


@schemathesis.serializer(*RAW)
def as_it_is(_context: schemathesis.SerializationContext, value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


ELSEWHERE = {
    # Whether a FHIR resource can be used is for its profile and for what it says of a patient.
    "sendFhir": ["positive_data_acceptance"],
    # An interchange needs an ISA that says from whom it is: «string» says too little.
    "sendX12": ["positive_data_acceptance"],
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
    return msgspec.json.decode((FOLDER / f"{tier}.json").read_bytes())


ONE_BY_ONE = configured(examples=25, phases=("examples", "coverage", "fuzzing"))


@schemathesis.pytest.parametrize(
    **{
        tier: schemathesis.openapi.from_dict(committed(tier), config=ONE_BY_ONE) for tier in TIERS
    }
)
def test_an_operation_keeps_its_contract(case, served):
    case.call_and_validate(base_url=served.url, headers=served.headers)
