"""The supplier's documents: 997, 855, 856, 810 and 865 (X12 release 004010)."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby

from sandbox.supplier.behaviour import Answer, Plan
from sandbox.supplier.edi import Cancellation, Envelope, Line, Order, spelled
from sandbox.supplier.settings import Settings

_QUALIFIERS = ("VN", "UK", "IN", "BP")


@dataclass(frozen=True)
class Draft:
    """One set to be sent: its kind and its segments between ST and SE."""

    kind: str
    content: list[str]


def drafts(
    order: Order, envelope: Envelope, planned: Plan, settings: Settings, today: date
) -> list[Draft]:
    """Return everything that answers one order, in the order of sending."""
    found = [Draft("997", _functional("PO", "850", order.set_control, envelope))]
    for number, answers in enumerate(planned.acknowledgements):
        found.append(Draft("855", _acknowledgement(order, answers, today, number)))
    if planned.shipped:
        found.append(Draft("856", _ship_notice(order, planned.shipped, settings, today)))
    if planned.billed:
        found.append(Draft("810", _invoice(order, planned, today)))
    return [draft for draft in found for _ in range(2 if planned.twice else 1)]


def answers(wanted: Cancellation, envelope: Envelope, *, agreed: bool) -> list[Draft]:
    """Return what answers an 860: understood, and done or not."""
    opening = f"BCA*11*{'AT' if agreed else 'RJ'}*{wanted.number}**1*{wanted.ordered_on}"
    return [
        Draft("997", _functional("PC", "860", wanted.set_control, envelope)),
        Draft("865", [opening, "CTT*0"]),
    ]


def _functional(group: str, kind: str, control: str, envelope: Envelope) -> list[str]:
    return [
        f"AK1*{group}*{envelope.group_control}",
        f"AK2*{kind}*{control}",
        "AK5*A",
        "AK9*A*1*1*1",
    ]


def _codes(line: Line) -> str:
    return "".join(f"*{each}*{line.codes[each]}" for each in _QUALIFIERS if each in line.codes)


def _acknowledgement(
    order: Order, answers: tuple[Answer, ...], today: date, number: int
) -> list[str]:
    changed = any(answer.status != "IA" for answer in answers)
    kind = "AC" if changed or number else "AD"
    seller = f"SO{order.number}"
    content = [f"BAK*00*{kind}*{order.number}*{order.ordered_on}****{seller}*{today:%Y%m%d}"]
    ordered = {line.number: line for line in order.lines}
    lines = 0
    for line_number, group in groupby(answers, key=lambda answer: answer.line.number):
        first, *others = group
        asked, given = ordered[line_number], first.line
        price = spelled(given.price)
        quantity = spelled(asked.quantity)
        content.append(f"PO1*{line_number}*{quantity}*{asked.unit}*{price}*{_codes(asked)}")
        content += [_status(answer, asked, today) for answer in (first, *others)]
        lines += 1
    return [*content, f"CTT*{lines}"]


def _status(answer: Answer, asked: Line, today: date) -> str:
    ships = today + timedelta(days=30 if answer.late else 1)
    line = answer.line
    segment = f"ACK*{answer.status}*{spelled(answer.quantity)}*{line.unit}*068*{ships:%Y%m%d}"
    return segment if line.codes == asked.codes else f"{segment}**VN*{line.sku}"


def _ship_notice(
    order: Order, shipped: tuple[Line, ...], settings: Settings, today: date
) -> list[str]:
    arrives = today + timedelta(days=2)
    content = [
        f"BSN*00*SHP{order.number}*{today:%Y%m%d}*1200*0001",
        "HL*1**S",
        "TD5**2*UPSN**SIMULATED PARCEL",
        f"REF*CN*1Z{order.number}",
        f"DTM*011*{today:%Y%m%d}",
        f"DTM*017*{arrives:%Y%m%d}",
        "HL*2*1*O",
        f"PRF*{order.number}***{order.ordered_on}",
    ]
    level = 2
    for line in shipped:
        level += 1
        content += [
            f"HL*{level}*2*I",
            f"LIN*{line.number}{_codes(line)}",
            f"SN1*{line.number}*{spelled(line.quantity)}*{line.unit}",
            *_batch(order, line, settings, today),
        ]
    return [*content, f"CTT*{level}"]


def _batch(order: Order, line: Line, settings: Settings, today: date) -> list[str]:
    """Lot, expiry and serial numbers, made up from the order so that they never repeat."""
    names = {line.sku, *line.codes.values()}
    batch = list[str]()
    if settings.lot_controlled is None or names & settings.lot_controlled:
        batch.append(f"REF*LT*L{order.number}-{line.number}")
    if names & settings.serial_controlled:
        pieces = range(1, int(line.quantity) + 1)
        batch += [f"REF*SE*{order.number}-{line.number}-{piece}" for piece in pieces]
    expires = today + timedelta(days=730)
    return [*batch, f"DTM*036*{expires:%Y%m%d}"] if batch else []


def _invoice(order: Order, planned: Plan, today: date) -> list[str]:
    content = [
        f"BIG*{today:%Y%m%d}*INV{order.number}*{order.ordered_on}*{order.number}***DI",
        f"CUR*SE*{order.currency}",
    ]
    if planned.terms:
        content.append("ITD*08*3*2**10**30")
    total = planned.tax + planned.freight
    for line in planned.billed:
        total += line.quantity * line.price
        price = spelled(line.price)
        quantity = spelled(line.quantity)
        content.append(f"IT1*{line.number}*{quantity}*{line.unit}*{price}*{_codes(line)}")
    content.append(f"TDS*{_cents(total)}")
    if planned.tax:
        content.append(f"TXI*ST*{spelled(planned.tax)}")
    if planned.freight:
        content.append(f"SAC*C*D240***{_cents(planned.freight)}")
    return [*content, f"CTT*{len(planned.billed)}"]


def _cents(amount: Decimal) -> str:
    return str(int((amount * 100).quantize(Decimal(1), ROUND_HALF_UP)))
