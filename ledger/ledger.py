"""The ledger, put together: one object with everything the tiers may use of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from canonical.clock import Clock, utc_now
from ledger.audit_trail import AuditTrail, Evidence
from ledger.booking import Bookings, KeptArrival
from ledger.catalogue import Catalogue
from ledger.clients import Clients
from ledger.database import Database, open_database
from ledger.flow_run import Platform
from ledger.live import Live
from ledger.message_store import MessageStore
from ledger.registry import Registry
from ledger.step_journal import FlowWrite, StepJournal
from ledger.tasks import Tasks
from ledger.traces import Traces
from ledger.vault import Vault
from ledger.worker import Worker
from ledger.writer import Act, Apply, Writer, keep_evidence, perform


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What the layers above import. Each part is documented in its module."""

    database: Database
    writer: Writer
    catalogue: Catalogue
    messages: MessageStore
    registry: Registry
    tasks: Tasks
    traces: Traces
    audit: AuditTrail
    clients: Clients
    live: Live
    vault: Vault
    worker: Worker

    async def record(self, evidence: Evidence) -> None:
        """Add one record to the audit trail; returns once it is on disk."""
        await self.writer.submit(evidence)


@asynccontextmanager
async def open_ledger(dsn: str, *, secret: bytes, clock: Clock = utc_now) -> AsyncGenerator[Ledger]:
    """Open the ledger on `dsn`; on leaving, write what is in hand and close.

    Flows are installed in its catalogue afterwards; only then may the worker be started.
    """
    database = await open_database(dsn)
    try:
        ledger = _put_together(database, Vault(secret), clock)
        ledger.writer.start()
        ledger.live.start()
        try:
            yield ledger
        finally:
            await ledger.live.stop()
            await ledger.writer.stop()
    finally:
        await database.close()


def _put_together(database: Database, vault: Vault, clock: Clock) -> Ledger:
    catalogue = Catalogue()
    journal = StepJournal(database)
    kinds: dict[type[Any], Apply] = {
        KeptArrival: Bookings(vault, catalogue, clock).apply,
        FlowWrite: journal.apply,
        Act: perform,
        Evidence: keep_evidence,
    }
    writer = Writer(database, kinds)
    platform = Platform(
        database=database,
        writer=writer,
        journal=journal,
        catalogue=catalogue,
        vault=vault,
        clock=clock,
    )
    return Ledger(
        database=database,
        writer=writer,
        catalogue=catalogue,
        messages=MessageStore(database, writer, vault),
        registry=Registry(database, writer),
        tasks=Tasks(database, writer, clock),
        traces=Traces(database),
        audit=AuditTrail(database),
        clients=Clients(database),
        live=Live(database),
        vault=vault,
        worker=Worker(platform),
    )
