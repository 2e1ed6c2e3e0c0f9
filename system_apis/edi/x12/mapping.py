"""Orders out and answers in: canonical to X12 850, X12 855 and 997/999 to canonical.

Ship notices and invoices are read in `ship_notice.py` and `invoice.py`. No cost centre, no case
and nothing of a patient goes to a supplier.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from canonical.errors import UnsupportedMessage
from canonical.money import Money
from canonical.order import (
    AcknowledgedLine,
    AcknowledgedStatus,
    Acknowledgement,
    OrderLine,
    PurchaseOrder,
    SyntaxVerdict,
)
from canonical.supplier import TradingPartner
from standards.units.codes import to_x12
from standards.x12.envelope import InterchangeVerdict, Segment, TransactionSet
from standards.x12.writer import plain_text
from system_apis.edi.x12.invoice import invoice
from system_apis.edi.x12.ship_notice import ship_notices
from system_apis.edi.x12.wire import Placed, named, named_code, only, placed, supplier_sku_of

__all__ = [
    "VERSION",
    "acknowledgement",
    "interchange_rejection",
    "invoice",
    "purchase_order_850",
    "ship_notices",
    "syntax_verdict",
]

VERSION: Final = "x12/1"

_LINE_STATUS: Final[dict[str, tuple[AcknowledgedStatus, str]]] = {
    "AA": ("accepted", "forwarded to an alternate supplier location"),
    "AC": ("accepted", "shipped"),
    "AR": ("accepted", "released for shipment"),
    "BP": ("backordered", "partly shipped, the balance backordered"),
    "DR": ("accepted-with-changes", "date rescheduled"),
    "IA": ("accepted", ""),
    "IB": ("backordered", ""),
    "IC": ("accepted-with-changes", "changes made"),
    "ID": ("rejected", "item deleted"),
    "IE": ("accepted-with-changes", "price pending"),
    "IF": ("accepted-with-changes", "on hold, incomplete description"),
    "IH": ("accepted-with-changes", "on hold"),
    "IP": ("price-changed", ""),
    "IQ": ("quantity-changed", ""),
    "IR": ("rejected", ""),
    "IS": ("substituted", ""),
    "IW": ("accepted-with-changes", "on hold, waiver required"),
    "R1": ("rejected", "not a contract item"),
    "R2": ("rejected", "invalid item product number"),
    "R3": ("rejected", "invalid unit of issue"),
    "R4": ("rejected", "contract item not available"),
    "R5": ("rejected", "reorder as a just-in-time order"),
    "R6": ("rejected", "reorder as an extended delivery order"),
    "R7": ("rejected", "reorder as a drop shipment"),
    "R8": ("rejected", "reorder as a surge order"),
    "R9": ("rejected", "item discontinued"),
    "SP": ("accepted-with-changes", "schedule date pending"),
}
"""ACK01 (data element 668)."""

_REFUSING: Final = frozenset({"RD", "RF", "RJ", "RN", "RO", "RV"})
"""BAK02 (data element 587) values that reject the order."""

_REVOKING: Final = frozenset({"01", "03"})
"""BAK01 (data element 353): cancellation and deletion."""

_SHIP_DATES: Final = frozenset({"010", "011", "068", "079"})
"""ACK04 (data element 374): requested, shipped, scheduled and promised for shipment."""


def purchase_order_850(
    order: PurchaseOrder, partner: TradingPartner, *, contract: str = ""
) -> tuple[Segment, ...]:
    """Return the content of an 850 between ST and SE (X12 850, releases 004010 and 005010)."""
    opening: list[Segment] = [
        ["BEG", "00", "SA", order.number, "", f"{order.ordered_on:%Y%m%d}"],
        ["CUR", "BY", order.total.currency],
    ]
    if contract:
        opening.append(["REF", "CT", contract])
    opening += [
        ["DTM", "002", f"{order.needed_on:%Y%m%d}"],
        ["N1", "BY", "", "92", named_code(partner.own_application_id)],
        ["N1", "SE", "", "92", named_code(order.supplier)],
        ["N1", "ST", "", "92", named_code(f"{order.facility}-{order.location}")],
    ]
    lines = [segment for line in order.lines for segment in _order_line(line)]
    total = sum((line.quantity.value for line in order.lines), Decimal())
    return (*opening, *lines, ["CTT", str(len(order.lines)), _spelled(total)])


def _order_line(line: OrderLine) -> Iterator[Segment]:
    unit = to_x12(line.quantity.unit)
    price = _spelled(line.unit_price.amount)
    segment = ["PO1", str(line.line), _spelled(line.quantity.value), unit, price, ""]
    codes = (("VN", line.supplier_sku), ("UK", line.gtin), ("IN", line.item))
    for qualifier, code in codes:
        if code:
            segment += [qualifier, code]
    yield segment
    if description := plain_text(line.description):
        yield ["PID", "F", "", "", "", description]


def _spelled(value: Decimal) -> str:
    """Spell a number as type R: no exponent, no idle zeros."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def acknowledgement(each: TransactionSet, supplier: str) -> Acknowledgement:
    """Read an 855. A line with several ACK segments becomes several lines: so much accepted, so
    much backordered.
    """
    segments = placed(each)
    opening = only(segments, "BAK")
    if opening.text(1) in _REVOKING:
        raise UnsupportedMessage(
            "this acknowledgement takes back an earlier one",
            where=f"BAK01 in segment {opening.position}",
            fix="settle it with the supplier",
        )
    _check_totals(segments)
    accepted = opening.required(2) not in _REFUSING
    answered_on = opening.day(9) if opening.text(9) else opening.day(4)
    return Acknowledgement(
        order=opening.required(3),
        supplier=supplier,
        acknowledged_on=answered_on,
        accepted=accepted,
        lines=tuple(_acknowledged_lines(segments, accepted=accepted)),
    )


def _check_totals(segments: list[Placed]) -> None:
    """CTT01 counts PO1; CTT02 adds up PO102, or with some partners ACK02."""
    ordered = list(named(segments, "PO1"))
    for total in named(segments, "CTT"):
        if total.number(1) != len(ordered):
            raise total.refusal(1, "the number of lines is another", str(len(ordered)))
        if not total.text(2):
            continue
        answered = [line for line in named(segments, "ACK") if line.text(2)]
        sums = {
            sum((line.decimal(2) for line in ordered if line.text(2)), Decimal()),
            sum((line.decimal(2) for line in answered), Decimal()),
        }
        if total.decimal(2) not in sums:
            raise total.refusal(2, "the hash total is another", "the sum of the quantities")


def _acknowledged_lines(segments: list[Placed], *, accepted: bool) -> Iterator[AcknowledgedLine]:
    currency = next((each.text(2) for each in named(segments, "CUR")), "USD")
    line: Placed | None = None
    unanswered = False
    for each in segments:
        if each.name in {"PO1", "SE"}:
            if line and unanswered:
                yield _silent_line(line, currency, accepted=accepted)
            line, unanswered = each, True
        elif each.name == "ACK" and line:
            yield _answered_line(line, each, currency)
            unanswered = False


def _silent_line(line: Placed, currency: str, *, accepted: bool) -> AcknowledgedLine:
    return AcknowledgedLine(
        line=line.number(1),
        status="accepted" if accepted else "rejected",
        quantity=line.quantity(2, 3),
        unit_price=_price(line, currency),
    )


def _answered_line(line: Placed, answer: Placed, currency: str) -> AcknowledgedLine:
    known = _LINE_STATUS.get(answer.required(1))
    if known is None:
        raise answer.refusal(1, "unknown line item status", "a code of data element 668")
    status, note = known
    part = supplier_sku_of(answer.products(7))
    return AcknowledgedLine(
        line=line.number(1),
        status=status,
        quantity=answer.quantity(2, 3) if answer.text(2) else line.quantity(2, 3),
        unit_price=_price(line, currency),
        ships_on=answer.day(5) if answer.text(4) in _SHIP_DATES else None,
        supplier_sku="" if part == supplier_sku_of(line.products(6)) else part,
        note=note,
    )


def _price(line: Placed, currency: str) -> Money | None:
    return Money(amount=line.decimal(4), currency=currency) if line.text(4) else None


def syntax_verdict(each: TransactionSet) -> SyntaxVerdict:
    """Read a 997 or 999: accepted only if the group and every set in it is (A, or E: accepted
    with errors noted).
    """
    segments = placed(each)
    group, outcome = only(segments, "AK1"), only(segments, "AK9")
    verdicts = [outcome, *(s for s in segments if s.name in {"AK5", "IK5"})]
    codes = [_joined(s) for s in segments if s.name in _NOTES and s is not outcome]
    said = {s.required(1) for s in verdicts}
    return SyntaxVerdict(
        group=str(group.number(2)),
        accepted=said <= {"A", "E"},
        codes=() if said == {"A"} else (*codes, _joined(outcome)),
    )


_NOTES: Final = frozenset({"AK3", "AK4", "AK5", "IK3", "IK4", "IK5"})


def _joined(segment: Placed) -> str:
    """Spell a note without AK404, the copy of the bad element."""
    kept = segment.segment[:4] if segment.name in {"AK4", "IK4"} else segment.segment
    return ":".join(kept)


def interchange_rejection(verdict: InterchangeVerdict) -> SyntaxVerdict | None:
    """Read a TA1 that rejects an interchange of ours; its group has the same number."""
    if verdict.verdict != "R" or not verdict.control.isdigit():
        return None
    codes = (f"TA1:{verdict.verdict}:{verdict.note}",)
    return SyntaxVerdict(group=str(int(verdict.control)), accepted=False, codes=codes)
