"""The story of a replay: what was done before with the same content is not done again.

read or rule   pinned: the record holds where the same went in; current: read or ruled anew
effect         same content: suppressed; other content: the old one is undone where it can be,
               then it is done again under the replay's own key
announcement   same facts: suppressed; other facts: announced anew
question       the same: the answer of then holds
wait           takes what came from outside again, in the order in which it came
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

import msgspec

from canonical.context import PatientContext
from canonical.deadline import Deadline
from canonical.published import Published
from canonical.request import EventName
from canonical.task import Resolution, TaskDraft
from ledger.catalogue import encoded
from ledger.database import Database
from ledger.flow_run import FlowRun, Undo
from ledger.former import (
    EFFECTS,
    RECORDED,
    SUPPRESSED,
    UNDO_EARLIER,
    Former,
    Past,
    ReplayTerms,
    former_of,
    results_before,
    said,
)
from ledger.ids import derived_id
from ledger.neighbours import StartedFlow
from ledger.provenance import parameter_names, parameter_types, result_type
from ledger.publishing import published_name
from ledger.story import Story
from ledger.unwinding import call_off, effect_undo

P = ParamSpec("P")
T = TypeVar("T")


async def story_of(run: FlowRun, database: Database) -> Story:
    """Return the story that a run tells: a replay knows what was before."""
    flow = run.flow
    if flow.replay_of is None or flow.replay is None:
        return Story(run)
    terms = msgspec.json.decode(flow.replay, type=ReplayTerms)
    former = await former_of(database, flow.transaction, flow.id, terms.mapping)
    return Retelling(run, former, database)


class Retelling(Story):
    """A story that was told before."""

    def __init__(self, run: FlowRun, former: Former, database: Database) -> None:
        super().__init__(run)
        run.line = frozenset(former.line)
        self._former = former
        self._database = database

    def now(self) -> datetime:
        at = super().now()  # content that differs by the time of telling only is the same
        self._former.moments.add(encoded(at).encode())
        return at

    async def ask(
        self, name: str, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self._take_from_the_record(name, "ask", call, args)
        return await super().ask(name, call, *args, **kwargs)

    async def decide(self, name: str, rule: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._take_from_the_record(name, "decide", rule, args)
        return await super().decide(name, rule, *args, **kwargs)

    async def step(
        self,
        name: str,
        call: Callable[..., Awaitable[Any]],
        *args: Any,
        compensate: Callable[..., Awaitable[object]] | None = None,
    ) -> Any:
        await self._settle(name, call, args, compensate)
        tell: Any = super().step
        return await tell(name, call, *args, compensate=compensate)

    async def disclose(
        self,
        name: str,
        call: Callable[..., Awaitable[Any]],
        first: Any,
        /,
        *,
        token: str,
        purpose: str,
        compensate: Callable[..., Awaitable[object]] | None = None,
    ) -> Any:
        await self._settle(name, call, (first,), compensate, partial(self._patient, token, purpose))
        tell: Any = super().disclose
        return await tell(name, call, first, token=token, purpose=purpose, compensate=compensate)

    async def decision(
        self, name: str, draft: TaskDraft, due: Deadline | None = None
    ) -> Resolution:
        own = self._run.next_name(name)
        if self._is_open(own) and (answer := self._former.answer_to(draft)) is not None:
            facts = encoded(answer)
            self._run.remember_hop(
                own,
                "wait",
                "outside",
                f'{{"event":"task-resolved","facts":{facts}}}',
                output=facts,
                actor=answer.by,
                outcome=SUPPRESSED,
                why="the same was asked and answered before",
            )
        return await super().decision(name, draft, due)

    async def outcome_of(self, name: str, flow: str, kind: type[T]) -> T | None:
        return await self._found(name, kind, partial(self._latest_before, flow))

    async def _latest_before(self, flow: str) -> str | None:
        results = await self._results_before(flow)
        return results[-1] if results else None

    async def _results_before(self, flow: str) -> list[str]:
        return await results_before(
            self._database, self._run.flow.transaction, flow, self._former.arrival
        )

    async def _found(
        self, name: str, kind: type[T], read: Callable[[], Awaitable[str | None]]
    ) -> T | None:
        self._find_in_the_record(name)
        return await super()._found(name, kind, read)

    async def outcomes_of(self, name: str, flow: str, kind: type[T]) -> tuple[T, ...]:
        self._find_in_the_record(name)
        own = self._run.next_name(name)
        if self._is_open(own):
            self._run.remember_found(own, f"[{','.join(await self._results_before(flow))}]")
        return await super().outcomes_of(name, flow, kind)

    async def started(self, name: str, flow: str, key: str) -> tuple[StartedFlow, ...]:
        self._find_in_the_record(name)
        return await super().started(name, flow, key)

    def _find_in_the_record(self, name: str) -> None:
        own = self._run.next_name(name)
        past = self._former.steps.get(own)
        if self._former.pinned and past is not None and self._is_open(own):
            self._again(own, "ask", past, RECORDED, "as it was found then")

    def publish(self, *told: Published, subject: str) -> None:
        name = published_name(told, subject)
        own = self._run.next_name(name)
        past = self._former.standing(own)
        if past is not None and self._is_open(own) and self._former.published(own, told):
            self._again(own, "publish", past, SUPPRESSED, "subscribers were told before")
        super().publish(*told, subject=subject)

    async def announce(
        self, event: EventName, facts: msgspec.Struct, *, key: str, undo: bool = False
    ) -> None:
        name = f"announce {event} {key}"
        own, run = self._run.next_name(name), self._run
        past = self._former.standing(own)
        undo_child = undo and run.catalogue.started_by(event) is not None
        if past is not None and self._is_open(own):
            if self._former.announced(own, encoded(facts)) is not None:
                run.has_effects = True
                self._again(own, "announce", past, SUPPRESSED, f"{event}, said before")
            elif undo_child:
                await self._call_off_earlier(own, past)
        elif past is not None and run.rewinding and run.is_recorded(own):
            run.recall(name)
            if undo_child:
                child = derived_id("flow", past.flow, own)
                run.undos.append(Undo(own, partial(call_off, self, child)))
            return
        await super().announce(event, facts, key=key, undo=undo)

    def conclude(self) -> None:
        for name, past in self._former.steps.items():
            done = past.stands and past.kind in (*EFFECTS, "announce")
            if done and not self._run.is_recorded(name):
                why = "the replay does not come to it: what was done stays as it is"
                self._run.tell(name, "replay", past.system, why, outcome="left standing")

    def _again(self, name: str, kind: str, past: Past, outcome: str, why: str) -> None:
        """Let the record of a step hold."""
        self._run.remember_hop(
            name,
            kind,
            past.system,
            past.output,
            input=past.input,
            output=past.output,
            versions=past.versions,
            outcome=outcome,
            why=why,
        )

    def _is_open(self, name: str) -> bool:
        return not self._run.is_recorded(name) and not self._run.rewinding

    def _take_from_the_record(
        self, name: str, kind: str, call: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        """Reuse what was read or ruled, where the same goes in and what ran then shall hold."""
        own = self._run.next_name(name)
        if self._former.pinned and self._is_open(own):
            past = self._former.repeated(own, said(parameter_names(call), args))
            if past is not None:
                self._again(own, kind, past, RECORDED, "as it was then")

    async def _settle(
        self,
        name: str,
        call: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        compensate: Callable[..., Awaitable[object]] | None,
        patient: Callable[[], Awaitable[PatientContext]] | None = None,
    ) -> None:
        """Before an effect: see what became of the earlier one, and under which key."""
        own, run = self._run.next_name(name), self._run
        past = self._former.standing(own)
        run.keys.pop(own, None)
        if run.is_recorded(own):
            if past is not None:
                run.keys[own] = past.key
            return
        if past is None or run.rewinding:
            self._keep_the_key(own)
        elif self._former.repeated(own, said(parameter_names(call), args)) is not None:
            run.has_effects = True
            why = f"done before with the same content under key {past.key}"
            self._again(own, "effect", past, SUPPRESSED, why)
            run.keys[own] = past.key
        elif compensate is not None:
            await self._undo_earlier(own, past, call, compensate, patient)

    def _keep_the_key(self, own: str) -> None:
        if (key := self._former.unsure_key(own)) is not None:
            self._run.keys[own] = key

    async def _undo_earlier(
        self,
        own: str,
        past: Past,
        call: Callable[..., Awaitable[Any]],
        compensate: Callable[..., Awaitable[object]],
        patient: Callable[[], Awaitable[PatientContext]] | None,
        /,
    ) -> None:
        """Take back what was done with other content; the record says so before it is done anew."""
        name = f"{UNDO_EARLIER}{own}"
        if self._run.is_recorded(name):
            return
        done = msgspec.json.decode(past.output, type=result_type(call))
        undo = effect_undo(
            self._run, own, compensate, _arguments(call, past), done, patient=patient
        )
        self._run.keys[own] = past.key
        try:
            await undo.run(name)
        finally:
            del self._run.keys[own]

    async def _call_off_earlier(self, own: str, past: Past) -> None:
        name = f"{UNDO_EARLIER}{own}"
        if not self._run.is_recorded(name):
            await call_off(self, derived_id("flow", past.flow, own), name)


def _arguments(call: Callable[..., Any], past: Past) -> tuple[Any, ...]:
    """Return what went into a recorded call, as it was."""
    given = msgspec.json.decode(past.input or "{}", type=dict[str, msgspec.Raw])
    types = parameter_types(call)
    return tuple(
        msgspec.json.decode(given[name], type=types[name])
        for name in parameter_names(call)
        if name in given
    )
