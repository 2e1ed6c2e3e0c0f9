"""What a sender is told apart by, and the code tables of HL7 v2 that its messages use."""

import re
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from canonical.case import CaseChange
from canonical.item import CodeScheme

Meaning = Literal[
    "udi",
    "lot",
    "serial",
    "expires",
    "unit",
    "erp",
    "supplier-sku",
    "line-reference",
    "case-number",
]

_PLACE = re.compile(r"[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}(\.[1-9][0-9]?)?")


class Feed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """One sender and how its messages are to be read.

    `sending_facility` is compared with MSH-4.1, `*` takes any. `facility` is the plant in the ERP;
    `zone` (IANA) applies to times without offset. `default_unit` is the unit of FT1-10 where
    nothing else says it; empty refuses such a line. `erp_systems` are coding systems (FT1-7.3) that
    mean the ERP's own item number; lines coded in `service_systems` are services, not supplies.
    `locations` maps «point of care/room», room or point of care to a stock location.
    `observations` adds OBX-3 codes, `places` fields of other segments, such as `udi = "ZUI-1"`.
    `places.line-reference` names the charge line for good: give `FT1-2` only to a sender that never
    uses a number twice, because a number seen before is not counted again.
    """

    sending_facility: str
    facility: str
    zone: str
    default_unit: str = ""
    erp_systems: tuple[str, ...] = ()
    service_systems: tuple[str, ...] = ("C4", "C5", "CPT", "CPT4", "CPTM")
    processing_ids: tuple[str, ...] = ("P",)
    locations: dict[str, str] = {}
    observations: dict[str, Meaning] = {}
    places: dict[Meaning, str] = {}

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (OSError, ValueError, KeyError) as exc:
            raise ValueError("zone is no IANA time zone") from exc
        for place in self.places.values():
            if _PLACE.fullmatch(place) is None:
                raise ValueError("places: expected a field such as ZUI-1 or FT1-23.1")

    def serves(self, sending_facility: str) -> bool:
        return self.sending_facility in {"*", sending_facility}


CHANGES: dict[str, CaseChange] = {
    "S12": "scheduled",
    "S13": "changed",
    "S14": "changed",
    "S15": "cancelled",
    "S16": "cancelled",
    "S17": "cancelled",
    "S18": "changed",
    "S19": "changed",
    "S20": "changed",
    "S21": "changed",
    "S22": "changed",
    "S26": "cancelled",
}
"""Trigger events of SIU (HL7 v2 10.4). S18 to S22 concern one service or resource *of* a case, so
S20, the cancellation of one, changes the case and does not cancel it. S23 to S25 concern blocked
slots and no case.
"""

BLOCKED_SLOTS = frozenset({"S23", "S24", "S25"})
USAGE_EVENTS = frozenset({"P03", "P11"})

GONE = frozenset({"CANCELLED", "CANCELED", "DC", "DELETED", "NOSHOW"})
"""HL7 table 0278 (SCH-25, AIS-10): the case or service no longer takes place."""

SURGEONS = frozenset({"SURGEON", "SURG", "PS", "PRIMARY SURGEON", "OPERATING SURGEON"})
"""AIP-4 has no fixed table (0182 is the sender's own); these are the names in practice."""

CHARGES = frozenset({"CG"})
CREDITS = frozenset({"CD", "CR"})
MONEY_ONLY = frozenset({"AJ", "CO", "PY"})
"""HL7 table 0017 (FT1-6). Credits are CD in the table and CR in practice."""

OBSERVATIONS: dict[str, Meaning] = {
    "74711-3": "udi",
    "C101672": "lot",
    "C101671": "serial",
    "C101670": "expires",
}
"""OBX-3.1: LOINC for the whole UDI, NCI Thesaurus (FDA GUDID terminology) for its parts."""

UDI_SYSTEMS = frozenset({"UDI", "FDAUDI", "GTIN", "GS1", "UPC", "HIBCC", "HIBC", "ICCBBA"})
"""Coding systems (HL7 table 0396 and practice) whose codes are device identifiers."""

ISSUERS: dict[str, CodeScheme] = {
    "2.51.1.1": "gtin",
    "GS1": "gtin",
    "1.0.15961.10.816": "hibcc",
    "HIBCC": "hibcc",
    "2.16.840.1.113883.6.18.1.17": "iccbba",
    "ICCBBA": "iccbba",
}
"""EI-3 (ISO object identifier) or EI-2 of PRT-16: who issued the device identifier."""
