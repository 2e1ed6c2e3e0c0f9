"""Who, where and during which visit: the context around a documented procedure."""

from typing import Final

from canonical.context import PatientContext
from canonical.errors import MalformedMessage, UnknownLocation
from standards.fhir.codec import Contained
from standards.fhir.resources import (
    NO_REFERENCE,
    HumanName,
    Identifier,
    Patient,
    Reference,
    Resource,
)
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.fhir_r4.references import last_segment, own_name
from system_apis.ehr.fhir_r4.story import Story

ENCOUNTER_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/encounter-associatedEncounter"
"""How a resource without an encounter element, such as DeviceUseStatement, names its encounter."""

_PRIVATE: Final = frozenset({"Patient", "RelatedPerson"})


def patient_context(told: Story, feed: FhirFeed) -> PatientContext:
    """Gather what names the patient; the visit number is the one HL7 carries in PV1-19."""
    owner, subject = _subject(told)
    target = told.document.target(subject, owner)
    patient = target.resource if target is not None else None
    visit, case = _visit(told, feed), _case_number(told, feed)
    if not (visit or case):
        raise MalformedMessage(
            "usage without a visit or a case", where=owner.where, expected="an encounter"
        )
    return PatientContext(
        patient_id=_name_of(told, subject, owner, literal=True),
        patient_name=_full_name(patient.name) if isinstance(patient, Patient) else subject.display,
        encounter=visit,
        case_number=case,
        procedure_id=_procedure_id(told),
    )


def location(told: Story, feed: FhirFeed) -> str:
    """Return our location for Procedure.location, or the feed's default where none is named."""
    if told.procedure is None or told.part is None or told.procedure.location == NO_REFERENCE:
        if feed.default_location:
            return feed.default_location
        raise UnknownLocation(
            "no location in the document and none for the feed",
            where="$.location",
            expected="Procedure.location",
            fix="set default-location for this feed",
        )
    named = told.procedure.location
    for name in (_name_of(told, named, told.part), last_segment(named), named.display):
        if name in feed.locations:
            return feed.locations[name]
    raise UnknownLocation(
        "the sender's location is not mapped",
        where=f"{told.part.where}.location",
        expected="a location of the feed's table",
        fix="add the sender's location to the feed's locations",
    )


def clinician(told: Story) -> str:
    """Return the first performer's number, '' where the document has none.

    FHIR also lets patients and their relatives perform (Procedure.performer.actor): they are no
    clinicians, and their number belongs into the patient context.
    """
    if told.procedure is None or told.part is None:
        return ""
    actors = (performer.actor for performer in told.procedure.performer)
    found = next((one for one in actors if not _is_private(told, one, told.part)), NO_REFERENCE)
    return _name_of(told, found, told.part)


def _is_private(told: Story, actor: Reference, owner: Contained) -> bool:
    target = told.document.target(actor, owner)
    kinds = {actor.type, *actor.reference.split("/")}
    kinds |= {target.description.resource_type} if target is not None else set()
    return not kinds.isdisjoint(_PRIVATE)


def logical(kind: str, name: str) -> Reference:
    """Point at something outside: by its literal `Kind/id` where known, else by identifier."""
    if not name:
        return NO_REFERENCE
    if name.startswith(f"{kind}/"):
        return Reference(reference=name, type=kind)
    return Reference(type=kind, identifier=Identifier(value=name))


def _subject(told: Story) -> tuple[Contained, Reference]:
    if told.procedure is not None and told.part is not None:
        return told.part, told.procedure.subject
    statement = told.statements[0]
    return statement.part, statement.use.subject


def _visit(told: Story, feed: FhirFeed) -> str:
    if told.procedure is not None and told.part is not None:
        owner, reference = told.part, told.procedure.encounter
        if reference != NO_REFERENCE:
            return _visit_number(told, reference, owner, feed)
    for statement in told.statements:
        for extension in statement.use.extension:
            if extension.url == ENCOUNTER_EXTENSION:
                return _visit_number(told, extension.value_reference, statement.part, feed)
    return ""


def _case_number(told: Story, feed: FhirFeed) -> str:
    identifiers = told.procedure.identifier if told.procedure is not None else ()
    return next(
        (one.value for one in identifiers if feed.case_system and one.system == feed.case_system),
        "",
    )


def _procedure_id(told: Story) -> str:
    return own_name(told.part) if told.part is not None else ""


def _name_of(
    told: Story, reference: Reference, owner: Contained, *, system: str = "", literal: bool = False
) -> str:
    """Return the identifier of what `reference` points at, or else its id; '' where it has none.

    `literal` keeps the whole `Kind/id` where there is no identifier, so that it can be pointed at.
    """
    if reference.identifier.value:
        return reference.identifier.value
    target = told.document.target(reference, owner)
    resource = target.resource if target is not None else None
    if isinstance(resource, Resource):
        named = [one for one in resource.identifier if system in ("", one.system)]
        if named or (resource.id and not literal):
            return named[0].value if named else resource.id
    found = last_segment(reference)
    return "/".join(reference.reference.split("/")[-2:]) if literal and found else found


def _visit_number(told: Story, reference: Reference, owner: Contained, feed: FhirFeed) -> str:
    found = _name_of(told, reference, owner, system=feed.visit_system)
    if not found:
        raise MalformedMessage(
            "a reference that leads nowhere",
            where=f"{owner.where}.encounter",
            expected="an Encounter of the document, Encounter/id, or an identifier",
        )
    return found


def _full_name(names: tuple[HumanName, ...]) -> str:
    if not names:
        return ""
    first = names[0]
    given = " ".join(part for part in first.given if part)
    return first.text or f"{first.family}, {given}".strip(", ")
