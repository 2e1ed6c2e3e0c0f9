"""What a flow sees: one business transaction, told step by step.

    stock  = await story.ask("stock", erp.stock, item, place)                       # a read
    short  = await story.decide("what falls below par", below_par, stock, par)      # a rule
    posted = await story.step("consumption", erp.post, movement,                    # an effect,
                              compensate=erp.reverse)                               # and its undo
    notice = await story.wait("ship notice", ShipNotice, event=…, key=order, within=…)

Every name is told once: what was recorded is not run again. Reads and rules are kept in hand and
written down before the next effect starts; an effect is written down when it is done, and when it
is interrupted it runs again under the same `key`.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast, overload

import msgspec

from canonical.context import PatientContext
from canonical.errors import Forbidden
from canonical.published import Published
from canonical.request import EventName
from ledger.catalogue import encoded
from ledger.effects import Claim, Compensation, Compensation2, Disclosure, Effect, Effect2, Redress
from ledger.flow_run import Undo
from ledger.ids import derived_id
from ledger.neighbours import Neighbours
from ledger.provenance import result_type
from ledger.publishing import publish
from ledger.rows import ClaimRow, ReferenceRow, ReleaseRow
from ledger.unwinding import call_off, claim_undo, effect_undo

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
D = TypeVar("D")


class Story(Neighbours):
    """One flow of one transaction."""

    @property
    def transaction(self) -> str:
        return self._run.flow.transaction

    def now(self) -> datetime:
        """Return the time of this run, for what is said to people; rules get their day by `ask`."""
        return self._run.now()

    async def ask(
        self, name: str, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Read from a system. A person's «retry» reads again what came after the last effect."""
        name, known = self._run.recall(name)
        if known is not None:
            return cast("T", _decoded(known, call))
        self._run.stop_at_the_end_of_the_records()
        began = time.perf_counter()
        result = cast("T", await self._run.call(call, args, **kwargs))
        self._run.remember(name, "ask", call, args, result, began)
        return result

    async def decide(self, name: str, rule: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Apply a rule and keep its verdict with the rule's version."""
        name, known = self._run.recall(name)
        if known is not None:
            return cast("T", _decoded(known, rule))
        self._run.stop_at_the_end_of_the_records()
        began = time.perf_counter()
        result = rule(*args, **kwargs)
        self._run.remember(name, "decide", rule, args, result, began)
        return result

    @overload
    async def step(
        self,
        name: str,
        call: Effect[A, D],
        first: A,
        /,
        *,
        compensate: Compensation[A, D] | None = None,
    ) -> D: ...
    @overload
    async def step(
        self,
        name: str,
        call: Effect2[A, B, D],
        first: A,
        second: B,
        /,
        *,
        compensate: Compensation2[A, B, D] | None = None,
    ) -> D: ...
    async def step(
        self,
        name: str,
        call: Callable[..., Awaitable[Any]],
        *args: Any,
        compensate: Callable[..., Awaitable[object]] | None = None,
    ) -> Any:
        """Change another system, once: the call gets `key`, the same on every try.

        `compensate` takes it back when the flow is cancelled.
        """
        name, known = self._run.recall(name)
        if self._run.rewinding and compensate is not None:
            done = None if known is None else _decoded(known, call)
            self._run.undos.append(effect_undo(self._run, name, compensate, args, done))
        if known is not None:
            return _decoded(known, call)
        self._run.stop_at_the_end_of_the_records()
        return await self._effect(name, "effect", call, args)

    async def disclose(
        self,
        name: str,
        call: Disclosure[A, D],
        first: A,
        /,
        *,
        token: str,
        purpose: str,
        compensate: Redress[A, D] | None = None,
    ) -> D:
        """Run an effect that may see the patient: opens the context token, which is audited."""
        name, known = self._run.recall(name)
        done = None if known is None else cast("D", _decoded(known, call))
        if self._run.rewinding and compensate is not None:
            opened = partial(self._patient, token, purpose)
            undo = effect_undo(self._run, name, compensate, (first,), done, patient=opened)
            self._run.undos.append(undo)
        if known is not None:
            return cast("D", done)
        self._run.stop_at_the_end_of_the_records()
        patient = await self._patient(token, purpose)
        return cast("D", await self._effect(name, "disclose", call, (first,), patient=patient))

    async def _patient(self, token: str, purpose: str) -> PatientContext:
        if not self._run.definition.opens_patient_context:
            raise Forbidden(f"flow {self._run.flow.name} has no grant to open a patient context")
        return await self._run.open_context(token, purpose)

    async def _effect(
        self,
        name: str,
        kind: str,
        call: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        **more: PatientContext,
    ) -> Any:
        await self._run.flush()
        self._run.has_effects = True
        began = time.perf_counter()
        result = await self._run.call(call, args, key=self._run.key(name), **more)
        self._run.remember(name, kind, call, args, result, began)
        await self._run.flush()
        return result

    async def claim(self, kind: str, value: str) -> "Claim":
        """Take a name that only one flow may have; say whose it is. Cancelled, the flow lets go."""
        name, known = self._run.recall(f"claim {kind} {value}")
        if known is None:
            if not self._run.rewinding:
                self._run.pending.append(ClaimRow(kind, value, self._run.flow.id))
                await self._run.flush()
            flow, transaction = await self._run.journal.owner_of(kind, value)
            mine = flow in self._run.line
            known = encoded(Claim(mine=mine, transaction=transaction)).encode()
            self._run.remember_claim(name, known.decode())
        claim = msgspec.json.decode(known, type=Claim)
        if self._run.rewinding and claim.mine:
            self._run.undos.append(claim_undo(self._run, name, kind, value))
        return claim

    def release_claim(self, kind: str, value: str) -> None:
        """Let go of a name that a flow of this transaction has claimed, from the next record on."""
        self._run.pending.append(ReleaseRow(kind, value, self.transaction))

    async def announce(
        self, event: EventName, facts: msgspec.Struct, *, key: str, undo: bool = False
    ) -> None:
        """Tell other flows: start the one that answers to `event`, wake who waits for it.
        With `undo`, the flow it started is cancelled when this one is.
        """
        name, known = self._run.recall(f"announce {event} {key}")
        child = derived_id("flow", self._run.flow.id, name)
        if known is not None:
            if self._run.rewinding and undo and self._run.catalogue.started_by(event):
                self._run.undos.append(Undo(name, partial(call_off, self, child)))
            return
        self._run.stop_at_the_end_of_the_records()
        flow = self._run.flow
        body = encoded(facts)
        self._run.pending += self._run.catalogue.rows_for(
            event=event,
            key=key,
            facts=body,
            transaction=flow.transaction,
            message=flow.message,
            flow=child,
        )
        self._run.remember_note(name, "announce", event)
        await self._run.flush()

    def publish(self, *told: Published, subject: str) -> None:
        """Tell subscribers outside, in the commit of this flow's next record."""
        publish(self._run, told, subject)

    def identify(self, kind: str, value: str) -> None:
        """Make the transaction findable by `value`, from the next record on."""
        self._run.pending.append(ReferenceRow(kind, value, self.transaction))

    def conclude(self) -> None:
        """Say what there is to say at the end: a replay names what is left of the earlier flow."""


def _decoded(known: bytes, call: Callable[..., Any]) -> Any:
    return msgspec.json.decode(known, type=result_type(call))
