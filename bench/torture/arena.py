"""What every process of a run is told: where things are, and how impatient the ledger is to be."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

import ledger.step_journal
import ledger.worker
from canonical.clock import Clock, utc_now
from ledger.ledger import Ledger, open_ledger

SECRET = b"the secret of a run under torture"


class Arena(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `lease` is in seconds; `crashes` is how many a flow survives without progress."""

    folder: Path
    dsn: str = ""
    outside: str = ""
    seed: int = 0
    lease: float = 1.0
    crashes: int = 10_000


@asynccontextmanager
async def opened(arena: Arena, clock: Clock = utc_now) -> AsyncGenerator[Ledger]:
    """Open the run's ledger with its lease."""
    hastened(arena.lease, arena.crashes)
    async with open_ledger(arena.dsn, secret=SECRET, clock=clock) as ledger_of_run:
        yield ledger_of_run


def hastened(lease: float, crashes: int = 10_000) -> None:
    """The one place that sets what the ledger has no settings for yet."""
    ledger.step_journal.LEASE_SECONDS = lease
    ledger.worker.LEASE_SECONDS = lease  # type: ignore[attr-defined]  # it imports it
    ledger.worker.MAX_ATTEMPTS = crashes
    ledger.worker.POLL_SECONDS = min(1.0, lease / 2)
