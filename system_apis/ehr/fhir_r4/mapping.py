"""FHIR R4 ⇄ canonical: a documented procedure becomes a usage event, a charge a ChargeItem."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from canonical.charge import ChargeCredit, ChargeReview
from canonical.context import PatientContext
from canonical.errors import NothingToPost, UnsupportedMessage
from canonical.usage import UsageEvent, UsageLine, UsageReversal
from standards.fhir import moments
from standards.fhir.resources import (
    NO_META,
    NO_REFERENCE,
    Annotation,
    ChargeItem,
    CodeableConcept,
    Coding,
    Identifier,
    Known,
    Quantity,
    Reference,
)
from standards.units import codes as units
from system_apis.ehr.fhir_r4.devices import UCUM
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.fhir_r4.people import clinician, location, logical, patient_context
from system_apis.ehr.fhir_r4.references import document
from system_apis.ehr.fhir_r4.story import Story, lines, story, wrong_names

VERSION: Final = "fhir-r4/2"
CHARGE_SYSTEM: Final = "urn:suture:charge-line"
ITEM_SYSTEM: Final = "urn:suture:item"


def usage_facts(
    resource: Known, feed: FhirFeed
) -> tuple[tuple[UsageReversal | UsageEvent, ...], PatientContext]:
    """Say what is taken back and then what was used; pseudonyms and the context token are the
    door's to add.
    """
    told = story(document(resource))
    wrong = wrong_names(told)
    used = lines(told, feed) if told.counts else ()
    if not (used or wrong):
        raise NothingToPost("no device was used", where="$", expected="at least one device")
    facts = list[UsageReversal | UsageEvent]()
    if wrong:
        facts.append(UsageReversal(facility=feed.facility, names=wrong, source=feed.source))
    if used:
        facts.append(_usage(told, used, feed, corrects=bool(wrong)))
    return tuple(facts), patient_context(told, feed)


def _usage(
    told: Story, used: tuple[UsageLine, ...], feed: FhirFeed, *, corrects: bool
) -> UsageEvent:
    return UsageEvent(
        facility=feed.facility,
        location=location(told, feed),
        occurred_at=_occurred_at(told, feed),
        lines=used,
        source=feed.source,
        procedure=_procedure_code(told, feed),
        clinician=clinician(told),
        corrects=corrects,
    )


def charge_item(charge: ChargeReview, line: int, patient: PatientContext, key: str) -> ChargeItem:
    """Return charge line `line` (from 1) as an item that awaits review (status planned).

    The identifier is the idempotency key and the line: a server that honours If-None-Exist creates
    it once.
    """
    charged = charge.lines[line - 1]
    item = CodeableConcept(
        coding=(Coding(system=ITEM_SYSTEM, code=charged.item, display=charged.description),),
        text=charged.description,
    )
    named = (("Lot", charged.lot), ("Serial", charged.serial))
    trace = "; ".join(f"{name} {value}" for name, value in named if value)
    return ChargeItem(
        status="planned",
        identifier=(Identifier(system=CHARGE_SYSTEM, value=f"{key}/{line}"),),
        code=item,
        subject=_subject(patient),
        context=logical("Encounter", patient.encounter),
        occurrence_date_time=charge.occurred_on.isoformat(),
        quantity=Quantity(
            value=charged.quantity.value,
            unit=charged.quantity.unit,
            system=UCUM,
            code=units.to_ucum(charged.quantity.unit),
        ),
        product_codeable_concept=item,
        service=_each(logical("Procedure", patient.procedure_id)),
        account=_each(logical("Account", patient.account)),
        note=(Annotation(text=trace),) if trace else (),
    )


def charge_name(key: str, line: int) -> str:
    """Return the identifier (`system|value`) of charge line `line` of this idempotency key."""
    return f"{CHARGE_SYSTEM}|{key}/{line}"


def credit_item(charged: ChargeItem, credit: ChargeCredit, name: str) -> ChargeItem:
    """Return what takes back a recorded charge in part, or after its review: as much of it with the
    other sign, for the reviewer to see. `name` is the idempotency key and the line.
    """
    return msgspec.structs.replace(
        charged,
        id="",
        meta=NO_META,
        status="planned",
        identifier=(Identifier(system=CHARGE_SYSTEM, value=name),),
        quantity=Quantity(
            value=-credit.quantity.value,
            unit=credit.quantity.unit,
            system=UCUM,
            code=units.to_ucum(credit.quantity.unit),
        ),
        note=(*charged.note, Annotation(text=f"takes back ChargeItem/{credit.id}")),
    )


def _subject(patient: PatientContext) -> Reference:
    """Name the patient, or the visit where the event named only that: R4 wants a subject (1..1)."""
    if patient.patient_id:
        return logical("Patient", patient.patient_id)
    if not patient.encounter:
        raise UnsupportedMessage(
            "a charge needs a patient or a visit and the event named neither",
            where="ChargeItem.subject",
            expected="a patient or visit identifier in the clinical event",
        )
    return Reference(type="Patient", display="the patient of the encounter")


def _each(reference: Reference) -> tuple[Reference, ...]:
    return () if reference == NO_REFERENCE else (reference,)


def _occurred_at(told: Story, feed: FhirFeed) -> datetime:
    zone = ZoneInfo(feed.zone)
    for text, where in _times(told):
        if text:
            return moments.moment(text, zone, where)
    raise UnsupportedMessage(
        "no time of use", where="$", expected="performedDateTime, performedPeriod or timing"
    )


def _times(told: Story) -> list[tuple[str, str]]:
    """List the times a document may state, the procedure's own first."""
    found = list[tuple[str, str]]()
    if told.procedure is not None and told.part is not None:
        place, procedure = told.part.where, told.procedure
        found.append((procedure.performed_date_time, f"{place}.performedDateTime"))
        found.append((procedure.performed_period.start, f"{place}.performedPeriod.start"))
    for statement in told.statements:
        place, use = statement.part.where, statement.use
        found.append((use.timing_date_time, f"{place}.timingDateTime"))
        found.append((use.timing_period.start, f"{place}.timingPeriod.start"))
        found.append((use.recorded_on, f"{place}.recordedOn"))
    return found


def _procedure_code(told: Story, feed: FhirFeed) -> str:
    if told.procedure is None:
        return ""
    codings = told.procedure.code.coding
    wanted = [coding.code for coding in codings if feed.procedure_system in ("", coding.system)]
    return next(iter(wanted), "") or next((coding.code for coding in codings), "")
