"""What a flow may know of the others in its transaction, and what it may have undone of them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

import msgspec

from canonical.errors import EarlierUnfinished
from canonical.request import EventName
from ledger.cancelling import Cancellation, FlowEnded, cancelling
from ledger.waits import Waits

T = TypeVar("T")
_CANCELLED = cast("EventName", "flow-cancelled")


class StartedFlow(msgspec.Struct, frozen=True, kw_only=True):
    """Another flow of the transaction as it stood when it was asked for."""

    flow: str
    status: str
    result: msgspec.Raw

    @property
    def goes_on(self) -> bool:
        return self.status in ("queued", "ready", "waiting", "stuck")


class Neighbours(Waits):
    """The part of a story that looks beyond its own flow."""

    async def outcome_of(self, name: str, flow: str, kind: type[T]) -> T | None:
        """Return what the latest finished flow of that name in this transaction came to."""
        journal, transaction = self._run.journal, self._run.flow.transaction
        return await self._found(name, kind, partial(journal.latest_result, transaction, flow))

    async def began_with(self, name: str, flow: str, key: str, kind: type[T]) -> T | None:
        """Return what the latest flow of that name and key in this transaction began with."""
        journal, transaction = self._run.journal, self._run.flow.transaction
        return await self._found(name, kind, partial(journal.facts_of, transaction, flow, key))

    async def _found(
        self, name: str, kind: type[T], read: Callable[[], Awaitable[str | None]]
    ) -> T | None:
        name, known = self._run.recall(name)
        if known is None:
            self._run.stop_at_the_end_of_the_records()
            self._run.remember_found(name, await read() or "null")
            known = self._run.recorded(name)
        return cast("T | None", msgspec.json.decode(known, type=cast("Any", kind | None)))

    async def outcomes_of(self, name: str, flow: str, kind: type[T]) -> tuple[T, ...]:
        """Return what every finished flow of that name in this transaction came to, in the order in
        which they arrived.

        Raises `EarlierUnfinished` while one that arrived before this flow is not finished.
        """
        name, known = self._run.recall(name)
        if known is None:
            self._run.stop_at_the_end_of_the_records()
            mine = self._run.flow
            if await self._run.journal.is_one_before(mine.transaction, flow, mine.id):
                raise EarlierUnfinished(
                    f"an earlier {flow.replace('-', ' ')} of this story is not finished",
                    where=mine.transaction,
                    fix="settle the task of the earlier one, then retry",
                )
            found = await self._run.journal.results(mine.transaction, flow)
            self._run.remember_found(name, f"[{','.join(found)}]")
            known = self._run.recorded(name)
        found = msgspec.json.decode(known, type=list[msgspec.Raw])
        return tuple(msgspec.json.decode(each, type=kind) for each in found)

    async def started(self, name: str, flow: str, key: str) -> tuple[StartedFlow, ...]:
        """Return the flows of that name and business key in this transaction."""
        name, known = self._run.recall(name)
        if known is None:
            self._run.stop_at_the_end_of_the_records()
            rows = await self._run.journal.started(self._run.flow.transaction, flow, key)
            found = [
                StartedFlow(
                    flow=row["id"],
                    status=row["status"],
                    result=msgspec.Raw(str(row["result"] or "null").encode()),
                )
                for row in rows
            ]
            self._run.remember_found(name, msgspec.json.encode(found).decode())
            known = self._run.recorded(name)
        return msgspec.json.decode(known, type=tuple[StartedFlow, ...])

    async def call_off(self, name: str, flow: str, reason: str) -> bool:
        """Have another flow cancelled; wait until it has undone itself. Return False where a person
        has left it as it is.
        """
        if not self._run.is_recorded(name):
            self._run.stop_at_the_end_of_the_records()
            because = Cancellation(by=self._run.flow.name, reason=reason)
            await self._run.submit(cancelling(flow, because, self._run.now()))
        end = await self.wait(name, FlowEnded, event=_CANCELLED, key=flow, within=timedelta(days=1))
        return end.undone
