"""Experience API: the evidence as a file. Read page by page while it is sent: nothing is held."""

from collections.abc import AsyncGenerator, Callable

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.response import Stream

from canonical.request import RequestFacts
from experience_apis.security.audit_event import audit_event
from experience_apis.security.csv_views import HEAD, csv_line
from experience_apis.security.filters import SEARCH, Search, audit_row
from experience_apis.security.views import AuditRow
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger

_PAGE = 500
_CSV, _NDJSON = "text/csv; charset=utf-8; header=present", "application/fhir+ndjson"


@get(
    "/audit-events/csv",
    operation_id="exportAuditCsv",
    summary="Export audit records as CSV (RFC 4180), newest first",
    scope="experience.security:read",
    data_classes=(),
    dependencies=SEARCH,
    media_type="text/csv",
)
async def export_audit_csv(
    ledger: NamedDependency[SkipValidation[Ledger]],
    search: NamedDependency[SkipValidation[Search]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Stream:
    """Return everything that is found, with a line of names first. No cell is taken for a formula
    by a spreadsheet: one that could be begins with an apostrophe.
    """
    lines = _Export(ledger, search, facts, "CSV").lines(csv_line, HEAD)
    return _file(lines, _CSV, "audit.csv")


@get(
    "/audit-events/ndjson",
    operation_id="exportAuditFhir",
    summary="Export audit records as FHIR R4 AuditEvents, one a line, newest first",
    scope="experience.security:read",
    data_classes=(),
    dependencies=SEARCH,
    media_type=_NDJSON,
)
async def export_audit_fhir(
    ledger: NamedDependency[SkipValidation[Ledger]],
    search: NamedDependency[SkipValidation[Search]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Stream:
    """Return everything that is found in the shape of IHE BALP, as FHIR Bulk Data writes it."""
    lines = _Export(ledger, search, facts, "FHIR").lines(_fhir_line)
    return _file(lines, _NDJSON, "audit.ndjson")


def _file(lines: AsyncGenerator[bytes], media_type: str, name: str) -> Stream:
    headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="{name}"'}
    return Stream(lines, media_type=media_type, headers=headers)


def _fhir_line(row: AuditRow) -> bytes:
    return msgspec.json.encode(audit_event(row)) + b"\n"


class _Export:
    """One export: what was found, and the record that it was taken."""

    def __init__(self, ledger: Ledger, search: Search, facts: RequestFacts, form: str) -> None:
        self._ledger = ledger
        self._search = search
        self._facts = facts
        self._form = form
        facts.object = search.told(())

    async def lines(
        self, line: Callable[[AuditRow], bytes], head: bytes = b""
    ) -> AsyncGenerator[bytes]:
        filters, records = self._search.filters, 0
        if head:
            yield head
        while found := await self._ledger.audit.recent(limit=_PAGE, **filters):
            yield b"".join(line(audit_row(one)) for one in found)
            records += len(found)
            if len(found) < _PAGE:
                break
            filters["after"] = found[-1].place
        await self._note(records)

    async def _note(self, records: int) -> None:
        who = self._facts.principal
        await self._ledger.record(
            Evidence(
                kind="access",
                actor=who.actor if who else "",
                action=f"export audit records as {self._form}",
                outcome="done",
                object=self._search.told(range(records)),
                detail={"records": str(records)},
            )
        )
