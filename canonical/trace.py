"""Places in a distributed trace (W3C Trace Context): of a call, and of a business transaction.

A transaction lasts days and runs on many machines. Its trace has an id that follows from its own,
so that whoever works on it, wherever and whenever, adds to the same trace and nobody keeps a table.
"""

import hashlib
import re
from typing import NamedTuple

_SAMPLED = 1
_MOST = 1 << 64
_spelled = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})").fullmatch


class TracePlace(NamedTuple):
    """A span somewhere: the trace, the span in it, and whether it is recorded."""

    trace: int
    span: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace:032x}-{self.span:016x}-{int(self.sampled):02x}"

    @classmethod
    def read(cls, traceparent: str) -> "TracePlace | None":
        """Return the place that a header names, None where it names none."""
        found = _spelled(traceparent)
        if found is None:
            return None
        trace, span = int(found[1], 16), int(found[2], 16)
        if not trace or not span:
            return None
        return cls(trace, span, bool(int(found[3], 16) & _SAMPLED))


def transaction_place(transaction: str, by: str, ratio: float = 0.0) -> TracePlace:
    """Return the place in the trace of a transaction of what `by` names (a flow, an event).

    The share `ratio` of all transactions is sampled, each whole and everywhere alike, as
    OpenTelemetry's TraceIdRatioBased does it.
    """
    trace = int.from_bytes(_digest("transaction", transaction)[:16]) or 1
    span = int.from_bytes(_digest("span", transaction, by)[:8]) or 1
    return TracePlace(trace, span, trace % _MOST < round(ratio * _MOST))


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\x1f".join(parts).encode(errors="replace")).digest()
