"""Just enough X12 for a small supplier: split orders and cancellations, join an answer."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation


class Unreadable(Exception):
    """What came in is no interchange with orders."""


@dataclass(frozen=True)
class Line:
    """One PO1."""

    number: str
    quantity: Decimal
    unit: str
    price: Decimal
    codes: dict[str, str]

    @property
    def sku(self) -> str:
        """The supplier's own number, or whatever the buyer called the item."""
        return self.codes.get("VN") or next(iter(self.codes.values()), "")


@dataclass(frozen=True)
class Order:
    """One 850 with the control numbers that its 997 repeats."""

    number: str
    ordered_on: str
    currency: str
    set_control: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Cancellation:
    """One 860 that cancels a whole order."""

    number: str
    ordered_on: str
    set_control: str


@dataclass(frozen=True)
class Envelope:
    """Who sent an interchange to whom, and under which numbers."""

    sender: tuple[str, str]
    receiver: tuple[str, str]
    control: str
    group_sender: str
    group_receiver: str
    group_control: str


def split(body: bytes) -> tuple[Envelope, tuple[Order | Cancellation, ...]]:
    """Read an interchange of purchase orders and their cancellations."""
    text = body.decode("latin-1").lstrip()
    if len(text) < 106 or not text.startswith("ISA"):
        raise Unreadable("no ISA of 106 characters")
    element, terminator = text[3], text[105]
    segments = [part.strip("\r\n").split(element) for part in text.split(terminator)]
    try:
        return _envelope(segments), tuple(_orders(segments))
    except (IndexError, InvalidOperation, StopIteration) as exc:
        raise Unreadable("a segment is missing or too short") from exc


def _envelope(segments: list[list[str]]) -> Envelope:
    isa = segments[0]
    gs = next(s for s in segments if s[0] == "GS")
    return Envelope(
        sender=(isa[5], isa[6].strip()),
        receiver=(isa[7], isa[8].strip()),
        control=isa[13],
        group_sender=gs[2],
        group_receiver=gs[3],
        group_control=gs[6],
    )


def _orders(segments: list[list[str]]) -> list[Order | Cancellation]:
    found = list[Order | Cancellation]()
    current = list[list[str]]()
    for segment in segments:
        if segment[0] == "ST":
            current = []
        current.append(segment)
        if segment[0] == "SE" and current[0][:2] == ["ST", "850"]:
            found.append(_order(current))
        if segment[0] == "SE" and current[0][:2] == ["ST", "860"]:
            found.append(_cancellation(current))
    return found


def _cancellation(segments: list[list[str]]) -> Cancellation:
    bch = next(s for s in segments if s[0] == "BCH")
    if bch[1] != "01":
        raise Unreadable("this supplier understands no change but the cancellation")
    return Cancellation(number=bch[3], ordered_on=bch[6], set_control=segments[0][2])


def _order(segments: list[list[str]]) -> Order:
    beg = next(s for s in segments if s[0] == "BEG")
    return Order(
        number=beg[3],
        ordered_on=beg[5],
        currency=next((s[2] for s in segments if s[0] == "CUR"), "USD"),
        set_control=segments[0][2],
        lines=tuple(_line(s) for s in segments if s[0] == "PO1"),
    )


def _line(po1: list[str]) -> Line:
    pairs = range(6, len(po1) - 1, 2)
    return Line(
        number=po1[1],
        quantity=Decimal(po1[2]),
        unit=po1[3],
        price=Decimal(po1[4] or "0"),
        codes={po1[i]: po1[i + 1] for i in pairs if po1[i + 1]},
    )


@dataclass(frozen=True)
class Address:
    """Where an answer goes: ISA05 to ISA08, GS02, GS03 and the usage indicator."""

    sender: tuple[str, str]
    receiver: tuple[str, str]
    group_sender: str
    group_receiver: str
    test: bool


_GROUPS = {"997": "FA", "855": "PR", "856": "SH", "810": "IN", "865": "CA"}


def join(kind: str, content: list[str], to: Address, control: int, at: datetime) -> bytes:
    """Wrap the segments of one set, each already spelled, in ST, GS and ISA."""
    number = f"{control:09}"
    usage = "T" if to.test else "P"
    sides = f"{to.sender[0]:2}*{to.sender[1]:15}*{to.receiver[0]:2}*{to.receiver[1]:15}"
    head = f"ISA*00*{'':10}*00*{'':10}*{sides}*{at:%y%m%d*%H%M}*U*00401*{number}*0*{usage}*>"
    group = f"{_GROUPS[kind]}*{to.group_sender}*{to.group_receiver}*{at:%Y%m%d*%H%M}"
    segments = [
        head,
        f"GS*{group}*{control}*X*004010",
        f"ST*{kind}*0001",
        *content,
        f"SE*{len(content) + 2}*0001",
        f"GE*1*{control}",
        f"IEA*1*{number}",
    ]
    return "".join(f"{segment}~" for segment in segments).encode()


def spelled(value: Decimal) -> str:
    """Write a number without exponent and idle zeros."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
