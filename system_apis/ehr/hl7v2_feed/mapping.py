"""HL7 v2 into canonical words: SIU into surgical cases, DFT into usage events. Pure.

Patient-linked values (PID, visit, account, case number, PR1-19) go into the PatientContext only.
A value that is missing or ambiguous is a failure that names its field, never a default.
"""

from datetime import datetime
from typing import NamedTuple

from canonical.case import CaseChange, SurgicalCase
from canonical.context import PatientContext
from canonical.errors import MalformedMessage, NothingToPost, UnknownLocation, UnsupportedMessage
from canonical.usage import UsageEvent, UsageLine, UsageReversal
from standards.hl7v2.acknowledgement import MISSING
from standards.hl7v2.message import Group, Message, Segment
from system_apis.ehr.hl7v2_feed.charges import takes_back, usage_lines
from system_apis.ehr.hl7v2_feed.devices import at_place
from system_apis.ehr.hl7v2_feed.places import (
    DAY,
    TIME_OF_DAY,
    Place,
    first_of,
    standing,
    stock_location,
)
from system_apis.ehr.hl7v2_feed.wire import (
    BLOCKED_SLOTS,
    CHANGES,
    GONE,
    SURGEONS,
    USAGE_EVENTS,
    Feed,
)

VERSION = "hl7v2-feed/2"

_AFTER_CHARGES = frozenset({"GT1", "IN1", "ACC"})


def surgical_case(message: Message, feed: Feed) -> tuple[SurgicalCase, PatientContext]:
    """Map SIU S12 to S26 (HL7 v2 10.4): the case without its patient, and the patient apart."""
    _admit(message, feed)
    schedule = message.first("SCH")
    change = _change(message, schedule)
    number = first_of(Place(schedule, 2), Place(schedule, 1)).required("SCH-2")
    service = next(iter(standing(message, "AIS")), None)
    procedure = first_of(Place(service, 3), Place(message.first("PR1"), 3), Place(schedule, 7))
    start = first_of(Place(service, 4), Place(schedule, 11, 4), Place(message.first("TQ1"), 7))
    cancelled = change == "cancelled"
    case = SurgicalCase(
        facility=feed.facility,
        location=_room(message, feed, cancelled=cancelled),
        procedure=procedure.value if cancelled else procedure.required("AIS-3.1"),
        procedure_name=procedure._replace(component=2).value,
        scheduled_at=start.moment(_name(start, "AIS-4"), feed, TIME_OF_DAY),
        surgeon=_surgeon(message),
        change=change,
    )
    return case, _context(message, number)


def usage_facts(
    message: Message, feed: Feed
) -> tuple[tuple[UsageReversal | UsageEvent, ...], PatientContext]:
    """Map DFT P03 and P11 (HL7 v2 6.4): each charge with its segments becomes usage lines, each
    credit lines that are taken back. Where a message has both it is a correction: what it takes
    back comes first.
    """
    _admit(message, feed)
    if message.event not in USAGE_EVENTS:
        raise UnsupportedMessage("not a charge event", where="MSH-9.2", expected="P03 or P11")
    issuer = message.text("MSH", 4, 1, 1)
    charged, credited = list[_Charge](), list[_Charge]()
    for group in message.groups("FT1", until=_AFTER_CHARGES):
        if found := usage_lines(group, feed, issuer):
            kept = credited if takes_back(group.leader) else charged
            kept.append(_Charge(group, found))
    if not (charged or credited):
        raise NothingToPost(
            "no charge names a supply", where="FT1", expected="an FT1 of type CG with an item"
        )
    facts = list[UsageReversal | UsageEvent]()
    if credited:
        facts.append(_reversal(message, credited, feed))
    if charged:
        facts.append(_usage(message, charged, feed, corrects=bool(credited)))
    groups = [one.group for one in (*charged, *credited)]
    return tuple(facts), _charged_context(message, groups, feed)


class _Charge(NamedTuple):
    """One FT1 with its segments, and the lines it charges or takes back."""

    group: Group
    lines: list[UsageLine]


def _source(message: Message) -> str:
    return f"{message.text('MSH', 3, 1, 1)}|{message.text('MSH', 4, 1, 1)}"


def _reversal(message: Message, credited: list[_Charge], feed: Feed) -> UsageReversal:
    return UsageReversal(
        facility=feed.facility,
        occurred_at=_earliest(credited, feed),
        lines=tuple(line for one in credited for line in one.lines),
        source=_source(message),
    )


def _usage(message: Message, charged: list[_Charge], feed: Feed, *, corrects: bool) -> UsageEvent:
    groups = [one.group for one in charged]
    return UsageEvent(
        facility=feed.facility,
        location=_charged_location(message, groups, feed),
        occurred_at=_earliest(charged, feed),
        lines=tuple(line for one in charged for line in one.lines),
        source=_source(message),
        procedure=_procedure(message, groups).value,
        clinician=first_of(*(Place(one.leader, 20) for one in groups)).value,
        cost_center=_only(
            {Place(one.leader, 13).value for one in groups} - {""}, "FT1-13", "departments"
        ),
        corrects=corrects,
    )


def _earliest(charges: list[_Charge], feed: Feed) -> datetime:
    leaders = (one.group.leader for one in charges)
    return min(Place(one, 4).moment(one.place(4), feed, DAY) for one in leaders)


def _admit(message: Message, feed: Feed) -> None:
    """Refuse what is not meant for a production system or is no HL7 v2 (MSH-11, MSH-12)."""
    processing = message.text("MSH", 11, 1)
    if processing and processing not in feed.processing_ids:
        raise UnsupportedMessage(
            "this feed does not take messages of that processing id",
            where="MSH-11",
            expected=" or ".join(feed.processing_ids),
            fix="correct the sender, or add the id to `processing-ids` of the feed",
        )
    version = message.text("MSH", 12, 1)
    if version and version.split(".")[0] != "2":
        raise UnsupportedMessage("not HL7 v2", where="MSH-12", expected="2.1 to 2.9")


def _change(message: Message, schedule: Segment | None) -> CaseChange:
    """Say what happens to the case: by the event, or by SCH-25 when that says it is off."""
    event = message.event
    if event not in CHANGES:
        raise UnsupportedMessage(
            "a blocked slot concerns no case" if event in BLOCKED_SLOTS else "no scheduling event",
            where="MSH-9.2",
            expected="S12 to S22, or S26",
        )
    return "cancelled" if Place(schedule, 25).value.upper() in GONE else CHANGES[event]


def _name(place: Place, otherwise: str) -> str:
    """Name the place a value came from, or the one where it is missed most."""
    if place.segment is None or not place.value:
        return otherwise
    return place.segment.place(place.field, place.component if place.component > 1 else 0)


def _room(message: Message, feed: Feed, *, cancelled: bool) -> str:
    """Return where the case takes place: AIL-3, else PV1-3. A cancelled case needs none."""
    rooms = (*standing(message, "AIL"), message.first("PV1"))
    places = [Place(one, 3, part) for one in rooms for part in (1, 2)]
    place = first_of(*places)
    try:
        return stock_location(place, feed, _name(place._replace(component=1), "AIL-3"))
    except (MalformedMessage, UnknownLocation):
        if cancelled:
            return ""
        raise


def _surgeon(message: Message) -> str:
    staff = [one for one in standing(message, "AIP") if one.plain(3)]
    for one in staff:
        if {one.plain(4).upper(), one.plain(4, 2).upper()} & SURGEONS:
            return one.plain(3)
    return staff[0].plain(3) if staff else ""


def _context(message: Message, case: str, procedure_id: str = "") -> PatientContext:
    person, visit = message.first("PID"), message.first("PV1")
    names = [Place(person, 5, part).value for part in (1, 2)]
    return PatientContext(
        patient_id=_medical_record(person),
        patient_name=", ".join(name for name in names if name),
        encounter=first_of(Place(visit, 19), Place(person, 18)).value,
        account=Place(person, 18).value,
        case_number=case,
        procedure_id=procedure_id,
    )


def _charged_context(message: Message, groups: list[Group], feed: Feed) -> PatientContext:
    """Require that a charge says whose it is: a visit, an account or a case."""
    case = ""
    if place := feed.places.get("case-number"):
        found = {at_place(one, place) for one in message.segments(place[:3])} - {""}
        case = _only(found, place, "cases")
    identified = [Place(one, 19) for one in _procedures(message, groups)]
    context = _context(message, case, first_of(*identified, Place(None, 19)).value)
    if not (context.encounter or context.case_number):
        raise MalformedMessage(MISSING, where="PV1-19", expected="the visit that was charged")
    return context


def _medical_record(person: Segment | None) -> str:
    """Return the PID-3 repetition of type MR, or the first (HL7 table 0203)."""
    if person is None:
        return ""
    for repetition in range(person.repetitions(3)):
        if person.plain(3, 5, repetition) == "MR":
            return person.plain(3, 1, repetition)
    return person.plain(3)


def _procedures(message: Message, groups: list[Group]) -> list[Segment]:
    return [pr1 for one in groups for pr1 in one.every("PR1")] or message.segments("PR1")


def _procedure(message: Message, groups: list[Group]) -> Place:
    return first_of(
        *(Place(one.leader, 25) for one in groups),
        *(Place(one, 3) for one in _procedures(message, groups)),
    )


def _charged_location(message: Message, groups: list[Group], feed: Feed) -> str:
    """Return where the stock was: FT1-16, the same in every line, else PV1-3."""
    charged = [
        place
        for one in groups
        if (place := first_of(Place(one.leader, 16), Place(one.leader, 16, 2))).value
    ]
    places = charged or [Place(message.first("PV1"), 3)]
    found = {stock_location(one, feed, _name(one._replace(component=1), "PV1-3")) for one in places}
    return _only(found, "FT1-16", "stock locations")


def _only(found: set[str], where: str, what: str) -> str:
    """Return the one value there is, or ''; several cannot travel in one event."""
    if len(found) > 1:
        raise UnsupportedMessage(
            f"the charges of one message name several {what}",
            where=where,
            expected="one message for each",
            fix=f"have the sender split the message by {what}",
        )
    return next(iter(found), "")
