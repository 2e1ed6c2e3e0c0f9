"""By when an invoice has to be settled: as urgent as the order it is for."""

import msgspec

from canonical.deadline import Deadline, DeadlineKind, Deadlines, Urgency
from canonical.invoice import Invoice

_FIXES: dict[DeadlineKind, str] = {
    "invoice-exception": "accept, retry after a correction, or reject the invoice",
    "goods-for-invoice": "have the goods counted in, or ask the supplier why they were billed",
}


class Ordered(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the order flow began with, as far as it matters here."""

    urgency: Urgency | None = None


def invoice_due(
    invoice: Invoice, ordered: Ordered | None, kind: DeadlineKind, deadlines: Deadlines
) -> Deadline:
    """Return by when this is due, by the tier of the order."""
    urgency = (ordered.urgency if ordered else None) or Urgency()
    payment = f"payment of {invoice.number} to supplier {invoice.supplier}, order {invoice.order}"
    return Deadline(
        kind=kind,
        tier=urgency.tier,
        within=deadlines.within(urgency.tier, kind),
        affected=urgency.affected(payment),
        owner="accounts-payable",
        fix=_FIXES[kind],
    )
