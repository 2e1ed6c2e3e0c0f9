"""The group-commit writer: everything that must be durable now travels in one transaction.

Each caller submits its own work and awaits its own answer; all work of the moment is committed
together (`synchronous_commit=on`), so that a hundred waiting callers cost one flush. Work that
PostgreSQL
refuses is tried again alone, so that one caller's mistake is only his.

    caller ──submit──▶ queue ──┐            begin
    caller ──submit──▶ queue ──┼─▶ batch ─▶  work, work, work, audit  ─▶ commit ─▶ every caller's
    answer
    caller ──submit──▶ queue ──┘
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from canonical.errors import Failure, InternalFault, Stopping, StoreUnavailable, TooManyRequests
from ledger.audit_trail import AuditChain, Evidence
from ledger.database import Connection, Database

if TYPE_CHECKING:
    from asyncpg import Record

_MAX_BATCH = 256
_MAX_WAITING = 20_000


_UNWRITABLE = (asyncpg.PostgresError, ValueError, TypeError, ArithmeticError, LookupError)
"""What a record raises that PostgreSQL refuses, or that has no JSON."""
_TELL = "select pg_notify('suture_live', t) from unnest($1::text[]) t"


class Batch:
    """What one batch writes beside the callers' own rows: its audit records, and who must be
    woken.
    """

    def __init__(self, connection: "Connection[Record]") -> None:
        self.connection = connection
        self.evidence: list[Evidence] = []
        self.wakes = False
        self.changed: set[str] = set()


Apply = Callable[[Batch, list[Any]], Awaitable[list[Any]]]
"""Applies all records of one kind in the batch; returns one answer each: a value, or a Failure to
raise.
"""


class Writer:
    """One per process. `kinds` says how each record type is applied, in order."""

    def __init__(self, database: Database, kinds: dict[type, Apply]) -> None:
        self._database = database
        self._kinds = kinds
        self._chain = AuditChain()
        self._queue: deque[tuple[object, asyncio.Future[Any]]] = deque()
        self._batch: list[tuple[object, asyncio.Future[Any]]] = []
        self._wanted = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None
        self.batches = 0
        self.records = 0

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run(), name="ledger-writer")

    async def stop(self) -> None:
        """Write what is queued, then stop."""
        self._stopping = True
        self._wanted.set()
        if self._loop is not None:
            await self._loop

    async def submit(self, record: object) -> Any:
        """Write `record`; return its answer once it is on disk."""
        if self._stopping:
            raise Stopping("the ledger is closing", retry_after=2)
        if len(self._queue) >= _MAX_WAITING:
            raise TooManyRequests("the ledger's queue is full", retry_after=1)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((record, future))
        self._wanted.set()
        return await future

    async def _run(self) -> None:
        try:
            await self._work()
        finally:  # nobody may wait for a writer that has ended
            self._stopping = True
            for _, future in (*self._batch, *self._queue):
                if not future.done():
                    future.set_exception(InternalFault("the ledger's writer has ended"))

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._queue:
                size = min(len(self._queue), _MAX_BATCH)
                self._batch = [self._queue.popleft() for _ in range(size)]
                await self._settle(self._batch)
            if self._stopping:
                return

    async def _settle(self, batch: list[tuple[object, asyncio.Future[Any]]]) -> None:
        answers = await self._attempt([record for record, _ in batch])
        if answers is None and len(batch) > 1:
            for one in batch:
                await self._settle([one])
            return
        if answers is None:
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _attempt(self, records: list[object]) -> list[Any] | None:
        """Commit the records; None where PostgreSQL refused one of several (the caller splits)."""
        try:
            async with self._database.connection() as connection, connection.transaction():
                answers, head = await self._apply(Batch(connection), records)
        except StoreUnavailable as exc:
            # Whether that commit was the last link of the chain nobody knows: a new one begins.
            self._chain = AuditChain()
            return [exc] * len(records)
        except _UNWRITABLE as exc:
            if len(records) == 1:
                report = InternalFault(f"the ledger refused a record: {type(exc).__name__}")
                report.__cause__ = exc
                return [report]
            return None
        self._chain.settle(head)
        self.batches += 1
        self.records += len(records)
        return answers

    async def _apply(
        self, batch: Batch, records: list[object]
    ) -> tuple[list[Any], tuple[int, bytes]]:
        answers: list[Any] = [None] * len(records)
        for kind, apply in self._kinds.items():
            places = [place for place, record in enumerate(records) if type(record) is kind]
            if places:
                results = await apply(batch, [records[place] for place in places])
                for place, result in zip(places, results, strict=True):
                    answers[place] = result
        head = await self._chain.write(batch.connection, batch.evidence)
        if batch.wakes:
            await batch.connection.execute("select pg_notify('suture_work', '')")
        if batch.changed:
            await batch.connection.execute(_TELL, list(batch.changed))
        return answers, head


async def keep_evidence(batch: Batch, records: list[Any]) -> list[Any]:
    """Write plain audit records (HTTP calls, accesses)."""
    batch.evidence.extend(records)
    return [None] * len(records)


class Act(msgspec.Struct, frozen=True):
    """A change of its own that must be committed together with its evidence.

    `run(batch)` writes through the batch's connection and adds to its evidence; a `Failure` it
    raises takes back what it wrote and reaches the caller.
    """

    run: Callable[[Batch], Awaitable[Any]]


async def perform(batch: Batch, acts: list[Any]) -> list[Any]:
    """Perform acts one after the other, each whole or not at all."""
    answers = list[Any]()
    for act in acts:
        told = len(batch.evidence)
        try:
            async with batch.connection.transaction():
                answers.append(await act.run(batch))
        except Failure as failure:
            del batch.evidence[told:]
            answers.append(failure)
    return answers
