"""`codecs`: reading HL7 v2, X12 and FHIR, beside the libraries people would take instead.

Every contender returns the values it read, and all have to return the same before any is timed.
Bytes or text are in memory, nothing is sent or stored, one thread, garbage collection on.
"""

import time
from collections.abc import Callable

import msgspec

from bench import fhir, hl7v2, x12
from bench.conditions import conditions
from bench.report import Comparison, Row, Trial
from bench.rounds import Bench, Contender, Measured, Settings, in_turn, repeated

_SECONDS = 0.3
_SETS = 100
_NOT_INSTALLED = "python-hl7 is not installed"

_HL7 = "HL7 v2: read, then 9 fields"
_X12 = "X12: read with envelope checks"
_FHIR = "FHIR R4: read a bundle of ten"

COMPARISONS = (
    Comparison(
        name="hl7v2: suture / hl7apy",
        of="hl7v2 suture",
        against="hl7v2 hl7apy",
        by="cpu",
        target=500,
    ),
    Comparison(
        name="hl7v2: suture / python-hl7",
        of="hl7v2 suture",
        against="hl7v2 python-hl7",
        by="cpu",
        target=30,
    ),
    Comparison(
        name="x12: suture / pyx12", of="x12 suture", against="x12 pyx12", by="cpu", target=8
    ),
    Comparison(
        name="fhir: suture / fhir.resources",
        of="fhir suture",
        against="fhir fhir.resources",
        by="cpu",
    ),
)


class _Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A contender before it is put to work; `read` None was not run."""

    name: str
    what: str
    unit: str
    operations: int
    contains: str
    read: Callable[[], object] | None

    def row(self, why: str = "") -> Row:
        return Row(
            name=self.name,
            what=self.what,
            by=self.name.split(" ", 1)[1],
            unit=self.unit,
            contains=self.contains,
            state="measured" if self.read else "not run",
            why=why,
        )


async def measure(settings: Settings) -> Measured:
    """Measure all readers on the same documents."""
    contenders: list[Contender] = []
    for readers in (_hl7v2(), _x12(), _fhir()):
        expected = readers[0].read and readers[0].read()
        contenders += [_contender(each, expected, settings) for each in readers]
    rows = await in_turn(contenders, settings)
    return Measured(
        rows,
        conditions(
            *("msgspec", "hl7apy", "pyx12", "fhir.resources", "pydantic"),
            measured="CPU and wall time of one thread; values compared before timing",
        ),
    )


def _contender(reader: _Reader, expected: object, settings: Settings) -> Contender:
    if reader.read is None:
        return Contender(reader.row(_NOT_INSTALLED), None)
    read = reader.read
    agrees = read() == expected
    began = time.perf_counter()
    read()
    once = time.perf_counter() - began
    passes = 1 if settings.quick else max(1, round(_SECONDS / once))

    async def measured() -> Trial:
        if not agrees:
            return Trial(0, 0, 0, "it does not read the same values as suture")
        return repeated(read, passes, reader.operations)

    return Contender(reader.row(), measured)


def _hl7v2() -> tuple[_Reader, ...]:
    def reader(by: str, contains: str, read: Callable[[], object] | None) -> _Reader:
        return _Reader(
            name=f"hl7v2 {by}",
            what=_HL7,
            unit="messages",
            operations=len(hl7v2.SAMPLES),
            contains=contains,
            read=read,
        )

    python_hl7 = hl7v2.python_hl7() if hl7v2.has_python_hl7() else None
    return (
        reader("suture", "bytes in; segments and separators checked", hl7v2.suture),
        reader("hl7apy", "text in; tolerant, no groups: its fastest", hl7v2.hl7apy()),
        reader("python-hl7", "text in", python_hl7),
    )


def _x12() -> tuple[_Reader, ...]:
    body = x12.interchange(_SETS)
    segments = x12.suture(body)().segments

    def reader(by: str, contains: str, read: Callable[[], object]) -> _Reader:
        return _Reader(
            name=f"x12 {by}",
            what=_X12,
            unit="segments",
            operations=segments,
            contains=contains,
            read=read,
        )

    return (
        reader("suture", f"{_SETS} 855s; counts and control numbers", x12.suture(body)),
        reader("pyx12", f"{_SETS} 855s; its X12Reader, no map", x12.pyx12(body)),
    )


def _fhir() -> tuple[_Reader, ...]:
    body = fhir.bundle()

    def reader(by: str, contains: str, read: Callable[[], object]) -> _Reader:
        return _Reader(
            name=f"fhir {by}",
            what=_FHIR,
            unit="bundles",
            operations=1,
            contains=contains,
            read=read,
        )

    return (
        reader("suture", "the fields we use; types, required, value sets", fhir.suture(body)),
        reader(
            "fhir.resources",
            "R4B models, every field; no value sets: a difference in scope too",
            fhir.fhir_resources(body),
        ),
    )


BENCH = Bench("codecs", "Reading documents", COMPARISONS, measure)
