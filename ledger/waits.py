"""What a flow waits for: facts from outside, a person's word, its own promises."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast

import msgspec

from canonical.deadline import Deadline
from canonical.request import EventName
from canonical.task import Resolution, TaskDraft
from ledger.due_rows import AwaitedRow, TaskRow, awaited_rows, promised_row, with_deadline
from ledger.flow_run import FlowRun, Suspended
from ledger.ids import derived_id

T = TypeVar("T")


class Waits:
    """The part of a story that costs a row and no task, for days if need be."""

    def __init__(self, run: FlowRun) -> None:
        self._run = run

    async def wait(
        self, name: str, kind: type[T], *, event: EventName, key: str, within: timedelta | Deadline
    ) -> T:
        """Wait for one fact from outside; see `wait_any`."""
        return await self.wait_any(name, {event: kind}, key=key, within=within)

    async def wait_any(
        self,
        name: str,
        kinds: Mapping[EventName, type[T]],
        *,
        key: str,
        within: timedelta | Deadline,
    ) -> T:
        """Wait for whichever of these facts comes next; it may have come already.

        A wait is a row, not a task. When nothing has come `within`, a person gets a task that says
        who is affected (a deadline names them); the flow goes on waiting.
        """
        name, known = self._run.recall(name)
        if known is None:
            self._run.stop_at_the_end_of_the_records()
            signal = await self._run.first_signal(list(kinds), key)
            if signal is None:
                await self._sleep(name, list(kinds), key, within)
            self._run.remember_signal(name, signal)
            await self._run.flush()
            known = self._run.recorded(name)
        news = msgspec.json.decode(known, type=_News)
        return cast("T", msgspec.json.decode(news.facts, type=cast("Any", kinds)[news.event]))

    def promise(self, name: str, due: Deadline, *, until: str = "") -> None:
        """Have a task raised unless the step `until` is recorded in time, or the flow has ended."""
        own, known = self._run.recall(f"promise {name}")
        if known is None:
            self._run.stop_at_the_end_of_the_records()
            row = promised_row(self._run.flow.id, name, due, until, self._run.flow.database_time())
            self._run.pending.append(row)
            self._run.remember_note(own, "promise", f"due {row.due_at:%Y-%m-%d %H:%M} UTC")

    async def decision(
        self, name: str, draft: TaskDraft, due: Deadline | None = None
    ) -> Resolution:
        """Ask a person: the task is the question, its resolution the answer. A question that is
        open when it is `due` is escalated, once.
        """
        name, known = self._run.recall(name)
        if known is None:
            self._run.stop_at_the_end_of_the_records()
            flow = self._run.flow
            task = derived_id("task", flow.id, name)
            signal = await self._run.first_signal(["task-resolved"], task)
            if signal is None:
                row = TaskRow.from_draft(
                    task, draft, "decision", transaction=flow.transaction, flow=flow.id
                )
                self._run.pending.append(with_deadline(row, due, self._run.flow.database_time()))
                self._run.tell(f"{name}: asked", "task", draft.owner, draft.title)
                await self._sleep(name, ["task-resolved"], task, None)
            answer = msgspec.json.decode(str(signal["facts"]), type=Resolution)
            self._run.remember_signal(name, signal, actor=answer.by)
            await self._run.flush()
            known = self._run.recorded(name)
        news = msgspec.json.decode(known, type=_News)
        return msgspec.json.decode(news.facts, type=Resolution)

    async def _sleep(
        self, name: str, events: list[str], key: str, within: timedelta | Deadline | None
    ) -> NoReturn:
        row = AwaitedRow(self._run.flow.id, name, "", key, None, "")
        self._run.pending += awaited_rows(row, events, within, self._run.flow.database_time())
        await self._run.flush(status="waiting")
        raise Suspended


class _News(msgspec.Struct, frozen=True):
    """What a wait recorded: which event came, and its facts."""

    event: str
    facts: msgspec.Raw
