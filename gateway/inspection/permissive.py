"""The settings under which a document is read here: no sender's agreement is known or asked.

What a feed would look up (places, units, processing ids) is taken as it was sent; a gateway with
real feeds may therefore refuse what is readable here, and never the other way round.
"""

from typing import Final

from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.hl7v2_feed.wire import Feed

ANY: Final = "*"
"""Stands for what only a configured feed knows: the plant, the default location, the source."""

NOTE: Final = "read without a feed's settings: times without a zone as UTC, places as sent"


class EveryPlace(dict[str, str]):
    """A table of locations in which every place is called what the sender calls it."""

    def __contains__(self, place: object) -> bool:
        return isinstance(place, str) and bool(place.strip("/"))

    def __missing__(self, place: str) -> str:
        return place.strip("/")


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
    """Return a feed to which an identifier of any of these systems is the EHR's item code."""
    return FhirFeed(
        facility=ANY,
        zone="UTC",
        source=ANY,
        locations=EveryPlace(),
        default_location=ANY,
        identifier_systems=dict.fromkeys(item_systems, "ehr"),
    )
