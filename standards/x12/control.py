"""Code tables of the control standards: which set belongs to which group, and how we say what is
wrong.
"""

from typing import Final

from canonical.errors import Failure

GROUP_OF: Final = {
    "810": "IN",
    "820": "RA",
    "824": "AG",
    "832": "SC",
    "846": "IB",
    "850": "PO",
    "855": "PR",
    "856": "SH",
    "860": "PC",
    "865": "CA",
    "867": "PT",
    "997": "FA",
    "999": "FA",
}
"""ST01 to GS01 (data elements 143 and 479) for the sets of the supply chain."""

GROUPS: Final = frozenset(GROUP_OF.values())

SUPPORTED_RELEASES: Final = ("004", "005", "006")
"""GS08 begins with one of these: earlier releases write dates with two-digit years."""

INTERCHANGE_NOTES: Final = {
    "IEA02": "001",
    "ISA terminator": "004",
    "ISA05": "005",
    "ISA06": "006",
    "ISA07": "007",
    "ISA08": "009",
    "ISA09": "014",
    "ISA10": "015",
    "ISA12": "017",
    "ISA13": "018",
    "ISA14": "019",
    "ISA15": "020",
    "IEA01": "021",
    "IEA": "023",
    "end": "023",
    "GS": "024",
    "ISA13 again": "025",
    "ISA element separator": "026",
    "ISA16": "027",
}
"""Where an interchange broke, to its TA105 note (data element I18)."""

ACCEPTED: Final = "000"
INVALID_STRUCTURE: Final = "022"


def interchange_note(failure: Failure) -> str:
    """Return the TA105 code that says what broke the interchange."""
    return INTERCHANGE_NOTES.get(failure.where, INVALID_STRUCTURE)
