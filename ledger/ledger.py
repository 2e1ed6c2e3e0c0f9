"""The ledger, put together: one object with everything the tiers may use of it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any

import msgspec

from canonical.clock import Clock, utc_now
from ledger.agenda import Agenda
from ledger.audit.keys import AuditKeys
from ledger.audit_trail import AuditTrail, Evidence
from ledger.booking import Bookings, KeptArrival
from ledger.cancelling import Cancellation, cancelling
from ledger.catalogue import Catalogue
from ledger.checkpoints import Checkpoints
from ledger.clients import Clients
from ledger.crowds import Crowds
from ledger.database import Database, open_database
from ledger.deliveries import Deliveries
from ledger.flow_run import Platform
from ledger.key_keeping import KeyKeeping
from ledger.key_ring import KeyRing
from ledger.lane import Kind
from ledger.live import Live
from ledger.message_store import MessageStore
from ledger.news import News
from ledger.outbox import Outbox
from ledger.registry import Registry
from ledger.settings import LedgerSettings
from ledger.step_journal import StepJournal
from ledger.subscriptions import Subscriptions
from ledger.tasks import Tasks
from ledger.traces import Traces
from ledger.vault import Vault
from ledger.worker import Worker
from ledger.writer import Act, Writer, perform

_ACTS = Kind(perform, attrgetter("locks"))


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What the layers above import. Each part is documented in its module."""

    database: Database
    writer: Writer
    catalogue: Catalogue
    messages: MessageStore
    registry: Registry
    tasks: Tasks
    traces: Traces
    agenda: Agenda
    audit: AuditTrail
    checkpoints: Checkpoints
    clients: Clients
    live: Live
    vault: Vault
    keys: KeyKeeping
    worker: Worker
    news: News
    outbox: Outbox
    subscriptions: Subscriptions
    deliveries: Deliveries
    clock: Clock

    async def cancel(self, flow: str, because: Cancellation) -> None:
        """Have a flow cancelled: it goes no further, and what it did is undone.

        Raises `NotFound`. Harmless when it is cancelled already.
        """
        await self.writer.submit(cancelling(flow, because, self.clock()))

    async def record(self, evidence: Evidence) -> None:
        """Add one record to the audit trail; returns once it is on disk."""
        await self.writer.submit(evidence)


@asynccontextmanager
async def open_ledger(
    dsn: str,
    *,
    secret: bytes | KeyRing,
    clock: Clock = utc_now,
    settings: LedgerSettings = LedgerSettings(),  # noqa: B008 - frozen
    audit_keys: Callable[[], AuditKeys] | None = None,
) -> AsyncGenerator[Ledger]:
    """Open the ledger on `dsn`; on leaving, write what is in hand and close.

    Without `audit_keys` (read whenever something is signed) it makes no audit checkpoints.
    Flows are installed in its catalogue afterwards; only then may the worker be started.
    """
    database = await open_database(dsn, size=settings.connections)
    try:
        checkpoints = Checkpoints(database, audit_keys)
        ledger = _put_together(database, checkpoints, Vault(secret), clock, settings)
        ledger.writer.start()
        ledger.live.start()
        ledger.news.start()
        try:
            yield ledger
        finally:
            await ledger.live.stop()
            await ledger.writer.stop()
            await ledger.news.stop()
    finally:
        await database.close()


def _put_together(  # house: one line a part, and no decisions
    database: Database,
    checkpoints: Checkpoints,
    vault: Vault,
    clock: Clock,
    settings: LedgerSettings,
) -> Ledger:
    catalogue = Catalogue()
    bookings, news = Bookings(vault, catalogue, clock), News(database)
    kinds: dict[type[Any], Kind] = {KeptArrival: Kind(bookings.apply, bookings.locks), Act: _ACTS}
    writer, live = Writer(database, kinds, news.of), Live(database)
    worker = Worker(
        Platform(
            database=database,
            writer=writer,
            journal=StepJournal(database, settings.lease_seconds),
            catalogue=catalogue,
            vault=vault,
            clock=clock,
            settings=settings,
            crowds=Crowds(settings.per_destination),
        ),
        checkpoints.tend,
    )
    news.on_work = worker.look
    return Ledger(
        database=database,
        writer=writer,
        catalogue=catalogue,
        messages=MessageStore(database, writer, vault),
        registry=Registry(database, writer),
        tasks=Tasks(database, writer, catalogue, clock),
        traces=Traces(database),
        agenda=Agenda(database),
        audit=AuditTrail(database),
        checkpoints=checkpoints,
        clients=Clients(database),
        live=live,
        vault=vault,
        keys=KeyKeeping(database, writer, vault, clock),
        worker=worker,
        news=news,
        outbox=Outbox(database),
        subscriptions=Subscriptions(database, writer, vault, clock),
        deliveries=Deliveries(database, writer, vault, clock, live),
        clock=clock,
    )
