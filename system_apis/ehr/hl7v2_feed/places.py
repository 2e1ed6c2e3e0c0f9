"""Where a value may stand, in order of preference, and what its absence means. Pure."""

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from canonical.errors import MalformedMessage, UnknownLocation
from standards.hl7v2.acknowledgement import MISSING
from standards.hl7v2.message import Message, Segment
from standards.hl7v2.values import Precision, timestamp
from system_apis.ehr.hl7v2_feed.wire import GONE, Feed

TIME_OF_DAY: frozenset[Precision] = frozenset({"hour", "minute", "second"})
DAY: frozenset[Precision] = frozenset({"day", "hour", "minute", "second"})

_STATUS = {"AIS": 10, "AIL": 12, "AIP": 12}


class Place(NamedTuple):
    """One component of one field of a segment that may not be there."""

    segment: Segment | None
    field: int
    component: int = 1

    @property
    def value(self) -> str:
        return self.segment.plain(self.field, self.component) if self.segment else ""

    def required(self, name: str) -> str:
        """Return the value, or raise `MalformedMessage` naming `name`."""
        found = self.value
        if not found:
            raise MalformedMessage(MISSING, where=name, expected="a value")
        return found

    def moment(self, name: str, feed: Feed, enough: frozenset[Precision]) -> datetime:
        """Return the point in time in UTC; one that is less exact than `enough` is refused."""
        text = self.required(name)
        found = timestamp(text, ZoneInfo(feed.zone), name)
        if found.precision not in enough:
            least = "the hour" if enough == TIME_OF_DAY else "the day"
            raise MalformedMessage(
                "the time is not exact enough", where=name, expected=f"a time to {least}"
            )
        return found.at


def first_of(*places: Place) -> Place:
    """Return the first place that holds something, or the first place."""
    return next((place for place in places if place.value), places[0])


def standing(message: Message, name: str) -> list[Segment]:
    """Return the resources (AIS, AIL, AIP) that are neither deleted (field 2) nor cancelled."""
    return [
        segment
        for segment in message.segments(name)
        if segment.plain(2) != "D" and segment.plain(_STATUS[name]).upper() not in GONE
    ]


def stock_location(place: Place, feed: Feed, name: str) -> str:
    """Look a PL up by «point of care/room», room, then point of care (HL7 v2 2A.56)."""
    care = Place(place.segment, place.field, 1).value
    room = Place(place.segment, place.field, 2).value
    if not (care or room):
        raise MalformedMessage(MISSING, where=name, expected="a location")
    for code in (f"{care}/{room}", room, care):
        if code in feed.locations:
            return feed.locations[code]
    raise UnknownLocation(
        "the EHR location has no stock location",
        where=name,
        expected="a location in the feed's table",
        fix="add the location to `locations` of this feed",
    )
