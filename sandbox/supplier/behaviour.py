"""What the supplier makes of an order: the twelve behaviours of a network's test supplier, and
faults.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from sandbox.supplier.edi import Line, Order

_DEARER = Decimal("1.10")
_TAX_RATE = Decimal("0.08")
_FREIGHT = Decimal("25.00")
_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Answer:
    """One ACK under a PO1: so much, with this status."""

    line: Line
    status: str
    quantity: Decimal
    late: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything the supplier will say: 855s, then what it ships, then what it bills."""

    acknowledgements: tuple[tuple[Answer, ...], ...]
    shipped: tuple[Line, ...]
    billed: tuple[Line, ...]
    tax: Decimal = Decimal()
    freight: Decimal = Decimal()
    terms: bool = False
    twice: bool = False
    fails_after_commit: bool = False


def plan(name: str, order: Order, prices: dict[str, Decimal]) -> Plan:
    """Return what the supplier does under the behaviour `name`."""
    lines = tuple(replace(line, price=prices.get(line.sku, line.price)) for line in order.lines)
    answers = tuple(
        Answer(line, "IA" if line.price == asked.price else "IP", line.quantity)
        for line, asked in zip(lines, order.lines, strict=True)
    )
    return _BEHAVIOURS[name](Plan(acknowledgements=(answers,), shipped=lines, billed=lines))


def _backorder(normal: Plan) -> Plan:
    (answers,) = normal.acknowledgements
    late = tuple(replace(answer, status="IB", late=True) for answer in answers)
    return replace(normal, acknowledgements=(late,), shipped=(), billed=())


def _halves(normal: Plan) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Split into what is there and what is not; a single piece is not there."""
    there = tuple(replace(line, quantity=line.quantity // 2) for line in normal.shipped)
    rest = tuple(
        replace(line, quantity=line.quantity - part.quantity)
        for line, part in zip(normal.shipped, there, strict=True)
    )
    return tuple(line for line in there if line.quantity), rest


def _partial_backorder(normal: Plan) -> Plan:
    there, rest = _halves(normal)
    answers = [Answer(line, "IA", line.quantity) for line in there]
    answers += [Answer(line, "IB", line.quantity, late=True) for line in rest]
    ordered = sorted(answers, key=lambda answer: int(answer.line.number))
    return replace(normal, acknowledgements=(tuple(ordered),), shipped=there, billed=there)


def _over_several(normal: Plan) -> Plan:
    first = _partial_backorder(normal).acknowledgements[0]
    _, rest = _halves(normal)
    second = tuple(Answer(line, "IA", line.quantity) for line in rest)
    return replace(normal, acknowledgements=(first, second))


def _line_rejection(normal: Plan) -> Plan:
    (answers,) = normal.acknowledgements
    rejected = replace(answers[0], status="IR", quantity=Decimal())
    left = normal.shipped[1:]
    return replace(normal, acknowledgements=((rejected, *answers[1:]),), shipped=left, billed=left)


def _first_line(normal: Plan, status: str, change: Callable[[Line], Line]) -> Plan:
    (answers,) = normal.acknowledgements
    changed = change(normal.shipped[0])
    first = Answer(changed, status, changed.quantity)
    return replace(
        normal,
        acknowledgements=((first, *answers[1:]),),
        shipped=(changed, *normal.shipped[1:]),
        billed=(changed, *normal.billed[1:]),
    )


def _dearer(line: Line) -> Line:
    return replace(line, price=(line.price * _DEARER).quantize(_CENT, ROUND_HALF_UP))


def _fewer(line: Line) -> Line:
    one = Decimal(1)
    return replace(line, quantity=line.quantity - one if line.quantity > one else one + one)


def _other_unit(line: Line) -> Line:
    return replace(line, unit="BX" if line.unit == "EA" else "EA")


def _other_part(line: Line) -> Line:
    return replace(line, codes={**line.codes, "VN": f"{line.sku}-R"})


def _taxed(normal: Plan) -> Plan:
    amount = sum((line.quantity * line.price for line in normal.billed), Decimal())
    return replace(normal, tax=(amount * _TAX_RATE).quantize(_CENT, ROUND_HALF_UP))


def _short(normal: Plan) -> Plan:
    """Ship one less of the first line and bill it all the same."""
    first = normal.shipped[0]
    less = replace(first, quantity=first.quantity - 1)
    return replace(normal, shipped=(*((less,) if less.quantity else ()), *normal.shipped[1:]))


_BEHAVIOURS: dict[str, Callable[[Plan], Plan]] = {
    "accept": lambda normal: normal,
    "backorder": _backorder,
    "partial-backorder": _partial_backorder,
    "partial-backorder-over-several-acks": _over_several,
    "line-rejection": _line_rejection,
    "price-discrepancy": lambda normal: _first_line(normal, "IP", _dearer),
    "quantity-discrepancy": lambda normal: _first_line(normal, "IQ", _fewer),
    "uom-discrepancy": lambda normal: _first_line(normal, "IC", _other_unit),
    "vendor-part-discrepancy": lambda normal: _first_line(normal, "IC", _other_part),
    "added-taxes": _taxed,
    "shipping-charges": lambda normal: replace(normal, freight=_FREIGHT),
    "both-taxes-and-shipping": lambda normal: replace(_taxed(normal), freight=_FREIGHT),
    "discount-terms": lambda normal: replace(normal, terms=True),
    "5xx-after-commit": lambda normal: replace(normal, fails_after_commit=True),
    "lost-acknowledgement": lambda normal: replace(normal, acknowledgements=()),
    "ships-later": lambda normal: replace(normal, shipped=(), billed=()),
    "duplicate": lambda normal: replace(normal, twice=True),
    "invoice-price": lambda normal: replace(normal, billed=tuple(map(_dearer, normal.billed))),
    "short-shipment": _short,
}

BEHAVIOURS = frozenset(_BEHAVIOURS)
