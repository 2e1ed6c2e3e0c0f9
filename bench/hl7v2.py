"""HL7 v2: read a message and take nine values of it."""

import importlib.util
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from standards.hl7v2 import reader

Place = tuple[str, int, int]
"""Segment, field, component; component 0 is the whole field."""


class Sample(NamedTuple):
    body: bytes
    places: tuple[Place, ...]


_EVERY: tuple[Place, ...] = (
    ("MSH", 4, 1),
    ("MSH", 7, 1),
    ("MSH", 9, 1),
    ("MSH", 9, 2),
    ("MSH", 10, 1),
    ("PID", 3, 1),
    ("PID", 5, 1),
    ("PV1", 19, 1),
)
_HEAD = "MSH|^~\\&|EHR|GENERAL^1.2.3^ISO|SUTURE|GENERAL|20260401080000||{kind}|MSG0001|P|2.5.1"
_PATIENT = (
    "PID|1||0042^^^GENERAL^MR~A77^^^NAT^AN||TESTPATIENT^INVENTED^J||19550918|F|||1 NOWHERE ST",
    "PV1|1|I|OR^3^A^GENERAL||||4711^SURGEON^SAM||||||||||||VISIT-1",
)


def _sample(kind: str, lines: tuple[str, ...], own: Place) -> Sample:
    text = "\r".join((_HEAD.format(kind=kind), *lines)) + "\r"
    return Sample(text.encode(), (*_EVERY, own))


_CASE = (
    "SCH|CASE-42^EHR|||||RTN^Routine^HL70276|ELECTIVE|NORMAL|90|MIN|^^^20260402073000",
    *_PATIENT,
    "RGS|1|A",
    "AIS|1|A|27447^Total knee replacement^C4|20260402073000|||90|MIN|||BOOKED",
    "AIL|1|A|OR^3^A^GENERAL",
    "AIP|1|A|4711^SURGEON^SAM|SURGEON",
)
_CHARGES = (
    "EVN|P03|20260401080000",
    *_PATIENT,
    *(
        f"FT1|{line}|||20260401074500||CG|SKU-{line}^Item {line}^CDM|||{line}|||CC-OR|||OR^3"
        "||||4711^SURGEON^SAM|||||27447^Total knee replacement^C4"
        for line in range(1, 7)
    ),
)
_RESULTS = (
    *_PATIENT,
    "OBR|1|P-1|F-1|24323-8^Comprehensive panel^LN|||20260401070000",
    *(
        f"OBX|{line}|NM|{2000 + line}-1^Quantity {line}^LN||{line}.5|mmol/L^^UCUM|1-9|N|||F"
        for line in range(1, 13)
    ),
)

SAMPLES = (
    _sample("SIU^S12^SIU_S12", _CASE, ("SCH", 1, 1)),
    _sample("DFT^P03^DFT_P03", _CHARGES, ("FT1", 7, 1)),
    _sample("ORU^R01^ORU_R01", _RESULTS, ("OBX", 5, 1)),
)

Values = list[list[str]]
Read = Callable[[], Values]


def suture() -> Values:
    """Read all samples with our reader."""
    found: Values = []
    for body, places in SAMPLES:
        message = reader.read(body)
        found.append([message.text(*place) for place in places])
    return found


def hl7apy() -> Read:
    """Read with hl7apy as it is fastest: no groups, tolerant, nothing validated."""
    parse: Any = import_module("hl7apy.parser").parse_message
    tolerant: Any = import_module("hl7apy.consts").VALIDATION_LEVEL.TOLERANT
    samples = [(body.decode(), places) for body, places in SAMPLES]

    def read() -> Values:
        found: Values = []
        for text, places in samples:
            message = parse(text, validation_level=tolerant, find_groups=False)
            found.append([_of_hl7apy(message, *place) for place in places])
        return found

    return read


def _of_hl7apy(message: Any, segment: str, field: int, component: int) -> str:
    name = f"{segment}_{field}".lower()
    cell = getattr(getattr(getattr(message, segment.lower()), name), f"{name}_{component}")
    return str(cell.value)


def has_python_hl7() -> bool:
    return importlib.util.find_spec("hl7") is not None


def python_hl7() -> Read:
    """Read with python-hl7, where it is installed."""
    parse: Any = import_module("hl7").parse
    samples = [(body.decode(), places) for body, places in SAMPLES]

    def read() -> Values:
        found: Values = []
        for text, places in samples:
            message = parse(text)
            found.append(
                [
                    str(message.extract_field(name, 1, field, 1, part))
                    for name, field, part in places
                ]
            )
        return found

    return read
