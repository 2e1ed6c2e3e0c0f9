"""The worker: claims flows that may run, runs them, and decides what a failure means.

Any number of workers share one PostgreSQL. LISTEN wakes them, a poll a second catches what was
missed; a dead worker's flows are taken over when the lease ends, by database time.
"""

import asyncio
import logging
import random
import traceback

import asyncpg
import msgspec

from canonical.errors import BusinessFailure, Failure, InternalFault, StoreUnavailable
from canonical.task import TaskDraft
from ledger.flow_run import FlowRun, Platform, Suspended
from ledger.ids import derived_id, new_id
from ledger.rows import TaskRow
from ledger.step_journal import LEASE_SECONDS, ClaimedFlow, LeaseLost
from ledger.story import Story
from ledger.timers import Timers

log = logging.getLogger("suture.worker")

POLL_SECONDS = 1.0
MAX_ATTEMPTS = 40
MAX_BACKOFF_SECONDS = 60.0
_IN_FLIGHT = 64


class Worker:
    """Runs flows until stopped."""

    def __init__(self, platform: Platform) -> None:
        self.identity = new_id("worker")
        self._platform = platform
        self._timers = Timers(platform.database)
        self._known: list[str] = []
        self._running: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._wanted = asyncio.Event()
        self._stopping = False

    def start(self) -> None:
        """Start working on the flows that are installed by now."""
        flows = self._platform.catalogue.flows.values()
        self._known = [f"{flow.name}/{flow.version}" for flow in flows]
        hearing = self._platform.database.listen("suture_work", self._heard)
        for loop in (self._claim_loop(), hearing, self._tend_loop()):
            self._loops.append(asyncio.create_task(loop))

    async def stop(self, grace: float = 10.0) -> None:
        """Claim no more, let running flows reach their next record, then stop."""
        self._stopping = True
        self._wanted.set()
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in (*self._running, *self._loops):
            task.cancel()
        await asyncio.gather(*self._running, *self._loops, return_exceptions=True)

    async def _claim_loop(self) -> None:
        while not self._stopping:
            self._wanted.clear()
            free = _IN_FLIGHT - len(self._running)
            try:
                claimed = await self._platform.journal.claim(
                    self.identity, free, self._known, self._in_hand()
                )
            except (StoreUnavailable, asyncpg.PostgresError) as exc:
                log.warning("claiming failed: %s", type(exc).__name__)
                await asyncio.sleep(POLL_SECONDS)
                continue
            for flow in claimed:
                task = asyncio.create_task(self._run(flow), name=flow.id)
                self._running.add(task)
                task.add_done_callback(self._finished)
            if not claimed:
                await _within(self._wanted, POLL_SECONDS)

    def _in_hand(self) -> list[str]:
        return [task.get_name() for task in self._running]

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wanted.set()

    def _heard(self, _payload: str) -> None:
        self._wanted.set()

    async def _tend_loop(self) -> None:
        """Renew leases well before they end, raise what is overdue, wake what was missed."""
        while True:
            try:
                if self._running:
                    await self._platform.journal.renew(self.identity, self._in_hand())
                await self._timers.tend()
            except (StoreUnavailable, asyncpg.PostgresError) as exc:
                log.warning("tending failed: %s", type(exc).__name__)
            await asyncio.sleep(min(POLL_SECONDS, LEASE_SECONDS / 4))

    async def _run(self, flow: ClaimedFlow) -> None:
        definition = self._platform.catalogue.flows[flow.name]
        try:
            first = flow.epoch == 1  # nobody had it before: nothing can be recorded
            recorded = [] if first else await self._platform.journal.recorded(flow.id)
            run = FlowRun(self._platform, flow, definition, recorded)
            await self._tell(run)
        except (LeaseLost, StoreUnavailable, asyncpg.PostgresError) as exc:
            # Whoever holds the lease next goes on from the last record.
            log.info("flow %s let go: %s", flow.id, type(exc).__name__)

    async def _tell(self, run: FlowRun) -> None:
        try:
            await _told(run)
        except Suspended:
            return
        except (StoreUnavailable, LeaseLost):
            raise
        except Failure as failure:
            await self._failed(run, failure)
        except Exception as exc:  # noqa: BLE001 - the worker's edge: a fault in one flow is a task, not the end of the others
            # Type and place only: the text of a stray exception may quote a document.
            where = "".join(traceback.format_tb(exc.__traceback__))
            fault = (run.flow.id, run.flow.name, type(exc).__name__, where)
            log.error("flow %s (%s): %s\n%s", *fault)  # noqa: TRY400 - see above
            await self._failed(run, InternalFault(f"{type(exc).__name__} in {run.flow.name}"))

    async def _failed(self, run: FlowRun, failure: Failure) -> None:
        _make_keepable(failure)
        attempts = run.flow.attempts + 1
        if failure.retryable and attempts < MAX_ATTEMPTS:
            delay = max(_backoff(attempts), failure.retry_after or 0.0)
            why = f"{failure}; try {attempts + 1} in {delay:.1f} s"
            run.tell("waiting to try again", "retry", failure.source, why, outcome=failure.slug)
            await run.flush(status="ready", wake_in=delay, attempts=attempts, failure=failure)
            asyncio.get_running_loop().call_later(delay, self._wanted.set)
            return
        flow = run.flow
        draft = TaskDraft(
            reason=failure.slug,
            title=f"{failure.title}: {flow.name.replace('-', ' ')}",
            detail=str(failure),
            affected=flow.title,
            fix=failure.fix or "correct the cause, then retry; or abandon with a reason",
            owner=run.definition.owner if isinstance(failure, BusinessFailure) else "it-operations",
            actions=("retry", "abandon"),
        )
        task = derived_id("task", flow.id, str(flow.epoch), failure.slug)
        run.pending.append(
            TaskRow.from_draft(task, draft, "stuck", transaction=flow.transaction, flow=flow.id)
        )
        run.tell(draft.title, "task", draft.owner, str(failure), outcome=failure.slug)
        await run.flush(status="stuck", failure=failure)


async def _told(run: FlowRun) -> None:
    """Run the flow from its beginning to its end, and write down that it ended."""
    flow = run.flow
    if flow.attempts >= MAX_ATTEMPTS:
        raise InternalFault(f"each time a worker ended in the middle of it, {flow.attempts} times")
    facts = msgspec.json.decode(flow.facts, type=run.definition.facts)
    result = await run.definition.run(Story(run), facts)
    run.tell(f"{flow.name} completed", "end", "ledger", "")
    await run.flush(status="done", result=result)


def _make_keepable(failure: Failure) -> None:
    """Take out what PostgreSQL keeps in no text: a quoted answer must not hide the failure."""
    for name in ("detail", "where", "expected", "fix"):
        text = str(getattr(failure, name)).encode(errors="replace").decode()
        setattr(failure, name, text.replace("\0", "\ufffd"))


def _backoff(attempt: int) -> float:
    """Exponential with full jitter: 0.25 s, 0.5 s, 1 s … one minute."""
    ceiling: float = min(0.5 * 2 ** min(attempt - 1, 10), MAX_BACKOFF_SECONDS)
    return ceiling / 2 + random.random() * ceiling / 2  # noqa: S311 - jitter, not a secret


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
