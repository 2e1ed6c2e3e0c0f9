"""How a receipt is handed in over HTTP."""

from datetime import datetime
from typing import Annotated

import msgspec

from canonical.request import Reference
from canonical.shipment import Receipt, ReceivedLine
from ledger.arrival import Announcement
from ledger.ledger import Ledger
from ledger.submission import Submission, Submitted, hand_in

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Maybe = Annotated[str, msgspec.Meta(max_length=64)]


class ReceiptReport(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What was counted at the dock against one order."""

    order: Text
    received_at: datetime
    lines: Annotated[tuple[ReceivedLine, ...], msgspec.Meta(min_length=1, max_length=500)]
    delivery_note: Maybe = ""


async def report_receipt(
    ledger: Ledger, report: ReceiptReport, *, client: str, body: bytes, idempotency_key: str
) -> Submitted:
    """Keep the report and announce the goods against their order."""
    receipt = Receipt(
        order=report.order,
        received_at=report.received_at,
        lines=report.lines,
        received_by=client,
        delivery_note=report.delivery_note,
    )
    return await hand_in(
        ledger.messages,
        Submission(
            kind="receipt",
            client=client,
            body=body,
            idempotency_key=idempotency_key,
            announcement=Announcement(
                event="goods-received",
                key=report.order,
                facts=receipt,
                title=f"Receipt for order {report.order}",
                joins=(Reference("order", report.order),),
            ),
        ),
    )
