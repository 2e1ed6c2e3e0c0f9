"""Process API: goods receipts."""

from typing import Annotated, Any

from litestar import Request, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody, SkipValidation

from canonical.request import RequestFacts
from ledger.ledger import Ledger
from ledger.submission import Submitted
from process_apis.receiving.intake import ReceiptReport, report_receipt

IdempotencyKey = Annotated[str, HeaderParameter(name="Idempotency-Key", max_length=128)]


@post(
    "/receipts",
    operation_id="reportReceipt",
    summary="Report goods received against an order; the receipt is posted to the ERP",
    scope="process.receipts:write",
    status_code=202,
)
async def accept_receipt(
    data: JSONBody[ReceiptReport],
    request: Request[Any, Any, State],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    idempotency_key: IdempotencyKey = "",
) -> Submitted:
    submitted = await report_receipt(
        ledger,
        data,
        client=facts.principal.client if facts.principal else "",
        body=await request.body(),
        idempotency_key=idempotency_key,
    )
    facts.transaction = submitted.transaction
    return submitted


router = Router("/process/v1", route_handlers=[accept_receipt])
