"""Experience API: verifying the trail, as a job whose progress is asked for."""

from typing import Annotated

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from canonical.request import RequestFacts
from experience_apis.security.views import AuditCheckView
from ledger.audit_checks import AuditCheck
from ledger.ledger import Ledger


@post(
    "/audit-checks",
    operation_id="checkAudit",
    summary="Have every chain and every checkpoint of the trail verified",
    scope="experience.security:read",
    data_classes=(),
    status_code=202,
)
async def check_audit(
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> AuditCheckView:
    """Ask for its `id` until `status` is done: a worker does it."""
    check = await ledger.audit_checks.open(facts.principal.actor if facts.principal else "")
    facts.object = check.id
    return _view(check)


@get(
    "/audit-checks/{check_id:str}",
    operation_id="showAuditCheck",
    summary="Show how far a verification is, and what does not hold",
    scope="experience.security:read",
    data_classes=(),
)
async def show_audit_check(
    check_id: Annotated[str, PathParameter(max_length=64)],
    ledger: NamedDependency[SkipValidation[Ledger]],
) -> AuditCheckView:
    """Of each chain that does not hold the first break is named: which record, and how."""
    return _view(await ledger.audit_checks.one(check_id))


def _view(check: AuditCheck) -> AuditCheckView:
    return msgspec.convert(check, AuditCheckView, from_attributes=True)
