"""The group-commit writer: everything that must be durable now travels in one transaction.

Each caller submits its own work and awaits its own answer; all work of the moment is committed
together (`synchronous_commit=on`), so that a hundred waiting callers cost one flush. Work that
PostgreSQL refuses is tried again alone, so that one caller's mistake is only his.

    caller ──submit──▶ lane ──┐         locks, fences, rows, audit: one call
    caller ──submit──▶ lane ──┼─▶ batch ─▶ commit ─▶ every caller's answer
    caller ──submit──▶ lane ──┘

There are two lanes: what flows and calls record is one statement a batch; arrivals and acts look
at the tables first. PostgreSQL writes the one while the callers of the other go on.
When the connection breaks in the middle of a commit, the writer looks whether the batch is there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from canonical.errors import Failure, Stopping, StoreUnavailable
from ledger.audit.evidence import circumstances
from ledger.audit_trail import Evidence
from ledger.batch import Batch, FlowWrite
from ledger.database import Database
from ledger.lane import Kind, Lane

_MAX_WAITING = 20_000


class Writer:
    """One per process. `kinds` says how each record type is applied, in order; flow writes and
    plain audit records need no kind. `news` hears what a batch changed, after its commit.
    """

    def __init__(
        self, database: Database, kinds: dict[type, Kind], news: Callable[[Batch], None]
    ) -> None:
        self._recording = Lane(database, kinds, news, self._end)
        self._booking = Lane(database, kinds, news, self._end)
        self._lanes = (self._recording, self._booking)
        self._stopping = False

    def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    async def stop(self) -> None:
        """Write what is queued, then stop."""
        self._end()
        await asyncio.gather(*(lane.stop() for lane in self._lanes))

    def _end(self) -> None:
        self._stopping = True
        for lane in self._lanes:
            lane.end()

    @property
    def batches(self) -> int:
        return sum(lane.batches for lane in self._lanes)

    @property
    def records(self) -> int:
        return sum(lane.records for lane in self._lanes)

    @property
    def waiting(self) -> int:
        """How many records wait for their commit: what back-pressure is judged by."""
        return sum(lane.waiting for lane in self._lanes)

    async def submit(self, record: object) -> Any:
        """Write `record`; return its answer once it is on disk.

        Raises `StoreUnavailable` where the queue is full (flows excepted: they are bounded by their
        worker) or PostgreSQL is away, `Stopping` when the ledger closes.
        """
        if self._stopping:
            raise Stopping("the ledger is closing", retry_after=2)
        lane = self._recording if isinstance(record, FlowWrite | Evidence) else self._booking
        if lane.waiting >= _MAX_WAITING and not isinstance(record, FlowWrite):
            raise StoreUnavailable(
                f"{self.waiting} records wait to be written", fix="call again", retry_after=1
            )
        return await lane.submit(record)


class Act(msgspec.Struct, frozen=True):
    """A change of its own that must be committed together with its evidence.

    `run(batch)` writes through the batch's connection and adds to its evidence; a `Failure` it
    raises takes back what it wrote and reaches the caller. `locks` are held before it begins.
    `under` is the call on whose behalf it is made.
    """

    run: Callable[[Batch], Awaitable[Any]]
    locks: tuple[int, ...] = ()
    under: dict[str, str] = msgspec.field(default_factory=circumstances)


async def perform(batch: Batch, acts: list[Any]) -> list[Any]:
    """Perform acts one after the other, each whole or not at all."""
    answers = list[Any]()
    for act in acts:
        told = len(batch.evidence)
        try:
            async with batch.connection.transaction():
                answers.append(await act.run(batch))
            batch.complete(told, act.under)
        except Failure as failure:
            del batch.evidence[told:]
            answers.append(failure)
    return answers
