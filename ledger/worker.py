"""The worker: claims flows that may run, runs them, and decides what a failure means.

Any number of workers share one PostgreSQL. LISTEN wakes them, a poll a second catches what was
missed; a dead worker's flows are taken over when the lease ends, by database time.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec

from canonical.errors import BusinessFailure, Failure, InternalFault, StoreUnavailable
from canonical.request import CALL, RequestFacts
from canonical.task import TaskAction, TaskDraft
from ledger.batch import ClaimedFlow, LeaseLost
from ledger.cancelling import FlowEnded
from ledger.catalogue import encoded
from ledger.crowds import Crowded
from ledger.database import ended
from ledger.due_rows import TaskRow
from ledger.flow_run import CancelWanted, FlowRun, Platform, Rewound, Suspended
from ledger.ids import derived_id, new_id
from ledger.retelling import story_of
from ledger.rows import SignalRow
from ledger.story import Story
from ledger.timers import Timers
from ledger.unwinding import unwind

log = logging.getLogger("suture.worker")

POLL_SECONDS = 1.0
_SUSPECT_PAUSE_SECONDS = 0.25


class Worker:
    """Runs flows until stopped."""

    def __init__(self, platform: Platform, tend: Callable[[], Awaitable[None]]) -> None:
        self.identity = new_id("worker")
        self._platform = platform
        self._settings = platform.settings
        self._timers = Timers(platform.database, platform.writer)
        self._tend = tend
        self._known: list[str] = []
        self._running: dict[asyncio.Task[None], FlowRun | None] = {}
        self._flows: dict[str, ClaimedFlow] = {}
        self._suspected_at = 0.0
        self._claiming: asyncio.Task[None] | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._wanted = asyncio.Event()
        self._stopping = False

    def start(self) -> None:
        """Start working on the flows that are installed by now."""
        self._known = [f"{name}/{version}" for name, version in self._platform.catalogue.flows]
        hearing = self._platform.database.listen("suture_work", lambda _: self.look())
        self._claiming = asyncio.create_task(self._claim_loop())
        others = (asyncio.create_task(loop) for loop in (hearing, self._tend_loop()))
        self._loops += (self._claiming, *others)

    async def stop(self, grace: float = 10.0) -> None:
        """Claim no more, let running flows reach their next record, then stop."""
        self._stopping = True
        self._wanted.set()
        if self._claiming is not None:  # what it is just claiming is run to its next record, too
            await asyncio.wait({self._claiming}, timeout=grace)
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        await ended(*self._running, *self._loops)

    def look(self) -> None:
        """Look for work now."""
        self._wanted.set()

    async def _claim_loop(self) -> None:
        while not self._stopping:
            self._wanted.clear()
            claimed = await self._claimed(self._free())
            for flow in claimed:
                task = asyncio.create_task(self._run(flow), name=flow.id)
                self._running[task], self._flows[flow.id] = None, flow
                task.add_done_callback(self._finished)
            if not claimed:
                await _within(self._wanted, POLL_SECONDS)

    def _free(self) -> int:
        """How many more flows may run; those that wait for an answer from outside cost nothing."""
        outside = sum(run is not None and run.outside for run in self._running.values())
        inside = len(self._running) - outside
        room = min(
            self._settings.in_flight - inside, self._settings.most_running - len(self._running)
        )
        return max(room, 0)

    async def _claimed(self, free: int) -> list[ClaimedFlow]:
        if not free:
            return []
        try:
            journal, in_hand = self._platform.journal, self._in_hand()
            claimed = await journal.claim(self.identity, free, self._known, in_hand)
            if self._may_take_a_suspect():
                suspects = await journal.claim(
                    self.identity, 1, self._known, in_hand, suspects=True
                )
                if not suspects:
                    self._suspected_at = time.monotonic()
                claimed += suspects
        except (StoreUnavailable, asyncpg.PostgresError) as exc:
            log.warning("claiming failed: %s", type(exc).__name__)
            await asyncio.sleep(POLL_SECONDS)
            return []
        else:
            return claimed

    def _may_take_a_suspect(self) -> bool:
        """One at a time: a flow that kills its workers must not be taken for its neighbours.

        What one dead worker had in hand is taken over at once; over whom two have died in a row
        without progress, one of them may be to blame.
        """
        rested = time.monotonic() - self._suspected_at > _SUSPECT_PAUSE_SECONDS
        return rested and not any(flow.crashes > 1 for flow in self._flows.values())

    def _in_hand(self) -> list[str]:
        return [task.get_name() for task in self._running]

    def _finished(self, task: "asyncio.Task[None]") -> None:
        del self._running[task]
        self._flows.pop(task.get_name(), None)
        self._wanted.set()

    async def _renew(self) -> None:
        ends, renewed = await self._platform.journal.renew(self.identity, self._in_hand())
        for name in renewed & self._flows.keys():
            self._flows[name].lease_ends = ends

    async def _tend_loop(self) -> None:
        """Renew leases well before they end, raise what is overdue."""
        while True:
            try:
                if self._running:
                    await self._renew()
                await self._timers.tend()
                await self._tend()
            except (StoreUnavailable, asyncpg.PostgresError) as exc:
                log.warning("tending failed: %s", type(exc).__name__)
            await asyncio.sleep(min(POLL_SECONDS, self._settings.lease_seconds / 4))

    async def _run(self, flow: ClaimedFlow) -> None:
        CALL.set(RequestFacts(correlation_id=flow.id, transaction=flow.transaction))
        definition = self._platform.catalogue.flows[flow.name, flow.version]
        try:
            first = flow.epoch == 1 and flow.replay_of is None and flow.cancel is None
            # Of a flow that nobody had before nothing can be recorded.
            recorded = [] if first else await self._platform.journal.recorded(flow.id)
            run = FlowRun(self._platform, flow, definition, recorded)
            if (task := asyncio.current_task()) is not None:
                self._running[task] = run
            await self._tell(run, await story_of(run, self._platform.database))
        except CancelWanted:  # what has been recorded is undone at once, under the same lease
            flow.cancel = "{}"
            await self._run(flow)
        except (LeaseLost, StoreUnavailable, asyncpg.PostgresError) as exc:
            # Whoever holds the lease next goes on from the last record.
            log.info("flow %s let go: %s", flow.id, type(exc).__name__)

    async def _tell(self, run: FlowRun, story: Story) -> None:
        try:
            self._refuse_poison(run)
            await (_undone(run, story) if run.rewinding else _told(run, story))
        except Suspended:
            return
        except Crowded as crowded:
            await run.flush(status="ready", run_in=crowded.pause, attempts=run.flow.attempts)
        except (StoreUnavailable, LeaseLost):
            raise
        except Failure as failure:
            await self._failed(run, failure)
        except (CancelWanted, Rewound):
            raise
        except Exception as exc:  # noqa: BLE001 - the worker's edge: a fault in one flow is a task, not the end of the others
            # Type and place only: the text of a stray exception may quote a document.
            where = "".join(traceback.format_tb(exc.__traceback__))
            fault = (run.flow.id, run.flow.name, type(exc).__name__, where)
            log.error("flow %s (%s): %s\n%s", *fault)  # noqa: TRY400 - see above
            await self._failed(run, InternalFault(f"{type(exc).__name__} in {run.flow.name}"))

    def _refuse_poison(self, run: FlowRun) -> None:
        if run.flow.crashes >= self._settings.max_crashes:
            raise InternalFault(
                f"each time a worker ended in the middle of it, {run.flow.crashes} times"
            )

    async def _failed(self, run: FlowRun, failure: Failure) -> None:
        _make_keepable(failure)
        attempts = run.flow.attempts + failure.counts_as_a_try
        retry = run.definition.retry
        if failure.retryable and attempts < (retry.attempts or self._settings.max_attempts):
            delay = max(retry.pause(max(attempts, 1)), failure.retry_after or 0.0)
            why = f"{failure}; try {attempts + 1} of «{run.at}» in {delay:.1f} s"
            run.tell("waiting to try again", "retry", failure.source, why, outcome=failure.slug)
            await run.flush(status="ready", run_in=delay, attempts=attempts, failure=failure)
            asyncio.get_running_loop().call_later(delay, self._wanted.set)
            return
        flow = run.flow
        draft = await _stuck(run, failure)
        task = derived_id("task", flow.id, str(flow.epoch), failure.slug)
        run.pending.append(
            TaskRow.from_draft(task, draft, "stuck", transaction=flow.transaction, flow=flow.id)
        )
        run.tell(draft.title, "task", draft.owner, str(failure), outcome=failure.slug)
        await run.flush(status="stuck", failure=failure)


async def _told(run: FlowRun, story: Story) -> None:
    """Run the flow from its beginning to its end, and write down that it ended."""
    facts = msgspec.json.decode(run.flow.facts, type=run.definition.facts)
    result = await run.definition.run(story, facts)
    story.conclude()
    run.tell(f"{run.flow.name} completed", "end", "ledger", "")
    await run.flush(status="done", result=result)


async def _undone(run: FlowRun, story: Story) -> None:
    """Tell again what is recorded, then take it back, and write down that it is undone."""
    flow = run.flow
    facts = msgspec.json.decode(flow.facts, type=run.definition.facts)
    try:
        await run.definition.run(story, facts)
    except (Rewound, Failure):
        run.pending.clear()  # nothing new may be said by the way
    run.pending.clear()
    run.rewinding = False
    await unwind(run)
    run.tell(f"{flow.name} cancelled", "end", "ledger", f"{len(run.undos)} steps are undone")
    end = encoded(FlowEnded(flow=flow.name, undone=True))
    run.pending += [
        SignalRow(flow.transaction, None, "flow-cancelled", each, end) for each in sorted(run.line)
    ]
    await run.flush(status="cancelled")


async def _stuck(run: FlowRun, failure: Failure) -> TaskDraft:
    """Return the question to a person: what failed, after what, and what may be done."""
    name = run.flow.name.replace("-", " ")
    actions: tuple[TaskAction, ...] = ("retry", "abandon")
    if not run.unwinding:
        actions = ("retry", "compensate" if run.has_effects else "correct", "abandon")
    return TaskDraft(
        reason=failure.slug,
        title=f"{failure.title}: {'undoing ' if run.unwinding else ''}{name}",
        detail=str(failure),
        affected=await run.title(),
        fix=failure.fix or "correct the cause, then retry; or abandon with a reason",
        owner=run.definition.owner if isinstance(failure, BusinessFailure) else "it-operations",
        actions=actions,
    )


def _make_keepable(failure: Failure) -> None:
    """Take out what PostgreSQL keeps in no text: a quoted answer must not hide the failure."""
    for name in ("detail", "where", "expected", "fix"):
        text = str(getattr(failure, name)).encode(errors="replace").decode()
        setattr(failure, name, text.replace("\0", "\ufffd"))


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
