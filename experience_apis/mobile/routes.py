"""Experience API: the mobile inventory app."""

from typing import Annotated, Any

from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter, SkipValidation

from canonical.request import RequestFacts
from canonical.shipment import ReceivedLine
from experience_apis.mobile.ports import Crosswalk, Labels, Places, Shelf
from experience_apis.mobile.views import (
    Availability,
    MobileReceipt,
    MobileUsage,
    ScannedReceipt,
    ScannedUse,
    availability,
)
from ledger.ledger import Ledger
from ledger.submission import Submitted
from process_apis.receiving.intake import ReceiptReport, report_receipt
from process_apis.usage_to_replenishment.intake import ReportedLine, UsageReport, report_usage

Where = Annotated[str, QueryParameter(min_length=1, max_length=64)]
Facility = Annotated[str, QueryParameter(max_length=64)]
IdempotencyKey = Annotated[str, HeaderParameter(name="Idempotency-Key", max_length=128)]


async def facility_meant(
    location: Where, places: NamedDependency[SkipValidation[Places]], facility: Facility = ""
) -> str:
    """Return the facility that was named, else the one that has the location."""
    return facility or await places.facility_of(location)


@get(
    "/items/{code:str}/availability",
    operation_id="showAvailability",
    summary="Scan anything: how much is there",
    scope="experience.mobile:read",
    dependencies={"at_facility": Provide(facility_meant)},
)
async def show_availability(
    code: Annotated[str, PathParameter(max_length=256)],
    location: Where,
    at_facility: NamedDependency[str],
    labels: NamedDependency[SkipValidation[Labels]],
    crosswalk: NamedDependency[SkipValidation[Crosswalk]],
    shelf: NamedDependency[SkipValidation[Shelf]],
) -> Availability:
    """`code` is any barcode: GTIN, UDI, supplier SKU or item number, percent-encoded. `facility`
    may be left out where only one has the location.
    """
    label = labels.read(code)
    item = await shelf.item(await crosswalk.resolve(label.codes))
    level = await shelf.stock(item.id, at_facility, location)
    return availability(item, level, label)


@post(
    "/usage",
    operation_id="scanUsage",
    summary="Hand in what was scanned during a procedure",
    scope="experience.mobile:write",
    status_code=202,
)
async def scan_usage(
    data: JSONBody[MobileUsage],
    request: Request[Any, Any, State],
    labels: NamedDependency[SkipValidation[Labels]],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    idempotency_key: IdempotencyKey = "",
) -> Submitted:
    submitted = await report_usage(
        ledger,
        UsageReport(
            facility=data.facility,
            location=data.location,
            occurred_at=data.occurred_at,
            encounter=data.encounter,
            case_number=data.case_number,
            patient_id=data.patient_id,
            procedure=data.procedure,
            clinician=data.clinician,
            lines=tuple(_used(labels, line) for line in data.lines),
        ),
        client=facts.principal.client if facts.principal else "",
        body=await request.body(),
        idempotency_key=idempotency_key,
    )
    facts.transaction = submitted.transaction
    return submitted


@post(
    "/receipts",
    operation_id="scanReceipt",
    summary="Hand in what was scanned at the dock",
    scope="experience.mobile:write",
    status_code=202,
)
async def scan_receipt(
    data: JSONBody[MobileReceipt],
    request: Request[Any, Any, State],
    labels: NamedDependency[SkipValidation[Labels]],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    idempotency_key: IdempotencyKey = "",
) -> Submitted:
    submitted = await report_receipt(
        ledger,
        ReceiptReport(
            order=data.order,
            received_at=data.received_at,
            delivery_note=data.delivery_note,
            lines=tuple(_received(labels, line) for line in data.lines),
        ),
        client=facts.principal.client if facts.principal else "",
        body=await request.body(),
        idempotency_key=idempotency_key,
    )
    facts.transaction = submitted.transaction
    return submitted


def _used(labels: Labels, line: ScannedUse) -> ReportedLine:
    label = labels.read(line.code)
    return ReportedLine(
        codes=label.codes,
        quantity=line.quantity,
        lot=line.lot or label.lot,
        serial=line.serial or label.serial,
        expires=label.expires,
        reference=line.reference,
    )


def _received(labels: Labels, line: ScannedReceipt) -> ReceivedLine:
    label = labels.read(line.code)
    return ReceivedLine(
        codes=label.codes,
        quantity=line.quantity,
        lot=line.lot or label.lot,
        serials=line.serials or ((label.serial,) if label.serial else ()),
        expires=line.expires or label.expires,
    )


router = Router(
    "/experience/v1/mobile", route_handlers=[show_availability, scan_usage, scan_receipt]
)
