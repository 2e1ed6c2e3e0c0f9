"""The settings under which a document is read here: no sender's agreement is known or asked.

What a feed would look up (places, units, processing ids) is taken as it was sent; a gateway with
real feeds may therefore refuse what is readable here, and never the other way round.
"""

import re
from typing import Final

from canonical.item import CodeScheme
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.hl7v2_feed.wire import Feed

ANY: Final = "*"
"""Stands for what only a configured feed knows: the plant, the default location, the source."""

_SCHEMES: Final[dict[str, CodeScheme]] = {
    "https://www.gs1.org/gtin": "gtin",
    "urn:oid:1.3.160": "gtin",
}
_CODE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,40}", re.ASCII)

NOTE: Final = "read without a feed's settings: times without a zone as UTC, places as sent"


class EveryPlace(dict[str, str]):
    """A table of locations in which every place is called what the sender calls it.

    Only codes are: where a place is described in words, they may be about a patient's home.
    """

    def __contains__(self, place: object) -> bool:
        return isinstance(place, str) and bool(place.strip("/"))

    def __missing__(self, place: str) -> str:
        code = place.strip("/")
        return code if _CODE.fullmatch(code) else ANY


def hl7_feed() -> Feed:
    """Return a feed that takes any sender; FT1-10 without a unit counts each."""
    return Feed(
        sending_facility=ANY,
        facility=ANY,
        zone="UTC",
        default_unit="EA",
        processing_ids=("P", "T", "D"),
        locations=EveryPlace(),
    )


def fhir_feed(item_systems: frozenset[str]) -> FhirFeed:
    """Return a feed to which an identifier of any of these systems is an item code."""
    return FhirFeed(
        facility=ANY,
        zone="UTC",
        source=ANY,
        locations=EveryPlace(),
        default_location=ANY,
        identifier_systems={one: _SCHEMES.get(one, "ehr") for one in item_systems},
    )
