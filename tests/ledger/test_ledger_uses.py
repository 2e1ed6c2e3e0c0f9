"""Who used what: counted in memory, added up over all processes, lost by nobody who stops."""

import asyncio
from datetime import UTC, datetime

from ledger.ledger import Ledger
from ledger.uses import Uses

FIRST = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
NEXT = datetime(2026, 11, 21, 0, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = FIRST

    def __call__(self) -> datetime:
        return self.now


def counter(ledger: Ledger, clock: Clock) -> Uses:
    """Return what one more process counts with."""
    return Uses(ledger.database, clock)


async def told(uses: Uses, since: datetime = FIRST) -> list[tuple[str, str, int, datetime]]:
    found = await uses.listed(since.date())
    return [(use.who, use.what, use.calls, use.last_at) for use in found]


async def test_two_processes_count_into_one_number_each_day(ledger: Ledger) -> None:
    clock = Clock()
    first, second = counter(ledger, clock), counter(ledger, clock)
    for uses in (first, second):
        uses.count("ward", "v1 orders")
    first.count("dock", "v1 orders")
    clock.now = NEXT
    first.count("ward", "v1 orders")
    assert await told(first) == []
    await asyncio.gather(first.flush(), second.flush())
    assert await told(first) == [("ward", "v1 orders", 3, NEXT), ("dock", "v1 orders", 1, FIRST)]
    assert await told(first, NEXT) == [("ward", "v1 orders", 1, NEXT)]


async def test_what_was_counted_is_written_when_a_process_stops(ledger: Ledger) -> None:
    uses = counter(ledger, Clock())
    uses.start()
    for _ in range(3):
        uses.count("ward", "v1 orders")
    await uses.stop()
    assert [use[2] for use in await told(uses)] == [3]


async def test_what_cannot_be_written_is_kept_for_later(ledger: Ledger, server) -> None:
    uses = counter(ledger, Clock())
    uses.count("ward", "v1 orders")
    await server.crash()
    await uses.stop()
    uses.count("ward", "v1 orders")
    await server.start()
    await uses.flush()
    assert [use[2] for use in await told(uses)] == [2]
