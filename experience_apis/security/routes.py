"""Experience API: the audit trail."""

from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter, SkipValidation

from canonical.errors import Forbidden
from canonical.request import RequestFacts
from experience_apis.security.audit_event import audit_bundle, audit_event
from experience_apis.security.check_routes import check_audit, show_audit_check
from experience_apis.security.export_routes import export_audit_csv, export_audit_fhir
from experience_apis.security.filters import PATIENT_LINKS, SEARCH, Search, audit_row
from experience_apis.security.views import AuditKeySet, AuditPage, PatientLinks, PatientNumbers
from experience_apis.security.wire import AuditBundle
from ledger.audit_trail import Found
from ledger.ledger import Ledger

_PATH = "/experience/v1/security"
Limit = Annotated[int, QueryParameter(ge=1, le=500)]


@get(
    "/audit-events",
    operation_id="listAuditEvents",
    summary="List audit records, newest first",
    scope="experience.security:read",
    data_classes=(),
    dependencies=SEARCH,
)
async def list_audit_events(
    ledger: NamedDependency[SkipValidation[Ledger]],
    search: NamedDependency[SkipValidation[Search]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    limit: Limit = 100,
) -> AuditPage:
    """`next` of a page goes into `after`: records that are added meanwhile shift nothing."""
    found = await ledger.audit.recent(limit=limit + 1, **search.filters)
    facts.object = search.told(found)
    rows = tuple(audit_row(one) for one in found[:limit])
    return AuditPage(items=rows, next=_next(found, limit) or None)


@get(
    "/audit-events/fhir",
    operation_id="listFhirAuditEvents",
    summary="List audit records as FHIR R4 AuditEvents, newest first",
    scope="experience.security:read",
    data_classes=(),
    dependencies=SEARCH,
    media_type="application/fhir+json",
)
async def list_fhir_audit_events(
    ledger: NamedDependency[SkipValidation[Ledger]],
    search: NamedDependency[SkipValidation[Search]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    request: Request[Any, Any, State],
    limit: Limit = 100,
) -> AuditBundle:
    """Return a Bundle of type searchset in the shape of IHE BALP; its link `next` reads on."""
    found = await ledger.audit.recent(limit=limit + 1, **search.filters)
    facts.object = search.told(found)
    asked = [(name, value) for name, value in parse_qsl(request.url.query) if name != "after"]
    events = [audit_event(audit_row(one)) for one in found[:limit]]
    link = f"{_PATH}/audit-events/fhir"
    return audit_bundle(events, link=link, after=_next(found, limit), asked=asked)


@post(
    "/patient-links",
    operation_id="findPatientLinks",
    summary="Find under which pseudonym a case or an encounter is in the trail",
    scope="experience.security:read",
    data_classes=(),
    status_code=200,
)
async def find_patient_links(
    data: JSONBody[PatientNumbers],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> PatientLinks:
    """Take a number as the EHR knows it, in the body because addresses are kept; return what to
    search for with `linked`. The number itself is kept nowhere.
    """
    allowed = facts.principal.facilities if facts.principal else frozenset[str]()
    if allowed and data.facility not in allowed:
        raise Forbidden("the token is not for this facility", where="$.facility")
    name = ledger.vault.pseudonym(data.kind, data.facility, data.number)
    linked = await ledger.audit.names_linked_to(name, PATIENT_LINKS)
    facts.object, facts.facility = name, data.facility
    transactions = tuple(sorted(each for each in linked if each.startswith("tx_")))
    return PatientLinks(name=name, known=len(linked) > 1, transactions=transactions)


@get(
    "/audit-keys",
    operation_id="listAuditKeys",
    summary="List the public keys that sign audit checkpoints",
    scope="experience.security:read",
    data_classes=(),
)
async def list_audit_keys(ledger: NamedDependency[SkipValidation[Ledger]]) -> AuditKeySet:
    """Return a JWK set (RFC 7517) of Ed25519 keys (RFC 8037); checkpoints name them by `kid`."""
    keys = ledger.checkpoints.keys
    return msgspec.convert(keys.jwks() if keys else {"keys": []}, AuditKeySet)


def _next(found: list[Found], limit: int) -> str:
    """Return where the next page begins: a record more than the limit says that there is one."""
    return found[limit - 1].place if len(found) > limit else ""


router = Router(
    _PATH,
    route_handlers=[
        list_audit_events,
        list_fhir_audit_events,
        export_audit_csv,
        export_audit_fhir,
        find_patient_links,
        check_audit,
        show_audit_check,
        list_audit_keys,
    ],
)
