"""Experience API: the audit trail."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Router, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation

from canonical.errors import InvalidRequest
from experience_apis.security.audit_event import audit_bundle, audit_event
from experience_apis.security.views import AuditKeySet, AuditPage, AuditRow
from experience_apis.security.wire import AuditBundle
from ledger.audit_trail import PLACE, Filters, Found
from ledger.ledger import Ledger

_PATH = "/experience/v1/security"
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Limit = Annotated[int, QueryParameter(ge=1, le=500)]
Kind = Literal[
    "",
    "call",
    "message",
    "transformation",
    "approval",
    "access",
    "configuration",
    "event",
    "master-data",
    "retention",
]
AnyEvidence = Literal["", "message", "transformation", "approval", "access"]


async def looked_for(
    kind: Annotated[Kind, QueryParameter()] = "",
    evidence: Annotated[AnyEvidence, QueryParameter()] = "",
    actor: Annotated[str, QueryParameter(max_length=128)] = "",
    transaction: Annotated[str, QueryParameter(max_length=64)] = "",
    before: Annotated[str | None, QueryParameter(schema_extra={"format": "date-time"})] = None,
    after: Annotated[str, QueryParameter(pattern=PLACE)] = "",
) -> Filters:
    """Return what the address asks for; every filter left out is open."""
    return Filters(
        evidence=evidence or None,
        kind=kind,
        actor=actor,
        transaction=transaction,
        before=_moment(before),
        after=after,
    )


@get(
    "/audit-events",
    operation_id="listAuditEvents",
    summary="List audit records, newest first",
    scope="experience.security:read",
    dependencies={"filters": Provide(looked_for)},
)
async def list_audit_events(
    ledger: NamedDependency[SkipValidation[Ledger]],
    filters: NamedDependency[SkipValidation[Filters]],
    limit: Limit = 100,
) -> AuditPage:
    """`next` of a page goes into `after`: records that are added meanwhile shift nothing."""
    found = await ledger.audit.recent(limit=limit + 1, **filters)
    rows = tuple(audit_row(one) for one in found[:limit])
    return AuditPage(items=rows, next=_next(found, limit) or None)


@get(
    "/audit-events/fhir",
    operation_id="listFhirAuditEvents",
    summary="List audit records as FHIR R4 AuditEvents, newest first",
    scope="experience.security:read",
    dependencies={"filters": Provide(looked_for)},
    media_type="application/fhir+json",
)
async def list_fhir_audit_events(
    ledger: NamedDependency[SkipValidation[Ledger]],
    filters: NamedDependency[SkipValidation[Filters]],
    request: Request[Any, Any, State],
    limit: Limit = 100,
) -> AuditBundle:
    """Return a Bundle of type searchset in the shape of IHE BALP; its link `next` reads on."""
    found = await ledger.audit.recent(limit=limit + 1, **filters)
    asked = [(name, value) for name, value in parse_qsl(request.url.query) if name != "after"]
    events = [audit_event(audit_row(one)) for one in found[:limit]]
    link = f"{_PATH}/audit-events/fhir"
    return audit_bundle(events, link=link, after=_next(found, limit), asked=asked)


@get(
    "/audit-keys",
    operation_id="listAuditKeys",
    summary="List the public keys that sign audit checkpoints",
    scope="experience.security:read",
)
async def list_audit_keys(ledger: NamedDependency[SkipValidation[Ledger]]) -> AuditKeySet:
    """Return a JWK set (RFC 7517) of Ed25519 keys (RFC 8037); checkpoints name them by `kid`."""
    keys = ledger.checkpoints.keys
    return msgspec.convert(keys.jwks() if keys else {"keys": []}, AuditKeySet)


def _next(found: list[Found], limit: int) -> str:
    """Return where the next page begins: a record more than the limit says that there is one."""
    return found[limit - 1].place if len(found) > limit else ""


def audit_row(found: Found) -> AuditRow:
    told = found.evidence
    fields = msgspec.structs.asdict(told)
    return AuditRow(id=found.id, at=found.at, evidence=told.evidence, **fields)


def _moment(text: str | None) -> datetime | None:
    """Read a moment strictly: parameters are otherwise taken for seconds, or for local time."""
    try:
        return msgspec.convert(text, Moment).astimezone(UTC) if text is not None else None
    except (msgspec.ValidationError, OverflowError) as exc:
        raise InvalidRequest(
            "not a moment", where="before", expected="RFC 3339 with its zone, such as …T08:30:00Z"
        ) from exc


router = Router(_PATH, route_handlers=[list_audit_events, list_fhir_audit_events, list_audit_keys])
