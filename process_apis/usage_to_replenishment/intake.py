"""How usage comes in over HTTP: the patient is sealed at the door, the event goes on without."""

from datetime import date, datetime
from typing import Annotated

import msgspec

from canonical.context import PatientContext
from canonical.item import ItemCode, Quantity
from canonical.request import Reference
from canonical.usage import UsageEvent, UsageLine
from ledger.arrival import Announcement
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.submission import Submission, Submitted, hand_in

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Maybe = Annotated[str, msgspec.Meta(max_length=64)]


class ReportedLine(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One item used: any codes that name it, the amount, its batch. `reference` is the caller's
    line id.
    """

    codes: Annotated[tuple[ItemCode, ...], msgspec.Meta(min_length=1, max_length=10)]
    quantity: Quantity
    lot: Maybe = ""
    serial: Maybe = ""
    expires: date | None = None
    reference: Maybe = ""


class UsageReport(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Usage in a procedure. `encounter`, `caseNumber` and `patientId` are sealed on arrival."""

    facility: Text
    location: Text
    occurred_at: datetime
    lines: Annotated[tuple[ReportedLine, ...], msgspec.Meta(min_length=1, max_length=200)]
    encounter: Text
    case_number: Maybe = ""
    patient_id: Maybe = ""
    procedure: Maybe = ""
    clinician: Maybe = ""


async def report_usage(
    ledger: Ledger, report: UsageReport, *, client: str, body: bytes, idempotency_key: str
) -> Submitted:
    """Keep the report, seal its patient, announce the usage."""
    token = ledger.vault.new_token()
    encounter = ledger.vault.pseudonym("encounter", report.facility, report.encounter)
    case = ledger.vault.pseudonym("case", report.facility, report.case_number)
    event = msgspec.structs.replace(
        _usage(report, client), case=case, encounter=encounter, context_token=token
    )
    context = PatientContext(
        patient_id=report.patient_id, encounter=report.encounter, case_number=report.case_number
    )
    references = tuple(
        Reference(kind, value)
        for kind, value in (("case", case), ("encounter", encounter))
        if value
    )
    return await hand_in(
        ledger.messages,
        Submission(
            kind="usage",
            client=client,
            body=body,
            idempotency_key=idempotency_key,
            contexts=((token, context),),
            announcement=Announcement(
                event="item-used",
                key=encounter or case or new_id("use"),
                facts=event,
                title=f"Usage in {report.location} of {report.facility}",
                references=references,
                joins=references,
            ),
        ),
    )


def _usage(report: UsageReport, client: str) -> UsageEvent:
    """Return what was used, without anything that names the patient."""
    return UsageEvent(
        facility=report.facility,
        location=report.location,
        occurred_at=report.occurred_at,
        lines=tuple(UsageLine(**msgspec.structs.asdict(line)) for line in report.lines),
        source=client,
        procedure=report.procedure,
        clinician=report.clinician,
    )
