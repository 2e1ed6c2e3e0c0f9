"""Experience API: the audit trail."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from canonical.errors import InvalidRequest
from experience_apis.security.views import AuditPage, AuditRow
from ledger.ledger import Ledger

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Kind = Literal[
    "", "call", "message", "transformation", "approval", "access", "event", "master-data"
]


@get(
    "/audit-events",
    operation_id="listAuditEvents",
    summary="List audit records, newest first",
    scope="experience.security:read",
)
async def list_audit_events(
    ledger: NamedDependency[SkipValidation[Ledger]],
    kind: Annotated[Kind, QueryParameter()] = "",
    actor: Annotated[str, QueryParameter(max_length=128)] = "",
    transaction: Annotated[str, QueryParameter(max_length=64)] = "",
    before: Annotated[str | None, QueryParameter(schema_extra={"format": "date-time"})] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
) -> AuditPage:
    found = await ledger.audit.recent(
        limit=limit, kind=kind, actor=actor, transaction=transaction, before=_moment(before)
    )
    return AuditPage(
        items=tuple(
            AuditRow(id=identifier, at=at, **msgspec.structs.asdict(record))
            for identifier, at, record in found
        )
    )


def _moment(text: str | None) -> datetime | None:
    """Read a moment strictly: parameters are otherwise taken for seconds, or for local time."""
    try:
        return msgspec.convert(text, Moment).astimezone(UTC) if text is not None else None
    except (msgspec.ValidationError, OverflowError) as exc:
        raise InvalidRequest(
            "not a moment", where="before", expected="RFC 3339 with its zone, such as …T08:30:00Z"
        ) from exc


router = Router("/experience/v1/security", route_handlers=[list_audit_events])
