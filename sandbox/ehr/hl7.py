"""The EHR's HL7 v2 messages (2.8.2): SIU S12 to S15 for cases, DFT P03 for usage.

A charge line carries its device in three ways, all saying the same: PRT (role EQUIP) with PRT-10
UDI, 18 expiry, 19 lot, 20 serial; OBX with 74711-3 (LOINC) for the UDI and C101672, C101671,
C101670 (NCI Thesaurus) for lot, serial and expiry; OBX with the EHR's own code UOM for the unit of
FT1-10, which HL7 has no field for. A credit is CR with a negative quantity. FT1-2 is never used
twice, unless somebody asks for it. The case number is in ZCS-1.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sandbox.ehr.hospital import NewCase, Patient, Usage, UsedLine
from sandbox.ehr.settings import Settings

_ESCAPES = str.maketrans(
    {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
    | {"\r": " ", "\n": " ", "\x1d": "\\X1D\\"}
)


@dataclass(frozen=True)
class Envelope:
    """Who sends, under which control id, when."""

    settings: Settings
    control_id: str
    at: datetime


def schedule(event: str, case: NewCase, patient: Patient, envelope: Envelope) -> bytes:
    """Write SIU: S12 booked, S13 moved, S14 modified, S15 cancelled."""
    status = "Cancelled" if event == "S15" else "Booked"
    start = _stamp(case.start)
    procedure = f"{_t(case.procedure)}^{_t(case.procedure_name)}^C4"
    surgeon = f"{_t(case.surgeon)}^Surgeon^Invented" if case.surgeon else ""
    sch = [""] * 26
    sch[0], sch[1], sch[2] = "SCH", _t(case.case_number), _t(case.case_number)
    sch[6], sch[7], sch[11] = f"{event}^{status}", procedure, f"^^^{start}"
    sch[16], sch[25] = "SANDBOX^Scheduler", status
    segments = [
        _msh(envelope, f"SIU^{event}^SIU_S12"),
        "|".join(sch),
        _pid(patient),
        _pv1(case.location, case.visit),
        "RGS|1|A",
        f"AIS|1|A|{procedure}|{start}||||||{status}",
        f"AIL|1|A|{_t(case.location)}",
    ]
    if surgeon:
        segments.append(f"AIP|1|A|{surgeon}|SURGEON")
    return _joined(segments)


def charges(usage: Usage, case: NewCase, patient: Patient, envelope: Envelope) -> bytes:
    """Write DFT P03: one FT1 a line, followed by its procedure and its device."""
    at = _stamp(usage.at or envelope.at)
    location = usage.location or case.location
    segments = [
        _msh(envelope, "DFT^P03^DFT_P03"),
        f"EVN||{at}",
        _pid(patient),
        _pv1(location, case.visit),
        f"ZCS|{_t(case.case_number)}",
    ]
    for number, line in enumerate(usage.lines, 1):
        reference = line.reference or f"{envelope.control_id}-{number}"
        segments += _charge(number, line, (reference, at, location), case)
    return _joined(segments)


def _charge(number: int, line: UsedLine, named: tuple[str, str, str], case: NewCase) -> list[str]:
    reference, at, location = named
    performer = f"{_t(case.surgeon)}^Surgeon^Invented" if case.surgeon else ""
    procedure = f"{_t(case.procedure)}^{_t(case.procedure_name)}^C4"
    ft1 = [""] * 26
    ft1[0], ft1[1], ft1[2], ft1[4] = "FT1", str(number), _t(reference), at
    ft1[6], ft1[7] = "CR" if line.credit else "CG", _service(line)
    ft1[10] = _amount(-line.quantity if line.credit else line.quantity)
    ft1[16], ft1[20], ft1[25] = _t(location), performer, procedure
    return [
        "|".join(ft1).rstrip("|"),
        f"PR1|1||{procedure}||{at}",
        *_participation(line),
        *_observations(line),
    ]


def _service(line: UsedLine) -> str:
    """FT1-7: our own code, else the device identifier; the supplier's number is the alternate."""
    first = (line.code, line.code_system) if line.code else (line.udi, "UDI" if line.udi else "")
    parts = [_t(first[0]), _t(line.description), _t(first[1])]
    if line.sku:
        parts += [_t(line.sku), _t(line.description), _t(line.supplier)]
    return "^".join(parts)


def _participation(line: UsedLine) -> list[str]:
    if not (line.udi or line.lot or line.serial or line.expires):
        return []
    prt = [""] * 21
    prt[0], prt[1], prt[2], prt[4] = "PRT", "1", "AD", "EQUIP^Equipment^HL70912"
    prt[10], prt[19], prt[20] = _t(line.udi), _t(line.lot), _t(line.serial)
    prt[18] = line.expires.strftime("%Y%m%d") if line.expires else ""
    return ["|".join(prt).rstrip("|")]


def _observations(line: UsedLine) -> list[str]:
    rows = [
        ("ST", "74711-3^Unique device identifier^LN", line.udi),
        ("ST", "C101672^Lot or Batch Number^NCIT", line.lot),
        ("ST", "C101671^Serial Number^NCIT", line.serial),
        ("DT", "C101670^Expiration Date^NCIT", f"{line.expires:%Y%m%d}" if line.expires else ""),
        ("ST", "UOM^Unit of measure^L", line.unit),
    ]
    said = [row for row in rows if row[2]]
    return [
        f"OBX|{number}|{kind}|{code}|1|{_t(value)}||||||F"
        for number, (kind, code, value) in enumerate(said, 1)
    ]


def _msh(envelope: Envelope, kind: str) -> str:
    settings = envelope.settings
    return (
        f"MSH|^~\\&|{_t(settings.application)}|{_t(settings.facility)}|{_t(settings.receiver)}"
        f"|{_t(settings.facility)}|{_stamp(envelope.at)}||{kind}|{envelope.control_id}|P|2.8.2"
        "||||||UNICODE UTF-8"
    )


def _pid(patient: Patient) -> str:
    return f"PID|1||{patient.number}^^^SANDBOX^MR||{patient.family}^{patient.given}"


def _pv1(location: str, visit: str) -> str:
    pv1 = [""] * 20
    pv1[0], pv1[1], pv1[2], pv1[3], pv1[19] = "PV1", "1", "I", _t(location), _t(visit)
    return "|".join(pv1)


def _joined(segments: list[str]) -> bytes:
    return ("\r".join(segments) + "\r").encode()


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")


def _amount(quantity: Decimal) -> str:
    return f"{quantity:f}"


def _t(text: str) -> str:
    """Escape what would be a separator (HL7 v2 2.7)."""
    return text.translate(_ESCAPES)
