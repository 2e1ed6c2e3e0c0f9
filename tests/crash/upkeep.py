"""Processes that do nothing but upkeep, as often as they can: remove by rule, sign checkpoints."""

import asyncio
from datetime import timedelta
from pathlib import Path

import uvloop

from bench.torture.arena import SECRET, Arena
from bench.torture.nursery import told_to_stop
from canonical.clock import utc_now
from canonical.errors import StoreUnavailable
from ledger.audit.keys import AuditKeys, audit_keys, new_audit_keys
from ledger.ledger import open_ledger
from ledger.settings import RetentionRules

_TO_COME = timedelta(days=2)
_RULES = RetentionRules(bodies=1, stories=1)


def make_keys(folder: Path) -> AuditKeys:
    """Make the keys that sign here, for all processes."""
    keys = new_audit_keys()
    (folder / "audit.jwks").write_bytes(keys.encoded())
    return keys


def keep_up(arena: Arena, name: str) -> None:
    """Live two days from now: whatever has ended is old enough to go."""
    uvloop.run(_keep_up(arena, name))


async def _keep_up(arena: Arena, name: str) -> None:
    keys = audit_keys((arena.folder / "audit.jwks").read_bytes())
    stopped = told_to_stop(arena.folder, name)
    async with open_ledger(
        arena.dsn,
        secret=SECRET,
        clock=lambda: utc_now() + _TO_COME,
        settings=arena.settings,
        audit_keys=lambda: keys,
    ) as ledger:
        ledger.retention.rules = _RULES
        while not stopped.is_set():
            try:
                await ledger.retention.run()
                await ledger.checkpoints.make()
            except StoreUnavailable:
                await asyncio.sleep(0.05)
