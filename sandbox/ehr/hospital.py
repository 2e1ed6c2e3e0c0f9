"""What the EHR knows: cases, and the invented patients they are for.

A patient exists from the first time a visit is named. Names are plainly invented, and no `/sim`
answer shows them: what the gateway gets to see of a patient, it got from a message.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import Literal

import msgspec

_FAMILIES = ("Testperson", "Sampleton", "Mockfield", "Placeholder", "Exampleby", "Demoworth")
_GIVEN = ("Invented", "Imaginary", "Fictional", "Simulated", "Sandbox", "Pretend")


class NewCase(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `POST /sim/cases` takes; `start` has an offset."""

    case_number: str
    visit: str
    procedure: str
    location: str
    start: datetime
    procedure_name: str = ""
    surgeon: str = ""


class ChangedCase(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `PUT /sim/cases/{case}` takes: what changes."""

    procedure: str | None = None
    procedure_name: str | None = None
    location: str | None = None
    surgeon: str | None = None
    start: datetime | None = None


class UsedLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing used: at least one of `udi`, `code` (the EHR's own), `sku` (of `supplier`). A
    `credit` takes it back. `reference` is the line's own number where the caller chooses it.
    """

    description: str = ""
    udi: str = ""
    code: str = ""
    code_system: str = "L"
    sku: str = ""
    supplier: str = ""
    quantity: Decimal = Decimal(1)
    unit: str = "EA"
    lot: str = ""
    serial: str = ""
    expires: date | None = None
    credit: bool = False
    reference: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `POST /sim/cases/{case}/usage` takes; `at` is now where it is absent."""

    lines: tuple[UsedLine, ...]
    via: Literal["hl7", "fhir"] = "hl7"
    at: datetime | None = None
    location: str = ""


@dataclass(frozen=True)
class Patient:
    """Somebody who does not exist."""

    number: str
    family: str
    given: str


@dataclass
class Hospital:
    """Cases by number and patients by visit."""

    cases: dict[str, NewCase] = field(default_factory=dict[str, NewCase])
    _patients: dict[str, Patient] = field(default_factory=dict[str, Patient])
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def patient_of(self, visit: str) -> Patient:
        """Return the visit's patient, invented on first sight."""
        if visit not in self._patients:
            number = next(self._numbers)
            family = _FAMILIES[number % len(_FAMILIES)]
            given = _GIVEN[number // len(_FAMILIES) % len(_GIVEN)]
            self._patients[visit] = Patient(f"MRN-{number:06}", family, given)
        return self._patients[visit]
