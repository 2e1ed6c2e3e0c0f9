"""What one EHR's FHIR feed calls things: its configuration in gateway.toml."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from canonical.item import CodeScheme


class FhirFeed(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """The agreement with one sender.

    `issuer` is who gave the item codes of scheme `ehr`: the sending facility, as in HL7's MSH-4.
    `locations` maps its Location identifiers or ids to ours, `default-location` is for documents
    that name none. `identifier-systems` says which system URI is which kind of item code. `visit-`,
    `case-` and `procedure-system` pick one identifier or coding among several ('' takes the first;
    without a case system no identifier is read as a case number). `quantity-extension` is the
    extension that carries a count, as R4 has no quantity of devices used.
    """

    facility: str
    zone: str
    source: str = "EHR"
    issuer: str = ""
    locations: dict[str, str] = {}
    default_location: str = ""
    identifier_systems: dict[str, CodeScheme] = {}
    visit_system: str = ""
    case_system: str = ""
    procedure_system: str = ""
    quantity_extension: str = "urn:suture:fhir:quantity-used"

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as exc:
            raise ValueError(f"zone {self.zone!r} is not a time zone of this machine") from exc
