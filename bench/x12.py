"""X12: read an interchange of order answers (855), all envelopes checked."""

import io
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from standards.x12 import reader

_LINES = 8


class Found(NamedTuple):
    """What both readers have to agree on before they are timed."""

    interchange: str
    groups: list[str]
    orders: list[str]
    segments: int
    faults: int


Read = Callable[[], Found]


def interchange(sets: int, *, miscounted: bool = False) -> bytes:
    """Return an interchange of so many 855s; a miscounted one has a wrong SE01 in its last set."""
    isa = (
        "ISA*00*          *00*          *ZZ*NORTHFIELD     *ZZ*GENERALHOSP    "
        "*260401*0800*U*00401*000000042*0*T*>"
    )
    lines = [isa, "GS*PR*NORTHFIELD*GENERALHOSP*20260401*0800*7*X*004010"]
    for number in range(1, sets + 1):
        lines += _answer(number, extra=int(miscounted and number == sets))
    lines += [f"GE*{sets}*7", "IEA*1*000000042"]
    return "".join(f"{line}~" for line in lines).encode()


def _answer(number: int, *, extra: int) -> list[str]:
    lines = [f"ST*855*{number:04}", f"BAK*00*AD*45{number:08}*20260401", "REF*VR*NORTHFIELD"]
    for line in range(1, _LINES + 1):
        lines.append(f"PO1*{line}*{line}*BX*12.5**VP*SKU-{line}*IN*{100 + line}")
        lines.append(f"ACK*IA*{line}*BX*068*20260405")
    lines.append(f"CTT*{_LINES}")
    return [*lines, f"SE*{len(lines) + 1 + extra}*{number:04}"]


def suture(body: bytes) -> Read:
    """Read with our reader: bytes into sets of segments."""

    def read() -> Found:
        (found,) = reader.read(body)
        sets = [each for group in found.groups for each in group.sets]
        return Found(
            interchange=found.header.control,
            groups=[group.control for group in found.groups],
            orders=[segment[3] for each in sets for segment in each.segments[1:2]],
            segments=sum(len(each.segments) for each in sets) + 2 * len(found.groups) + 2,
            faults=sum(not each.accepted for each in sets),
        )

    return read


def pyx12(body: bytes) -> Read:
    """Read with pyx12's X12Reader, which checks envelopes and knows no maps."""
    segments_of: Any = import_module("pyx12.x12file").X12Reader
    text = body.decode()

    def read() -> Found:
        reading = segments_of(io.StringIO(text))
        control, groups, orders, segments = "", list[str](), list[str](), 0
        for segment in reading:
            segments += 1
            name = segment.get_seg_id()
            if name == "ISA":
                control = segment.get_value("ISA13")
            elif name == "GS":
                groups.append(segment.get_value("GS06"))
            elif name == "BAK":
                orders.append(segment.get_value("BAK03"))
        reading.cleanup()
        return Found(control, groups, orders, segments, len(reading.pop_errors()))

    return read
