"""Time as an argument: everything that needs «now» takes a Clock, so that a test can hold it
still.
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the current time in UTC; the only place that asks the machine."""
    return datetime.now(UTC)
