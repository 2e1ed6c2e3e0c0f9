"""An order is taken back: X12 860 out, and the supplier's answer to it, X12 865, in."""

from typing import Final

from canonical.errors import UnsupportedMessage
from canonical.order import ChangeAnswer, PurchaseOrder
from canonical.supplier import TradingPartner
from standards.x12.envelope import Segment, TransactionSet
from system_apis.edi.x12.wire import named_code, only, placed

_CANCELS: Final = "01"
_ANSWERS: Final = frozenset({"00", "06", "11"})
"""BCA01 (data element 353): original, confirmation and response. Any other one is a wish of the
supplier's own.
"""

_AGREES: Final = frozenset({"AD", "AK", "AT"})
"""BCA02 (data element 587): acknowledged or accepted as it is. With changes it is not cancelled."""


def cancellation_860(order: PurchaseOrder, partner: TradingPartner) -> tuple[Segment, ...]:
    """Return the content of an 860 that cancels a whole order, between ST and SE."""
    return (
        ["BCH", _CANCELS, "SA", order.number, "", "", f"{order.ordered_on:%Y%m%d}"],
        ["N1", "BY", "", "92", named_code(partner.own_application_id)],
        ["N1", "SE", "", "92", named_code(order.supplier)],
        ["CTT", "0"],
    )


def change_answer(each: TransactionSet, supplier: str) -> ChangeAnswer:
    """Read an 865 that answers our 860; one in which the supplier asks for a change is refused."""
    opening = only(placed(each), "BCA")
    if opening.required(1) not in _ANSWERS:
        raise UnsupportedMessage(
            "the supplier asks to change an order",
            where=f"BCA01 in segment {opening.position}",
            expected="an answer to our own change: 00, 06 or 11",
            fix="settle it with the supplier",
        )
    said = opening.required(2)
    return ChangeAnswer(
        order=opening.required(3),
        supplier=supplier,
        accepted=said in _AGREES,
        note="" if said in _AGREES else f"the supplier answers {said}",
    )
