"""One lane of the writer: one queue, one connection, one chain of the audit trail."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from canonical.errors import InternalFault, StoreUnavailable
from ledger.audit_trail import AuditChain, Evidence
from ledger.batch import Batch, FlowWrite
from ledger.database import Connection, Database, store_errors

if TYPE_CHECKING:
    from asyncpg import Record

log = logging.getLogger("suture.writer")

_MAX_BATCH = 256
_BUSY_BATCH = 16
_LINGER_SECONDS = 0.001
_LOOK_SECONDS = 5.0

_UNWRITABLE = (asyncpg.PostgresError, ValueError, TypeError, ArithmeticError, LookupError)
"""What a record raises that PostgreSQL refuses, or that has no JSON."""

Apply = Callable[[Batch, list[Any]], Awaitable[list[Any]]]
"""Applies all records of one kind in the batch; returns one answer each: a value, or a Failure to
raise.
"""


class Kind(NamedTuple):
    """How records of one type are written, and under which locks (taken before anything else)."""

    apply: Apply
    locks: Callable[[Any], Iterable[int]]


class _Submitted(NamedTuple):
    record: object
    future: "asyncio.Future[Any]"


class Lane:
    """One queue, one connection, one chain of the audit trail."""

    def __init__(
        self,
        database: Database,
        kinds: dict[type, Kind],
        news: Callable[[Batch], None],
        ended: Callable[[], None],
    ) -> None:
        self._database = database
        self._ended = ended
        self._kinds = kinds
        self._news = news
        self._chain = AuditChain()
        self._queue: deque[_Submitted] = deque()
        self._batch: list[_Submitted] = []
        self._latest = 0
        self._wanted = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None
        self._connection: Connection[Record] | None = None
        self._held = AsyncExitStack()
        self.batches = 0
        self.records = 0

    @property
    def waiting(self) -> int:
        return len(self._queue) + len(self._batch)

    @property
    def busy(self) -> bool:
        return bool(self._batch)

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run(), name="ledger-writer")

    def end(self) -> None:
        self._stopping = True
        self._wanted.set()

    async def stop(self) -> None:
        if self._loop is not None:
            await self._loop

    def submit(self, record: object) -> "asyncio.Future[Any]":
        if self._stopping:
            raise InternalFault("the ledger's writer has ended")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append(_Submitted(record, future))
        self._wanted.set()
        return future

    async def _run(self) -> None:
        try:
            await self._work()
        finally:  # nobody may wait for a writer that has ended
            self._ended()
            for each in (*self._batch, *self._queue):
                if not each.future.done():
                    each.future.set_exception(InternalFault("the ledger's writer has ended"))
            await self._let_go()

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._queue:
                # While many write, a moment more makes one commit of two; who is alone never waits.
                if len(self._queue) * 2 < self._latest >= _BUSY_BATCH:
                    await asyncio.sleep(_LINGER_SECONDS)
                size = min(len(self._queue), _MAX_BATCH)
                self._batch = [self._queue.popleft() for _ in range(size)]
                self._latest = size
                await self._settle(self._batch)
                self._batch = []
            if self._stopping:
                return

    async def _settle(self, batch: list[_Submitted]) -> None:
        answers = await self._attempt([each.record for each in batch])
        if answers is None and len(batch) > 1:
            for one in batch:
                await self._settle([one])
            return
        for (_, future), answer in zip(batch, answers or (), strict=bool(answers)):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _attempt(self, records: list[object]) -> list[Any] | None:
        """Commit the records; None where PostgreSQL refused one of several (the caller splits)."""
        answers: list[Any] = [None] * len(records)
        try:
            batch = await self._commit(records, answers)
        except StoreUnavailable as exc:
            return await self._looked_up(records, answers, exc)
        except _UNWRITABLE as exc:
            if len(records) == 1:
                report = InternalFault(f"the ledger refused a record: {type(exc).__name__}")
                report.__cause__ = exc
                return [report]
            return None
        self._chain.settle()
        self.batches += 1
        self.records += len(records)
        self._news(batch)
        return answers

    async def _commit(self, records: list[object], answers: list[Any]) -> Batch:
        """Write the records; fill in the answers. Flows and audit records alone are one call."""
        self._chain.begin()
        async with AsyncExitStack() as stack:
            if self._connection is None:
                self._connection = await self._held.enter_async_context(self._database.connection())
            stack.enter_context(store_errors())
            batch = Batch(self._connection)
            writes = dict[int, int]()
            for place, record in enumerate(records):
                if isinstance(record, FlowWrite):
                    batch.writes.append(record)
                    writes[id(record)] = place
                elif isinstance(record, Evidence):
                    batch.evidence.append(record)
            if len(batch.writes) + len(batch.evidence) < len(records):
                await stack.enter_async_context(self._connection.transaction())
                await self._apply(batch, records, answers)
            kept = await batch.keep(self._chain)
            for write, place in writes.items():
                answers[place] = kept.get(write, "lease-lost")
        return batch

    async def _apply(self, batch: Batch, records: list[object], answers: list[Any]) -> None:
        locks = {self._chain.lock}
        for record in records:
            if (kind := self._kinds.get(type(record))) is not None:
                locks.update(kind.locks(record))
        await batch.connection.execute(
            "select pg_advisory_xact_lock(n) from unnest($1::bigint[]) n", sorted(locks)
        )
        for kind_of, kind in self._kinds.items():
            places = [place for place, record in enumerate(records) if type(record) is kind_of]
            if places:
                results = await kind.apply(batch, [records[place] for place in places])
                for place, result in zip(places, results, strict=True):
                    answers[place] = result

    async def _looked_up(
        self, records: list[object], answers: list[Any], lost: StoreUnavailable
    ) -> list[Any]:
        """Return what became of a batch whose commit was cut off: what is on disk was committed.

        What a flow's write came to is told by its journal: the flow goes on from there.
        """
        await self._let_go()
        if not self._chain.has_drawn:  # it broke before there was anything to commit
            return [lost] * len(records)
        try:
            async with (
                asyncio.timeout(_LOOK_SECONDS),
                self._database.connection() as connection,
                connection.transaction(),
            ):
                found: bool | None = await self._chain.is_on_disk(connection)
        except (StoreUnavailable, TimeoutError, asyncpg.PostgresError):
            found = None
        if found:
            self._chain.settle()
            known = [not isinstance(record, FlowWrite) for record in records]
            return [answer if sure else lost for answer, sure in zip(answers, known, strict=True)]
        if found is None:  # whether that was the last link of the chain nobody knows
            self._chain = AuditChain()
        return [lost] * len(records)

    async def _let_go(self) -> None:
        held, self._held, self._connection = self._held, AsyncExitStack(), None
        try:
            await held.aclose()
        except (StoreUnavailable, asyncpg.PostgresError, OSError) as exc:
            log.info("the writer's connection was gone: %s", type(exc).__name__)
