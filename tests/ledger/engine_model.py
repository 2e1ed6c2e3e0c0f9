"""The flow engine as a few dictionaries: what `ledger` promises, without workers or a database.

A run is a generator: it yields where the real run is held up outside, and goes on when that does.
Whatever it would write is refused when somebody else has claimed the flow meanwhile.
"""

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from ledger.ids import derived_id
from tests.ledger.plans import MAX_ATTEMPTS, MAX_CRASHES, Op, step_name

EVENTS = {"start": "order-placed", "tell": "shipment-notified"}
ACTIVE = ("queued", "ready", "waiting", "stuck")
WAITED = ("order-acknowledged", "shipment-notified")


class Lost(Exception):
    """Another process has the flow, or PostgreSQL was away: nothing was written."""


class Cancelled(Exception):
    """The write was kept, and somebody wants the flow cancelled."""


class Slept(Exception): ...


class Died(Exception): ...


class Refused(Exception): ...


class Away(Exception): ...


@dataclass
class Flow:
    id: str
    name: str
    key: str
    ops: tuple[Op, ...]
    status: str
    owner: str | None = None
    epoch: int = 0
    due: bool = True
    attempts: int = 0
    crashes: int = 0
    cancel: bool = False
    steps: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    taken: set[int] = field(default_factory=set[int])
    awaits: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def recorded(self, name: str) -> bool:
        return any(name == own for own, _ in self.steps)


@dataclass
class Process:
    """A process by the name of its worker; `cut`: its lanes whose connection is gone, which the
    next write finds out.
    """

    name: str
    cut: set[str] = field(default_factory=set[str])

    def reaches(self, lane: str) -> bool:
        """Say whether what is written now reaches the disk; what comes after it does."""
        whole = lane not in self.cut
        self.cut.discard(lane)
        return whole


@dataclass
class Message:
    body: str
    status: str


class Engine:
    """Everything there is. `tasks` are the open ones: (kind, flow or message) and the task's id
    where a flow waits for it.
    """

    def __init__(self) -> None:
        self.flows: dict[str, Flow] = {}
        self.signals: list[tuple[str, str, bool]] = []
        self.tasks: dict[tuple[str, str], str] = {}
        self.claims: dict[str, str] = {}
        self.messages: dict[str, Message] = {}
        self.calls: list[tuple[str, str]] = []
        self.standing: dict[str, None] = {}
        self.history: list[tuple[str, str]] = []
        self.calm = False
        self._tries: dict[tuple[str, str], int] = {}

    # What the outside does -------------------------------------------------------------------

    def fate(self, what: str, spot: str, fates: tuple[str, ...]) -> str:
        self.calls.append((what, spot))
        told = self._tries.get((what, spot), 0)
        self._tries[what, spot] = told + 1
        return "well" if self.calm or told >= len(fates) else fates[told]

    def queue(self, name: str, key: str) -> list[Flow]:
        return [
            f for f in self.flows.values() if (f.name, f.key) == (name, key) and f.status in ACTIVE
        ]

    def begin(self, flow: str, name: str, key: str, ops: tuple[Op, ...]) -> None:
        if flow not in self.flows:
            status = "queued" if self.queue(name, key) else "ready"
            self.flows[flow] = Flow(flow, name, key, ops, status)

    def promote(self, name: str, key: str) -> None:
        """Let the next of a key run, when nobody of that key does."""
        queue = self.queue(name, key)
        if queue and all(f.status == "queued" for f in queue):
            queue[0].status, queue[0].due = "ready", True

    def signal(self, event: str, key: str, *, undone: bool = True) -> None:
        self.signals.append((event, key, undone))
        for flow in self.flows.values():
            if flow.status == "waiting" and (event, key) in flow.awaits:
                flow.status, flow.due = "ready", True

    def runnable(self) -> list[Flow]:
        return [f for f in self.flows.values() if f.status == "ready" and f.due]

    def active(self) -> int:
        return sum(flow.status in ACTIVE for flow in self.flows.values())

    def withdraw(self, flow: str) -> None:
        self.tasks = {each: own for each, own in self.tasks.items() if each[1] != flow}

    def cancel(self, own: str) -> None:
        flow = self.flows[own]
        if not flow.cancel and flow.status != "cancelled":
            if flow.status in ("done", "abandoned"):
                flow.status = "queued" if self.queue(flow.name, flow.key) else "ready"
            elif flow.status in ("waiting", "stuck"):
                flow.status = "ready"
            flow.cancel, flow.attempts, flow.crashes = True, 0, 0
            flow.due = flow.due or flow.owner is None
            flow.awaits = set()
            self.withdraw(own)
        elif flow.cancel and flow.status == "stuck":
            flow.status, flow.due, flow.attempts, flow.crashes = "ready", True, 0, 0
            self.withdraw(own)

    def resolve(self, kind: str, about: str, action: str) -> None:
        task = self.tasks.pop((kind, about))
        flow = self.flows.get(about)
        if kind == "decision":
            self.signal("task-resolved", task)
        if kind != "stuck" or flow is None:
            return
        if action == "compensate":
            self.cancel(about)
        elif action == "abandon":
            if all(what != "step" for _, what in flow.steps):
                self.claims = {name: own for name, own in self.claims.items() if own != about}
            flow.status = "abandoned"
            self.promote(flow.name, flow.key)
            if flow.cancel:
                self.signal("flow-cancelled", about, undone=False)
        else:
            if not flow.cancel:
                _forget(flow)
            flow.status, flow.due, flow.attempts, flow.crashes = "ready", True, 0, 0

    def claim(self, flow: Flow, process: Process) -> "Run":
        flow.crashes += flow.owner is not None
        flow.owner, flow.due = process.name, False
        flow.epoch += 1
        return Run(self, flow, process)


def _forget(flow: Flow) -> None:
    """A person has looked: what was read or ruled since the last effect is so again."""
    last = max((n for n, (_, kind) in enumerate(flow.steps) if kind not in READS), default=-1)
    flow.steps = flow.steps[: last + 1]


READS = ("ask", "decide", "claim", "not mine")


class Run:
    """One run of one flow in one process."""

    def __init__(self, engine: Engine, flow: Flow, process: Process) -> None:
        self.engine, self.flow, self.process = engine, flow, process
        self.epoch = flow.epoch
        self.attempts, self.crashes = flow.attempts, flow.crashes
        self.pending: list[tuple[str, str]] = []
        self.unwinding = False

    def go(self) -> Generator[None]:
        """Run until the end, or until somebody else goes on with it."""
        self.unwinding = self.flow.cancel
        try:
            yield from self._judged()
        except Cancelled:
            self.pending = []
            yield from self.go()
        except (Lost, Died):
            return

    def _judged(self) -> Generator[None]:
        try:
            if self.crashes >= MAX_CRASHES:
                self._stuck()
                return
            yield from (self._undone() if self.unwinding else self._told())
        except Slept:
            return
        except Away:
            if self.attempts + 1 < MAX_ATTEMPTS:
                self.write("ready", attempts=self.attempts + 1, due=False)
            else:
                self._stuck()
        except Refused:
            self._stuck()

    def _stuck(self) -> None:
        self.write("stuck")
        if self.flow.status == "stuck":
            self.engine.tasks["stuck", self.flow.id] = ""

    def write(
        self,
        status: str = "",
        *,
        attempts: int = 0,
        due: bool = True,
        taking: int | None = None,
        claiming: str = "",
    ) -> None:
        flow, said = self.flow, self.pending
        self.pending = []
        if not (said or status or claiming):
            return
        if not self.process.reaches("recording") or flow.epoch != self.epoch:
            raise Lost
        flow.steps += said
        if taking is not None:
            flow.taken.add(taking)
            flow.awaits = set()
        if claiming:
            self.engine.claims.setdefault(claiming, flow.id)
        if status or (said and (self.attempts or self.crashes)):
            flow.attempts, flow.crashes = attempts, 0
        if said:
            self.attempts = self.crashes = 0
        if status:
            self._stand(status, due=due)
        elif flow.cancel and not self.unwinding:
            raise Cancelled

    def _stand(self, status: str, *, due: bool) -> None:
        flow = self.flow
        flow.owner, flow.due = None, due
        flow.status = "ready" if flow.cancel and not self.unwinding else status
        if status in ("done", "cancelled"):
            flow.awaits = set()
            self.engine.promote(flow.name, flow.key)

    def _told(self) -> Generator[None]:
        for name, op in named(self.flow.ops):
            if not self.flow.recorded(name):
                yield from self._op(name, op)
        self.write("done")

    def _op(self, name: str, op: Op) -> Generator[None]:
        own = f"{self.flow.id}/{name}"
        if op.kind in ("ask", "decide"):
            _end(self.engine.fate(op.kind, own, op.fates))
            self.pending.append((name, op.kind))
        elif op.kind == "step":
            self.write()
            yield from self._outside("effect", own, op.fates)
            self.pending.append((name, "step"))
            self.write()
        elif op.kind == "wait":
            self._wait(name, {(event, op.key) for event in WAITED})
        elif op.kind == "decision":
            self._wait(name, {("task-resolved", derived_id("task", self.flow.id, name))})
        elif op.kind == "claim":
            self.write(claiming=op.key)
            self.pending.append((name, "claim" if self._has(op.key) else "not mine"))
        else:
            self._say(name, op)

    def _outside(self, what: str, key: str, fates: tuple[str, ...]) -> Generator[None]:
        engine = self.engine
        fate = engine.fate(what, key, fates)
        if fate in ("away", "refused", "crash"):
            _end(fate)
        if what == "effect" and key not in engine.standing:
            engine.standing[key] = None
            engine.history.append(("did", key))
        if what == "undo" and key in engine.standing:
            del engine.standing[key]
            engine.history.append(("undid", key))
        if fate == "parks":
            yield
        elif fate == "late":
            raise Away
        elif fate == "crash after":
            raise Died

    def _wait(self, name: str, wanted: set[tuple[str, str]]) -> bool:
        """Take what came, or fall asleep; return whether what was cancelled is undone."""
        flow, engine = self.flow, self.engine
        self.write()
        for n, (event, key, undone) in enumerate(engine.signals):
            if (event, key) in wanted and n not in flow.taken:
                self.pending.append((name, "wait"))
                self.write(taking=n)
                return undone
        self.write("waiting")
        flow.awaits |= wanted
        [(event, key), *_] = wanted
        if event == "task-resolved" and flow.status == "waiting":
            engine.tasks["decision", flow.id] = key
        raise Slept

    def _say(self, name: str, op: Op) -> None:
        engine, flow = self.engine, self.flow
        self.pending.append((name, op.kind))
        try:
            self.write()
        finally:
            if flow.recorded(name):
                if op.kind == "tell":
                    engine.signal("shipment-notified", op.key)
                else:
                    engine.begin(derived_id("flow", flow.id, name), "sending", op.key, op.child)

    def _undone(self) -> Generator[None]:
        undos = self._to_undo()
        unsure = any(op.kind == "step" and not self.flow.recorded(name) for name, op in undos)
        if self.crashes and unsure:  # who fell silent may be sending it still
            self.pending = []
            self.write("ready", attempts=self.attempts)
            return
        for name, op in reversed(undos):
            if self.flow.recorded(f"undo: {name}"):
                continue
            if op.kind == "start":
                self._call_off(name)
                continue
            if op.kind == "step":
                yield from self._outside("undo", f"{self.flow.id}/{name}", op.undo)
            self.pending.append((f"undo: {name}", "compensate"))
            self.write()
            if op.kind == "claim" and self._has(op.key):
                del self.engine.claims[op.key]
        self.write("cancelled")
        self.engine.signal("flow-cancelled", self.flow.id)

    def _to_undo(self) -> list[tuple[str, Op]]:
        """Return what has been done, and the one effect of which nobody knows."""
        undos = list[tuple[str, Op]]()
        for name, op in named(self.flow.ops):
            known = self.flow.recorded(name)
            if op.kind == "claim":
                if (name, "claim") in self.flow.steps or (not known and self._has(op.key)):
                    undos.append((name, op))
                continue
            if op.kind == "step" or (known and op.kind == "start"):
                undos.append((name, op))
            if not known:
                break
        return undos

    def _has(self, claim: str) -> bool:
        return self.engine.claims.get(claim) == self.flow.id

    def _call_off(self, name: str) -> None:
        child = derived_id("flow", self.flow.id, name)
        if not self.process.reaches("booking"):
            raise Lost
        self.engine.cancel(child)
        if not self._wait(f"undo: {name}", {("flow-cancelled", child)}):
            raise Refused


def named(ops: tuple[Op, ...]) -> Iterator[tuple[str, Op]]:
    """Yield each operation with the name of its record."""
    told = Counter[str]()
    for number, op in enumerate(ops):
        name = step_name(number, op)
        if op.kind == "claim":
            name = f"claim serial {op.key}"
        elif op.kind in EVENTS:
            name = f"announce {EVENTS[op.kind]} {op.key}"
        told[name] += 1
        yield name if told[name] == 1 else f"{name} #{told[name]}", op


def _end(fate: str) -> None:
    if fate == "away":
        raise Away
    if fate == "refused":
        raise Refused
    if fate == "crash":
        raise Died
