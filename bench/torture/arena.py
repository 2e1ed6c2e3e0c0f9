"""What every process of a run is told: where things are, and how impatient the ledger is to be."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

import ledger.worker
from canonical.clock import Clock, utc_now
from ledger.ledger import Ledger, open_ledger
from ledger.settings import LedgerSettings

SECRET = b"the secret of a run under torture"


class Arena(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `lease` is in seconds; `crashes` is how many a flow survives without progress."""

    folder: Path
    dsn: str = ""
    outside: str = ""
    seed: int = 0
    lease: float = 1.0
    crashes: int = 10_000

    @property
    def settings(self) -> LedgerSettings:
        """The ledger's settings of this run: impatient with owners, patient with flows."""
        return LedgerSettings(
            lease_seconds=self.lease,
            max_crashes=self.crashes,
            max_attempts=10_000,
            call_seconds=2 * self.lease,
        )


@asynccontextmanager
async def opened(arena: Arena, clock: Clock = utc_now) -> AsyncGenerator[Ledger]:
    """Open the run's ledger with its lease."""
    look_often(arena.lease)
    async with open_ledger(
        arena.dsn, secret=SECRET, clock=clock, settings=arena.settings
    ) as ledger_of_run:
        yield ledger_of_run


def look_often(lease: float) -> None:
    """Poll as often as a short lease asks for: the ledger has no setting for that."""
    ledger.worker.POLL_SECONDS = min(1.0, lease / 2)
