"""The ledger, put together: one object with everything the tiers may use of it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from canonical.clock import Clock, utc_now
from ledger.agenda import Agenda
from ledger.audit.evidence import circumstances, completed
from ledger.audit.keys import AuditKeys
from ledger.audit.removal import remove_before
from ledger.audit_checks import AuditChecks
from ledger.audit_trail import AuditTrail, Evidence
from ledger.booking import Bookings, KeptArrival
from ledger.bulk_replay import BulkReplays
from ledger.cancelling import Cancellation, cancelling
from ledger.catalogue import Catalogue
from ledger.checkpoints import Checkpoints
from ledger.clients import Clients
from ledger.crowds import Crowds
from ledger.database import Database, open_database
from ledger.deliveries import Deliveries
from ledger.editions import Editions
from ledger.flow_run import Platform
from ledger.key_keeping import KeyKeeping
from ledger.key_ring import KeyRing
from ledger.lane import Kind
from ledger.live import Live
from ledger.message_store import MessageStore
from ledger.news import News
from ledger.once import Once
from ledger.outbox import Outbox
from ledger.people import People
from ledger.registry import Registry
from ledger.replay import Replays
from ledger.retention import Retention
from ledger.settings import LedgerSettings
from ledger.step_journal import StepJournal
from ledger.subscriptions import Subscriptions
from ledger.tasks import Tasks
from ledger.tickets import Tickets
from ledger.traces import Traces
from ledger.uses import Uses
from ledger.vault import Vault
from ledger.watch import Watch
from ledger.withdrawals import Withdrawals
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
    audit_checks: AuditChecks
    watch: Watch
    checkpoints: Checkpoints
    clients: Clients
    once: Once
    withdrawals: Withdrawals
    editions: Editions
    uses: Uses
    people: People
    tickets: Tickets
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
    retention: Retention
    clock: Clock

    async def cancel(self, flow: str, because: Cancellation) -> None:
        """Have a flow cancelled: it goes no further, and what it did is undone.

        Raises `NotFound`. Harmless when it is cancelled already.
        """
        await self.writer.submit(cancelling(flow, because, self.clock()))

    async def record(self, evidence: Evidence) -> None:
        """Add one record to the audit trail; returns once it is on disk."""
        await self.writer.submit(completed(evidence, circumstances()))


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
        ledger.uses.start()
        try:
            yield ledger
        finally:
            await ledger.live.stop()
            await ledger.uses.stop()
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
    return _ledger_on(platform, checkpoints, news)


def _ledger_on(  # house: one line a part, and no decisions
    platform: Platform, checkpoints: Checkpoints, news: News
) -> Ledger:
    database, writer, vault, clock = (
        platform.database,
        platform.writer,
        platform.vault,
        platform.clock,
    )
    worker, replays, live = Worker(platform, checkpoints.tend), Replays(platform), Live(database)
    trail, once = AuditTrail(database), Once(database)
    watch = Watch(database, writer, checkpoints, clock)
    news.on_work = worker.look
    retention = Retention(database, writer, clock)
    retention.remove_audit = partial(_remove_audit, trail, checkpoints)
    return Ledger(
        database=database,
        writer=writer,
        catalogue=platform.catalogue,
        messages=MessageStore(database, writer, vault),
        registry=Registry(database, writer),
        tasks=Tasks(database, writer, platform.catalogue, clock),
        traces=Traces(database),
        agenda=Agenda(database),
        audit=trail,
        audit_checks=AuditChecks(database, writer, trail, checkpoints, watch.raise_alert),
        watch=watch,
        checkpoints=checkpoints,
        clients=Clients(database),
        once=once,
        withdrawals=Withdrawals(database, once, clock),
        editions=Editions(database, writer),
        uses=Uses(database, clock),
        people=People(database),
        tickets=Tickets(database),
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
        retention=retention,
        clock=clock,
    )


async def _remove_audit(trail: AuditTrail, checkpoints: Checkpoints, before: datetime) -> int:
    return (await remove_before(before, trail, checkpoints)).records
