"""Audit records as FHIR R4 AuditEvents in the shape of IHE BALP (Basic Audit Log Patterns).

A call that succeeded follows BALP Read, Create or Update, and names that profile. What BALP has no
profile for is said with its vocabulary: DICOM event ids, ISO 21089 lifecycle events. Where the
address of a caller is not recorded, `network` has a data-absent-reason. Patients are never in a
record. The configuration that was in force is one of the policies of the acting agent.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from canonical.errors import Failure
from experience_apis.security.views import AuditRow
from experience_apis.security.wire import (
    Agent,
    AuditBundle,
    AuditEvent,
    BundleEntry,
    BundleLink,
    Coding,
    Concept,
    Detail,
    Entity,
    Identifier,
    Meta,
    Network,
    Reference,
    Source,
)

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_REST = "http://hl7.org/fhir/restful-interaction"
_EVENT = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_BALP = "https://profiles.ihe.net/ITI/BALP"
_TRANSACTION = "urn:suture:transaction"
_SUCCESS, _MINOR, _SERIOUS = "0", "4", "8"


class _Pattern(NamedTuple):
    """How one sort of record is said. `inward` is whether its actor sends and Suture receives."""

    type: Coding
    subtype: Coding
    action: str
    inward: bool = True
    profile: str = ""


def _dicom(code: str, display: str) -> Coding:
    return Coding(system=_DCM, code=code, display=display)


def _lifecycle(code: str) -> Coding:
    return Coding(system=_LIFECYCLE, code=code)


_CLIENT_SENDS, _SERVER_SENDS = True, False
_ACTIVITY = _dicom("110100", "Application Activity")
_EXPORT = _dicom("110106", "Export")
_OPERATION = Coding(system=_EVENT, code="rest", display="Restful Operation")
_AUTHENTICATION = _dicom("110114", "User Authentication")
_ALERT = _dicom("110113", "Security Alert")

_KINDS = {
    "message": _Pattern(_dicom("110107", "Import"), _lifecycle("receive"), "C"),
    "event": _Pattern(_EXPORT, _lifecycle("transmit"), "R", _SERVER_SENDS),
    "transformation": _Pattern(_ACTIVITY, _lifecycle("transform"), "E"),
    "approval": _Pattern(_ACTIVITY, _lifecycle("attest"), "E"),
    "master-data": _Pattern(_ACTIVITY, _lifecycle("amend"), "U"),
    "access": _Pattern(_dicom("110110", "Patient Record"), _lifecycle("access"), "R"),
}
_SENT = _Pattern(_EXPORT, _lifecycle("transmit"), "R", _SERVER_SENDS)
_TOKEN = _Pattern(_AUTHENTICATION, _dicom("110122", "Login"), "E")
_RIGHTS = _Pattern(_ALERT, _dicom("110136", "Security Roles Changed"), "U")


def _interaction(code: str) -> Coding:
    return Coding(system=_REST, code=code, display=code)


_METHODS = {
    "GET": _Pattern(_OPERATION, _interaction("read"), "R", _SERVER_SENDS, "Read"),
    "HEAD": _Pattern(_OPERATION, _interaction("read"), "R", _SERVER_SENDS, "Read"),
    "POST": _Pattern(_OPERATION, _interaction("create"), "C", _CLIENT_SENDS, "Create"),
    "PUT": _Pattern(_OPERATION, _interaction("update"), "U", _CLIENT_SENDS, "Update"),
    "PATCH": _Pattern(_OPERATION, _interaction("patch"), "U", _CLIENT_SENDS, "Update"),
    "DELETE": _Pattern(_OPERATION, _interaction("delete"), "D"),
}
_OTHER_METHOD = _Pattern(_OPERATION, _interaction("operation"), "E")

_SENDS, _RECEIVES = _dicom("110153", "Source Role ID"), _dicom("110152", "Destination Role ID")
_GOOD = {"done", "received", "sent", "published", "resolved", "granted", "raised", "ok"}


def audit_event(told: AuditRow) -> AuditEvent:
    """Return the AuditEvent of one record."""
    pattern, outcome = _pattern(told), _outcome(told)
    profile = f"{_BALP}/StructureDefinition/IHE.BasicAudit.{pattern.profile}"
    return AuditEvent(
        id=told.id.replace("_", "-").replace(":", "."),
        meta=Meta(profile=(profile,)) if pattern.profile and outcome == _SUCCESS else None,
        type=pattern.type,
        subtype=(pattern.subtype,),
        action=pattern.action,
        recorded=told.at,
        outcome=outcome,
        outcome_desc="" if outcome == _SUCCESS else told.outcome,
        agent=_agents(told, pattern),
        purpose_of_event=(Concept(text=told.purpose),) if told.purpose else (),
        source=Source(
            site=told.facility,
            observer=Reference(display="Suture"),
            type=(Coding(system=_SOURCE, code="4", display="Application Server"),),
        ),
        entity=tuple(_entities(told)),
    )


def _pattern(told: AuditRow) -> _Pattern:
    if told.kind == "call":
        return _METHODS.get(told.action.partition(" ")[0], _OTHER_METHOD)
    if told.kind == "message" and told.action.startswith("send "):
        return _SENT
    if told.kind == "access" and not told.transaction:
        return _TOKEN if told.action == "token request" else _RIGHTS
    return _KINDS.get(told.kind, _KINDS["transformation"])


def _outcome(told: AuditRow) -> str:
    """Return success, minor failure (the caller's) or serious failure (anybody else's)."""
    said = told.detail.get("status", "") if told.kind == "call" else ""
    status = int(said) if said.isdecimal() else _statuses().get(told.outcome, 0)
    if status == 0 and (told.kind == "call" or told.outcome not in _GOOD):
        # A call without a status died before it was answered; other words say what was refused.
        return _SERIOUS if told.kind == "call" else _MINOR
    first_refusal, first_fault = 400, 500
    if status < first_refusal:
        return _SUCCESS
    return _MINOR if status < first_fault else _SERIOUS


def _statuses() -> dict[str, int]:
    found, classes = dict[str, int](), [Failure]
    while classes:
        failure = classes.pop()
        found[failure.slug] = failure.status
        classes += failure.__subclasses__()
    return found


def _agents(told: AuditRow, pattern: _Pattern) -> tuple[Agent, ...]:
    who = Reference(identifier=Identifier(value=told.actor)) if told.actor else None
    acting = Agent(
        type=_concept(_SENDS if pattern.inward else _RECEIVES),
        who=who or Reference(display="unknown"),
        requestor=True,
        policy=tuple(_policies(told)),
        network=Network(address=told.address, type="2") if told.address else Network.unknown(),
    )
    other = told.detail.get("to", "")
    ours = Agent(
        type=_concept(_RECEIVES if pattern.inward else _SENDS),
        who=Reference(display="Suture"),
        requestor=False,
    )
    if pattern is _SENT and other:  # Suture sends to a partner: nobody asked from outside
        partner = Reference(identifier=Identifier(value=other))
        acting = msgspec.structs.replace(acting, who=partner, requestor=False)
        ours = msgspec.structs.replace(ours, requestor=True)
    return (acting, ours, *_programs(told))


def _policies(told: AuditRow) -> Iterator[str]:
    if token := told.detail.get("token", ""):
        yield f"urn:ietf:params:oauth:jti:{token}"
    if told.policy:
        yield f"urn:suture:policy:{told.policy}"


def _programs(told: AuditRow) -> Iterator[Agent]:
    """Yield the program that a person works with."""
    if told.client:
        application = _dicom("110150", "Application")
        who = Reference(identifier=Identifier(value=told.client))
        yield Agent(type=_concept(application), who=who, requestor=False)


def _concept(coding: Coding) -> Concept:
    return Concept(coding=(coding,))


def _entities(told: AuditRow) -> Iterator[Entity]:
    subject = told.action.partition(" ")[2] if told.kind == "call" else told.object
    yield Entity(
        what=Reference(identifier=Identifier(value=subject))
        if subject
        else Reference(display=told.action),
        type=Coding(system=_ENTITY, code="2", display="System Object"),
        role=Coding(system=_ROLE, code="4", display="Domain Resource"),
        detail=tuple(_details(told)),
    )
    if told.correlation_id:
        yield Entity(
            what=Reference(identifier=Identifier(value=told.correlation_id)),
            type=Coding(system=f"{_BALP}/CodeSystem/BasicAuditEntityType", code="XrequestId"),
        )
    if told.transaction:
        yield Entity(
            what=Reference(identifier=Identifier(system=_TRANSACTION, value=told.transaction)),
            type=Coding(system="urn:suture:audit-entity", code="transaction"),
        )


def _details(told: AuditRow) -> Iterator[Detail]:
    if told.kind != "call":
        yield Detail(type="action", value_string=told.action or told.kind)
    elif told.object:
        yield Detail(type="object", value_string=told.object)
    for name, value in told.detail.items():
        if value and name != "token":
            yield Detail(type=name, value_string=value)


def audit_bundle(
    events: Sequence[AuditEvent], *, link: str, after: str, asked: Sequence[tuple[str, str]]
) -> AuditBundle:
    """Return a Bundle of type searchset.

    `link` and what was `asked` make the address of the next page; `after` is where this one ends,
    '' where it is the last.
    """
    entries = tuple(BundleEntry(resource=event) for event in events)
    more = f"{link}?{urlencode([*asked, ('after', after)])}"
    links = (BundleLink(relation="next", url=more),) if after else ()
    return AuditBundle(type="searchset", link=links, entry=entries)
