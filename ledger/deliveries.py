"""The deliverer: tells every subscriber what was published, in order, until it has been heard.

Any number of processes run one. A subscription is worked on by one of them at a time, under a lease
of database time with an epoch; when its worker dies, the next one takes it over from the last
position that was written down. What was sent and not yet written down is sent again, under the same
event id. A subscription that fails waits for its own next try: it holds back nobody else.

    due? ──claim (epoch + 1)──▶ next page ──send──▶ heard: position moves, next page …
                                    │                failed: next try later, or suspended + task
                                    └──nothing left: position moves to the horizon, lease given back
"""

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

import asyncpg

from canonical.clock import Clock
from canonical.errors import Failure
from ledger.audit_trail import Evidence
from ledger.database import Database
from ledger.delivery_log import Lease, delivered, failed, given_back
from ledger.delivery_port import Outcome, Sender, Target
from ledger.delivery_settings import DeliverySettings
from ledger.ids import new_id
from ledger.live import Live
from ledger.outbox import Event, Outbox, Position, Wanted
from ledger.subscription_secrets import SecretBox
from ledger.vault import Vault
from ledger.writer import Act, Writer

if TYPE_CHECKING:
    from asyncpg import Record

log = logging.getLogger("suture.deliveries")

_TOGETHER_SECONDS = 0.05
_PAGES_A_TURN = 10

_CLAIM = """
update subscription set owner = $1, epoch = epoch + 1,
    run_at = now() + make_interval(secs => $2)
where id in (
    select s.id from subscription s
    where s.status = 'active' and s.run_at <= now() and s.kind = any($4::text[])
      and s.id <> all($5::text[])
      and exists (
          select 1 from outbox e where (e.committed_in, e.position) > (s.committed_in, s.position)
              and e.committed_in < pg_snapshot_xmin(pg_current_snapshot()))
    order by s.run_at limit $3 for update skip locked)
returning *"""

_RENEW = """
update subscription set run_at = now() + make_interval(secs => $3)
where id in (select id from subscription where id = any($2::text[]) and owner = $1
             for update skip locked)"""


class Deliveries:
    """Delivers until stopped."""

    def __init__(
        self, database: Database, writer: Writer, vault: Vault, clock: Clock, live: Live
    ) -> None:
        self.identity = new_id("deliverer")
        self.settings = DeliverySettings()
        self._database = database
        self._writer = writer
        self._box = SecretBox(vault)
        self._clock = clock
        self._live = live
        self._outbox = Outbox(database)
        self._senders: dict[str, Sender] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._wanted = asyncio.Event()
        self._stopping = False

    def install(self, senders: dict[str, Sender], settings: DeliverySettings) -> None:
        """Say who sends to which kind of subscriber, and how patient it is."""
        self._senders, self.settings = senders, settings

    def start(self) -> None:
        for loop in (self._claim_loop(), self._listen_loop(), self._renew_loop()):
            self._loops.append(asyncio.create_task(loop))

    async def stop(self, grace: float = 5.0) -> None:
        """Claim no more; let what is on its way be heard and written down."""
        self._stopping = True
        self._wanted.set()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace)
        tasks = [*self._running.values(), *self._loops]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen_loop(self) -> None:
        async with self._live.watch() as news:
            while True:
                await news.get()
                self._wanted.set()

    async def _claim_loop(self) -> None:
        while not self._stopping:
            self._wanted.clear()
            pause = self.settings.poll_seconds
            try:
                claimed = await self._claimed()
                if not claimed and await self._outbox.is_unsettled():
                    pause = 0.0
            except (Failure, asyncpg.PostgresError) as exc:
                log.warning("claiming subscriptions failed: %s", type(exc).__name__)
                claimed = []
            for row in claimed:
                task = asyncio.create_task(self._work(row), name=row["id"])
                self._running[row["id"]] = task
                task.add_done_callback(self._finished)
            await asyncio.sleep(_TOGETHER_SECONDS)  # news comes in crowds: look once for all of it
            if not claimed and pause:
                await _within(self._wanted, pause)

    async def _claimed(self) -> "list[Record]":
        free = self.settings.in_flight - len(self._running)
        kinds = list(self._senders)
        if free <= 0 or not kinds:
            return []
        seconds = self.settings.lease_seconds
        held = list(self._running)
        return await self._database.rows(_CLAIM, self.identity, seconds, free, kinds, held)

    def _finished(self, task: asyncio.Task[None]) -> None:
        if self._running.get(task.get_name()) is task:
            del self._running[task.get_name()]
        self._wanted.set()

    async def _renew_loop(self) -> None:
        while True:
            await asyncio.sleep(self.settings.lease_seconds / 4)
            try:
                held = list(self._running)
                if held:
                    seconds = self.settings.lease_seconds
                    await self._database.run(_RENEW, self.identity, held, seconds)
            except (Failure, asyncpg.PostgresError) as exc:
                log.warning("renewing leases failed: %s", type(exc).__name__)

    async def _work(self, row: "Record") -> None:
        try:
            lease = self._lease(row)
            for _ in range(_PAGES_A_TURN):
                if not await self._told_next(lease):
                    return
            await self._writer.submit(Act(partial(given_back, lease, lease.position)))
        except (Failure, asyncpg.PostgresError) as exc:
            # Nothing was written down: whoever holds the lease next goes on from there.
            log.warning("deliveries to %s let go: %s", row["id"], type(exc).__name__)

    async def _told_next(self, lease: Lease) -> bool:
        """Tell the next events; return whether to go on."""
        sender = self._senders[lease.target.kind]
        page = await self._outbox.after(lease.position, lease.wanted, limit=self.settings.page)
        events = page.events
        while events and not self._stopping:
            told, events = events[: sender.at_once], events[sender.at_once :]
            outcome = await sender.send(lease.target, told)
            if not await self._noted(lease, told, outcome):
                return False
        if self._stopping or not page.events:
            place = lease.position if self._stopping else page.reached
            await self._writer.submit(Act(partial(given_back, lease, place)))
            return False
        return True

    async def _noted(self, lease: Lease, told: list[Event], outcome: Outcome) -> bool:
        """Write down what came of it; return whether the lease still holds and all were heard."""
        heard = told[: outcome.delivered]
        if heard:
            kept = await self._writer.submit(
                Act(partial(delivered, lease, heard, self.settings.lease_seconds))
            )
            if not kept:
                return False
            lease.position, lease.attempts = heard[-1].position, 0
        if len(heard) == len(told):
            return True
        refused = told[len(heard)]
        await self._writer.submit(Act(partial(failed, lease, refused, outcome, self.settings)))
        return False

    def _lease(self, row: "Record") -> Lease:
        now = self._clock()
        kept = self._box.open(row["id"], bytes(row["secrets"]))
        return Lease(
            id=row["id"],
            name=row["name"],
            owner=self.identity,
            epoch=row["epoch"],
            attempts=row["attempts"],
            position=Position(row["committed_in"], row["position"]),
            wanted=Wanted(
                types=tuple(row["types"]),
                facilities=tuple(row["facilities"]),
                data_classes=tuple(row["data_classes"]),
            ),
            target=Target(
                subscription=row["id"],
                kind=row["kind"],
                address=row["target"],
                generation=row["generation"],
                secrets=tuple(
                    each.value for each in kept if each.until is None or each.until > now
                ),
            ),
        )

    async def ping(self, subscription: str, event: Event) -> Outcome:
        """Send one event outside the queue; nothing moves, whatever comes of it."""
        row = await self._database.row("select * from subscription where id = $1", subscription)
        if row is None or row["kind"] not in self._senders:
            return Outcome(delivered=0, error="nobody sends to this subscription")
        target = self._lease(row).target
        outcome = await self._senders[target.kind].send(target, [event])
        await self._writer.submit(
            Evidence(
                kind="event",
                actor=self.identity,
                action="ping a subscriber",
                outcome="delivered" if outcome.delivered else "failed",
                object=subscription,
            )
        )
        return outcome


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
