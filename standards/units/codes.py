"""One table of hospital units: ours, X12 data element 355, UN/ECE Rec 20 and 21, UCUM.

The lists look alike and disagree, which is why nothing here is guessed or computed:
- «CA» is a case in X12 and a can in Rec 20; a case is «XCS» in Rec 21 and a cassette is X12's «CS»;
- «TU» is our tube and X12's thousand linear yards; «BT» is our bottle and X12's belt;
- «MG» is our milligram and X12's metric gross ton; «ST» is our set and Rec 21's sheet;
- «EA» read as UCUM is an exa-ampere: a count is «{each}», or «1».
How many each are in a box belongs to the item (`canonical.item.Packaging`), not to this table.
"""

from typing import Final, NamedTuple

from canonical.errors import WrongUnit


class _Row(NamedTuple):
    unit: str
    x12: str
    unece: str
    ucum: str


_TABLE: Final = (
    _Row("EA", "EA", "EA", "{each}"),
    _Row("PR", "PR", "PR", "{pair}"),
    _Row("DZ", "DZ", "DZN", "{dozen}"),
    _Row("ST", "ST", "SET", "{set}"),
    _Row("KT", "KT", "KT", "{kit}"),
    _Row("PK", "PK", "XPK", "{pack}"),
    _Row("BX", "BX", "XBX", "{box}"),
    _Row("CT", "CT", "XCT", "{carton}"),
    _Row("CA", "CA", "XCS", "{case}"),
    _Row("PL", "PL", "XPX", "{pallet}"),
    _Row("BG", "BG", "XBG", "{bag}"),
    _Row("BT", "BO", "XBO", "{bottle}"),
    _Row("JR", "JR", "XJR", "{jar}"),
    _Row("RL", "RL", "XRO", "{roll}"),
    _Row("TU", "TB", "XTU", "{tube}"),
    _Row("TY", "TY", "XPU", "{tray}"),
    _Row("VI", "VI", "XVI", "{vial}"),
    _Row("AM", "AM", "XAM", "{ampule}"),
    _Row("L", "LT", "LTR", "L"),
    _Row("ML", "ML", "MLT", "mL"),
    _Row("KG", "KG", "KGM", "kg"),
    _Row("G", "GR", "GRM", "g"),
    _Row("MG", "ME", "MGM", "mg"),
    _Row("M", "MR", "MTR", "m"),
    _Row("CM", "CM", "CMT", "cm"),
)

_OTHER_UNECE: Final = {"C62": "EA", "BX": "BX", "CT": "CT", "PK": "PK", "BG": "BG", "VI": "VI"}
"""C62 is «one»; the others left Rec 20 for Rec 21 with the same meaning and are still sent."""

_OTHER_UCUM: Final = {"1": "EA", "{Each}": "EA", "l": "L", "ml": "ML"}

_X12_TO_UNIT: Final = {row.x12: row.unit for row in _TABLE}
_UNIT_TO_X12: Final = {row.unit: row.x12 for row in _TABLE}
_UNECE_TO_UNIT: Final = {row.unece: row.unit for row in _TABLE} | _OTHER_UNECE
_UNIT_TO_UNECE: Final = {row.unit: row.unece for row in _TABLE}
_UCUM_TO_UNIT: Final = {row.ucum: row.unit for row in _TABLE} | _OTHER_UCUM
_UNIT_TO_UCUM: Final = {row.unit: row.ucum for row in _TABLE}

UNITS: Final = frozenset(_UNIT_TO_X12)


def from_x12(code: str) -> str:
    """Return our unit for an X12 data element 355 code (PO103, IT103, SN103, ACK03, …)."""
    return _look_up(_X12_TO_UNIT, code, "X12 355")


def to_x12(unit: str) -> str:
    """Return the X12 data element 355 code of our unit."""
    return _look_up(_UNIT_TO_X12, unit, "hospital unit")


def from_unece(code: str) -> str:
    """Return our unit for a UN/ECE Rec 20 code or an X-prefixed Rec 21 one (cXML, UBL, EDIFACT)."""
    return _look_up(_UNECE_TO_UNIT, code, "UN/ECE Rec 20")


def to_unece(unit: str) -> str:
    """Return the UN/ECE code of our unit."""
    return _look_up(_UNIT_TO_UNECE, unit, "hospital unit")


def from_ucum(code: str) -> str:
    """Return our unit for a UCUM code; case matters, as UCUM says (FHIR Quantity, HL7 OBX-6)."""
    return _look_up(_UCUM_TO_UNIT, code, "UCUM")


def to_ucum(unit: str) -> str:
    """Return the UCUM code of our unit; what is counted is an annotation such as {each}."""
    return _look_up(_UNIT_TO_UCUM, unit, "hospital unit")


def _look_up(table: dict[str, str], code: str, where: str) -> str:
    found = table.get(code)
    if found is None:
        raise WrongUnit(
            "unit code is not in the table",
            where=where,
            expected=f"one of {', '.join(sorted(table))}",
            fix="correct the unit at its source, or add it to the table with its meaning",
        )
    return found
