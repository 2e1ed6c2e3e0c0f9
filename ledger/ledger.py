"""The ledger, put together: one object with everything the tiers may use of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any

import msgspec

from canonical.clock import Clock, utc_now
from ledger.agenda import Agenda
from ledger.audit_trail import AuditTrail, Evidence
from ledger.booking import Bookings, KeptArrival
from ledger.bulk_replay import BulkReplays
from ledger.cancelling import Cancellation, cancelling
from ledger.catalogue import Catalogue
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
from ledger.replay import Replays
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
    clients: Clients
    live: Live
    vault: Vault
    keys: KeyKeeping
    worker: Worker
    replays: Replays
    bulk_replays: BulkReplays
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
) -> AsyncGenerator[Ledger]:
    """Open the ledger on `dsn`; on leaving, write what is in hand and close.

    Flows are installed in its catalogue afterwards; only then may the worker be started.
    """
    database = await open_database(dsn, size=settings.connections)
    try:
        ledger = _put_together(database, Vault(secret), clock, settings)
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
    database: Database, vault: Vault, clock: Clock, settings: LedgerSettings
) -> Ledger:
    catalogue, news = Catalogue(), News(database)
    bookings = Bookings(vault, catalogue, clock)
    kinds: dict[type[Any], Kind] = {KeptArrival: Kind(bookings.apply, bookings.locks), Act: _ACTS}
    platform = Platform(
        database=database,
        writer=Writer(database, kinds, news.of),
        journal=StepJournal(database, settings.lease_seconds),
        catalogue=catalogue,
        vault=vault,
        clock=clock,
        settings=settings,
        crowds=Crowds(settings.per_destination),
    )
    return _ledger_on(platform, news)


def _ledger_on(platform: Platform, news: News) -> Ledger:
    database, writer, vault, clock = (
        platform.database,
        platform.writer,
        platform.vault,
        platform.clock,
    )
    worker, replays, live = Worker(platform), Replays(platform), Live(database)
    news.on_work = worker.look
    return Ledger(
        database=database,
        writer=writer,
        catalogue=platform.catalogue,
        messages=MessageStore(database, writer, vault),
        registry=Registry(database, writer),
        tasks=Tasks(database, writer, platform.catalogue, clock),
        traces=Traces(database),
        agenda=Agenda(database),
        audit=AuditTrail(database),
        clients=Clients(database),
        live=live,
        vault=vault,
        keys=KeyKeeping(database, writer, vault, clock),
        worker=worker,
        replays=replays,
        bulk_replays=BulkReplays(database, writer, replays),
        news=news,
        outbox=Outbox(database),
        subscriptions=Subscriptions(database, writer, vault, clock),
        deliveries=Deliveries(database, writer, vault, clock, live),
        clock=clock,
    )
