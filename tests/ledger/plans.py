"""Flows that are made up: a plan says what a flow does, in order, and how each try of it ends.

`World` is everything outside; it remembers every call, and what stands by which key.
"""

import asyncio
import random
from datetime import timedelta
from typing import Any

import msgspec

from canonical.errors import UnknownItem, UpstreamTimeout, UpstreamUnavailable
from canonical.task import TaskDraft
from ledger.catalogue import FlowDefinition, Retry
from tests.ledger.outside import flow

MAX_ATTEMPTS = 3
MAX_CRASHES = 2
LONG = 3600.0
"""A pause or a lease that does not end by itself while a test runs (seconds)."""


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a flow does. `fates` are how its tries end, the rest of them well; `undo` the same
    of taking it back. `key` is whom a wait, a claim or an announcement is about, `child` what the
    flow does that an announcement starts.
    """

    kind: str
    fates: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    key: str = ""
    child: "tuple[Op, ...]" = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    ops: tuple[Op, ...]
    note: str = ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call outside, as a flow makes it."""

    spot: str
    fates: tuple[str, ...]
    undo: tuple[str, ...] = ()


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    key: str


class News(msgspec.Struct, frozen=True, kw_only=True):
    words: str = ""


class Crash(BaseException):
    """The process that runs this ends here, as far as the flow can tell."""


class World:
    """What is outside of all workers. `calls` is every call, in order; `standing` what is there."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.standing: dict[str, None] = {}
        self.history: list[tuple[str, str]] = []
        self.calm = False
        self.gates: asyncio.Queue[asyncio.Event] = asyncio.Queue()
        self._tries: dict[tuple[str, str], int] = {}

    async def ask(self, call: Call) -> int:
        self._end(self._fate("ask", call.spot, call.fates))
        return len(self.calls)

    def decide(self, call: Call) -> bool:
        self._end(self._fate("decide", call.spot, call.fates))
        return True

    async def effect(self, call: Call, *, key: str) -> Receipt:
        fate = self._fate("effect", key, call.fates)
        if fate in ("away", "refused", "crash"):
            self._end(fate)
        if key not in self.standing:
            self.standing[key] = None
            self.history.append(("did", key))
        await self._after(fate)
        return Receipt(key=key)

    async def take_back(self, call: Call, done: Receipt | None, /, *, key: str) -> bool:
        fate = self._fate("undo", key, call.undo)
        if fate in ("away", "refused", "crash"):
            self._end(fate)
        assert done is None or done.key == key
        if key in self.standing:
            del self.standing[key]
            self.history.append(("undid", key))
        await self._after(fate)
        return True

    def _fate(self, what: str, spot: str, fates: tuple[str, ...]) -> str:
        self.calls.append((what, spot))
        told = self._tries.get((what, spot), 0)
        self._tries[what, spot] = told + 1
        return "well" if self.calm or told >= len(fates) else fates[told]

    def _end(self, fate: str) -> None:
        if fate == "away":
            raise UpstreamUnavailable("nobody answers")
        if fate == "refused":
            raise UnknownItem("no such item")
        if fate == "crash":
            raise Crash

    async def _after(self, fate: str) -> None:
        if fate == "parks":
            gate = asyncio.Event()
            self.gates.put_nowait(gate)
            await gate.wait()
        if fate == "late":
            raise UpstreamTimeout("it was done, and nobody heard of it")
        if fate == "crash after":
            raise Crash


_KINDS = (
    "step",
    "step",
    "step",
    "step",
    "ask",
    "decide",
    "wait",
    "decision",
    "claim",
    "tell",
    "start",
)
_ENDS = ("parks", "crash after", "late", "refused", "away", "crash")
_LOOKS = ("away", "refused", "crash")


def plan(length: int, seed: int) -> tuple[Op, ...]:
    """Return what a flow does: as long as that, the rest by chance."""
    return tuple(_op(random.Random(f"{seed}/{n}"), depth=1) for n in range(length))


def _op(chance: random.Random, depth: int) -> Op:
    kind = chance.choice(_KINDS[: None if depth else -1])
    if kind == "step":
        return Op(kind=kind, fates=_fates(chance, _ENDS), undo=_fates(chance, _ENDS))
    if kind in ("ask", "decide"):
        return Op(kind=kind, fates=_fates(chance, _LOOKS))
    if kind == "start":
        child = tuple(_op(chance, depth - 1) for _ in range(chance.randrange(1, 3)))
        return Op(kind=kind, key=chance.choice(["c1", "c2"]), child=child)
    return Op(kind=kind, key=chance.choice(["a1", "a2"]) if kind != "decision" else "")


def _fates(chance: random.Random, ends: tuple[str, ...]) -> tuple[str, ...]:
    many = chance.choice([0, 1, 1, 2, 3])
    return tuple(chance.choice([*ends, "well"]) for _ in range(many))


def step_name(number: int, op: Op) -> str:
    return f"{number} {op.kind}"


def planned(world: World) -> tuple[FlowDefinition, FlowDefinition]:
    """Return the two flows of these tests: both do what their plan says."""

    async def run(story: Any, plan: Plan) -> None:
        for number, op in enumerate(plan.ops):
            await _told(world, story, step_name(number, op), op)

    told = {"facts": Plan, "retry": Retry(attempts=MAX_ATTEMPTS, first=2 * LONG, longest=2 * LONG)}
    return flow(run, name="supply", **told), flow(run, name="sending", **told)


async def _told(world: World, story: Any, name: str, op: Op) -> None:
    call = Call(spot=f"{story._run.flow.id}/{name}", fates=op.fates, undo=op.undo)
    if op.kind == "ask":
        await story.ask(name, world.ask, call)
    elif op.kind == "decide":
        await story.decide(name, world.decide, call)
    elif op.kind == "step":
        await story.step(name, world.effect, call, compensate=world.take_back)
    elif op.kind == "wait":
        kinds = {"order-acknowledged": News, "shipment-notified": News}
        await story.wait_any(name, kinds, key=op.key, within=_DAY)
    elif op.kind == "decision":
        await story.decision(name, QUESTION)
    elif op.kind == "claim":
        await story.claim("serial", op.key)
    elif op.kind == "start":
        await story.announce("order-placed", Plan(ops=op.child), key=op.key, undo=True)
    else:
        await story.announce("shipment-notified", News(), key=op.key)


_DAY = timedelta(days=1)
QUESTION = TaskDraft(
    reason="approval-needed",
    title="Approve",
    detail="as planned?",
    owner="supply-chain",
    actions=("approve", "decline"),
)
