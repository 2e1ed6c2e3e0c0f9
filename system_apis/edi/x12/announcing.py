"""Which facts a partner's transaction set announces, and to which story they belong."""

from collections.abc import Callable
from typing import Final

from canonical.order import SyntaxVerdict
from canonical.request import Reference
from ledger.arrival import Announcement
from standards.x12.envelope import InterchangeVerdict, TransactionSet
from system_apis.edi.x12.cancellation import change_answer
from system_apis.edi.x12.mapping import (
    acknowledgement,
    interchange_rejection,
    invoice,
    ship_notices,
    syntax_verdict,
)

Facts = tuple[Announcement, ...]

SENT_ORDER: Final = "sent-order"
"""The name an order has with the supplier it was sent to: nobody else can answer it or ship it.
Who bills it is another question, which accounts payable decides.
"""


def _order_acknowledged(each: TransactionSet, supplier: str) -> Facts:
    answer = acknowledgement(each, supplier)
    return (
        Announcement(
            event="order-acknowledged",
            key=answer.order,
            facts=answer,
            title=f"Order {answer.order} answered by {supplier}",
            joins=(Reference(SENT_ORDER, f"{supplier}:{answer.order}"),),
            must_join=True,
        ),
    )


def _change_answered(each: TransactionSet, supplier: str) -> Facts:
    answer = change_answer(each, supplier)
    name = f"{supplier}:{answer.order}"
    word = "accepted" if answer.accepted else "rejected"
    return (
        Announcement(
            event="order-change-answered",
            key=name,
            facts=answer,
            title=f"Change of order {answer.order} {word} by {supplier}",
            joins=(Reference(SENT_ORDER, name),),
            must_join=True,
        ),
    )


def _shipment_notified(each: TransactionSet, supplier: str) -> Facts:
    return tuple(
        Announcement(
            event="shipment-notified",
            key=notice.order,
            facts=notice,
            title=f"Shipment {notice.number} for order {notice.order}",
            references=(Reference("shipment", notice.number),),
            joins=(Reference(SENT_ORDER, f"{supplier}:{notice.order}"),),
            must_join=True,
        )
        for notice in ship_notices(each, supplier)
    )


def _invoice_received(each: TransactionSet, supplier: str) -> Facts:
    bill = invoice(each, supplier)
    return (
        Announcement(
            event="invoice-received",
            key=bill.order,
            facts=bill,
            title=f"Invoice {bill.number} for order {bill.order}",
            references=(Reference("invoice", bill.number),),
            joins=(Reference("order", bill.order),),
            must_join=True,
        ),
    )


def _verdict_given(each: TransactionSet, supplier: str) -> Facts:
    return (_verdict(syntax_verdict(each), supplier),)


def _verdict(verdict: SyntaxVerdict, supplier: str) -> Announcement:
    key = f"{supplier}:{verdict.group}"
    word = "accepted" if verdict.accepted else "rejected"
    return Announcement(
        event="syntax-verdict",
        key=key,
        facts=verdict,
        title=f"Group {verdict.group} {word} by {supplier}",
        joins=(Reference("x12-group", key),),
        must_join=True,
    )


def rejection_facts(verdicts: tuple[InterchangeVerdict, ...], supplier: str) -> Facts:
    """Return what TA1 segments announce: only that an interchange of ours was rejected."""
    rejections = (interchange_rejection(each) for each in verdicts)
    return tuple(_verdict(each, supplier) for each in rejections if each is not None)


READERS: Final[dict[str, Callable[[TransactionSet, str], Facts]]] = {
    "855": _order_acknowledged,
    "856": _shipment_notified,
    "865": _change_answered,
    "810": _invoice_received,
    "997": _verdict_given,
    "999": _verdict_given,
}
"""The sets we take in; any other one is answered «not supported»."""
