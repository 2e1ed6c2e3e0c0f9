"""The flow engine against a few dictionaries: whatever is done in whatever order, PostgreSQL holds
what the model says, and the outside was called as the model says.
"""

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from canonical.errors import IdentityConflict, StoreUnavailable
from canonical.task import Resolution
from ledger.arrival import Announcement, Arrival
from ledger.cancelling import Cancellation
from ledger.ledger import Ledger, open_ledger
from ledger.settings import LedgerSettings
from tests.ledger.conftest import SECRET, Server, emptied
from tests.ledger.engine_model import ACTIVE, Engine, Flow, Message, Process
from tests.ledger.outside import fact, refusal
from tests.ledger.plans import (
    LONG,
    MAX_ATTEMPTS,
    MAX_CRASHES,
    Crash,
    News,
    Op,
    Plan,
    World,
    plan,
    planned,
)

T = TypeVar("T")

EXAMPLES = 20
"""In `make test`; `pytest tests/ledger/test_ledger_model.py --model-examples=2000` looks longer."""

SETTINGS = LedgerSettings(
    lease_seconds=LONG,
    max_attempts=MAX_ATTEMPTS,
    max_crashes=MAX_CRASHES,
    connections=6,
    call_seconds=0,
)
VERSIONS = ["supply/1", "sending/1"]

_FLOWS = """
select f.id, f.name, f.key, f.status, f.owner, f.epoch, f.run_at <= now() as due, f.attempts,
       f.crashes, f.cancel is not null as cancel,
       array(select s.name from step s where s.flow_id = f.id order by s.number) as steps,
       array(select a.event || ' ' || a.key from awaited a where a.flow_id = f.id) as awaits,
       array(select (select count(*) from signal s where s.id < t.signal_id)
             from taken t where t.flow_id = f.id) as taken
from flow f order by f.arrival"""

keys = st.sampled_from(["k1", "k2", "k3"])
waited = st.sampled_from(["a1", "a2"])
plans = st.builds(plan, st.integers(1, 4), st.integers(0, 1_000_000))


@dataclass
class Parked:
    """A run that is held up outside, in the real process and in the model."""

    process: int
    flow: str
    task: "asyncio.Task[None]"
    gate: asyncio.Event
    told: Generator[None]


class EngineMachine(RuleBasedStateMachine):
    """Two processes on one PostgreSQL, moved by hand."""

    def __init__(self, runner: asyncio.Runner, dsn: str) -> None:
        super().__init__()
        self.runner, self.dsn = runner, dsn
        self.engine, self.world = Engine(), World()
        self.stack = AsyncExitStack()
        self.parked: list[Parked] = []
        self.given = self.broken = 0
        self.run(self._open())

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        self.broken += 1
        answer = self.runner.run(what)
        self.broken -= 1
        return answer

    async def _open(self) -> None:
        self.outside = await asyncpg.connect(self.dsn, server_settings={"search_path": "suture"})
        self.stack.push_async_callback(self.outside.close)
        await emptied(self.outside)
        self.ledgers = [await self._ledger() for _ in range(2)]
        self.processes = [Process(ledger.worker.identity) for ledger in self.ledgers]

    async def _ledger(self) -> Ledger:
        opening = open_ledger(self.dsn, secret=SECRET, settings=SETTINGS)
        ledger = await self.stack.enter_async_context(opening)
        supply, sending = planned(self.world)
        starts: dict[Any, str] = {"item-used": "supply", "order-placed": "sending"}
        ledger.catalogue.install([supply, sending], starts)
        return ledger

    # Documents -------------------------------------------------------------------------------

    @precondition(lambda self: self.engine.active() < 9)
    @rule(
        at=st.integers(0, 1),
        many=st.lists(st.tuples(keys, plans), min_size=2, max_size=5),
        how=st.sampled_from(["at once", "one by one", "refused at first"]),
    )
    def documents_arrive(self, at: int, many: list[tuple[str, tuple[Op, ...]]], how: str) -> None:
        """All facts in one document, or each in its own; what was refused comes in order later."""
        facts = [fact("item-used", key, Plan(ops=ops), references=()) for key, ops in many]
        parts = [(each,) for each in facts] if how == "one by one" else [tuple(facts)]
        told = list[tuple[Arrival, list[Any]]]()
        for part in parts:
            number = self._number()
            if how == "refused at first":
                self.run(self._arrive(at, [(document(number, refusal=refusal()), [])]))
            begun = many if len(parts) == 1 else [many[len(told)]]
            told.append((document(number, part), begun))
        self.run(self._arrive(at, told))

    @precondition(lambda self: self.engine.flows)
    @rule(
        at=st.integers(0, 1),
        key=waited,
        event=st.sampled_from(["order-acknowledged", "shipment-notified"]),
    )
    def an_answer_arrives(self, at: int, key: str, event: Any) -> None:
        each = fact(event, key, News(), references=())
        self.run(self._arrive(at, [(document(self._number(), (each,)), [(event, key)])]))

    @precondition(lambda self: len(self.engine.messages) > 2)
    @rule(at=st.integers(0, 1), pick=st.integers(0, 99), other=st.booleans())
    def a_document_comes_again(self, at: int, pick: int, other: bool) -> None:
        identity = self._one(list(self.engine.messages), pick)
        known = self.engine.messages[identity]
        if known.status == "received":
            body = b"other" if other else known.body.encode()
            again = (fact("item-used", "k1", Plan(ops=()), references=()),)
            self.run(self._arrive(at, [(document(identity, again, body=body), [])]))

    def _number(self) -> str:
        self.given += 1
        return str(self.given)

    async def _arrive(self, at: int, told: list[tuple[Arrival, list[Any]]]) -> None:
        process, ledger = self.processes[at], self.ledgers[at]
        answers = await asyncio.gather(
            *(ledger.messages.receive(one) for one, _ in told), return_exceptions=True
        )
        if not process.reaches("booking"):
            assert all(isinstance(each, StoreUnavailable) for each in answers)
            return
        begun = list[tuple[str, tuple[Op, ...]]]()
        for (one, facts), answer in zip(told, answers, strict=True):
            if self._is_taken_in(one, answer):
                begun += self._heard(facts)
        known = set(self.engine.flows)
        rows = await self.outside.fetch("select id, name, key from flow order by arrival")
        fresh = [row for row in rows if row["id"] not in known]
        for row, (key, ops) in zip(fresh, begun, strict=True):
            assert (row["name"], row["key"]) == ("supply", key)
            self.engine.begin(row["id"], "supply", key, ops)

    def _heard(self, facts: list[Any]) -> list[tuple[str, tuple[Op, ...]]]:
        begun = list[tuple[str, tuple[Op, ...]]]()
        for one in facts:
            if one[0] in ("order-acknowledged", "shipment-notified"):
                self.engine.signal(*one)
            else:
                begun.append(one)
        return begun

    def _is_taken_in(self, one: Arrival, answer: Any) -> bool:
        body, known = one.body.decode(), self.engine.messages.get(one.identity)
        if known is None or (known.status == "refused" and not one.refusal and known.body == body):
            assert not answer.duplicate
            self.engine.messages[one.identity] = Message(
                body, "refused" if one.refusal else "received"
            )
            self.engine.tasks.pop(("refused", answer.message), None)
            if one.refusal:
                self.engine.tasks["refused", answer.message] = ""
            return not one.refusal
        if known.body == body:
            assert answer.duplicate
        else:
            assert isinstance(answer, IdentityConflict)
        return False

    # Workers ---------------------------------------------------------------------------------

    @precondition(lambda self: self.engine.runnable())
    @rule(picks=st.lists(st.integers(0, 99), min_size=1, max_size=6))
    def one_worker_runs_flows(self, picks: list[int]) -> None:
        self._work_on(0, picks)

    @precondition(lambda self: self.engine.runnable())
    @rule(picks=st.lists(st.integers(0, 99), min_size=1, max_size=6))
    def the_other_runs_flows(self, picks: list[int]) -> None:
        self._work_on(1, picks)

    def _work_on(self, at: int, picks: list[int]) -> None:
        for pick in picks:
            in_hand = [each.flow for each in self.parked if each.process == at]
            flows = [each for each in self.engine.runnable() if each.id not in in_hand]
            if flows:
                self.run(self._work(at, self._one(flows, pick)))

    async def _work(self, at: int, flow: Flow) -> None:
        worker = self.ledgers[at].worker
        others = [each.id for each in self.engine.runnable() if each is not flow]
        [claimed] = await worker._platform.journal.claim(
            worker.identity,
            9,
            VERSIONS,
            [*worker._in_hand(), *others],
            suspects=flow.crashes + (flow.owner is not None) > 1,
        )
        assert claimed.id == flow.id
        task = asyncio.create_task(worker._run(claimed), name=flow.id)
        worker._running[task] = None
        task.add_done_callback(worker._finished)
        told = self.engine.claim(flow, self.processes[at])
        await self._until_it_ends(at, flow.id, task, told.go())

    async def _until_it_ends(
        self, at: int, flow: str, task: "asyncio.Task[None]", told: Generator[None]
    ) -> None:
        parks = asyncio.create_task(self.world.gates.get())
        await asyncio.wait({task, parks}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        ended = next(told, "ended") == "ended"
        if task.done():
            parks.cancel()
            await asyncio.gather(parks, return_exceptions=True)
            failure = task.exception()
            assert failure is None or isinstance(failure, Crash), failure
            assert ended, "the model is held up outside"
        else:
            assert not ended, "the flow is held up outside, the model is not"
            self.parked.append(Parked(at, flow, task, parks.result(), told))

    @precondition(lambda self: self.parked)
    @rule(pick=st.integers(0, 99))
    def who_was_held_up_goes_on(self, pick: int) -> None:
        """And writes down what it did, maybe too late."""
        self.run(self._go_on(self._one(self.parked, pick)))

    async def _go_on(self, parked: Parked) -> None:
        self.parked.remove(parked)
        parked.gate.set()
        await self._until_it_ends(parked.process, parked.flow, parked.task, parked.told)

    @precondition(lambda self: any(flow.owner for flow in self.engine.flows.values()))
    @rule(pick=st.integers(0, 99))
    def a_lease_ends(self, pick: int) -> None:
        owned = [flow for flow in self.engine.flows.values() if flow.owner]
        self.run(self._fall_due([self._one(owned, pick)]))

    @precondition(lambda self: any(flow.attempts for flow in self.engine.flows.values()))
    @rule()
    def it_is_time_to_try_again(self) -> None:
        flows = self.engine.flows.values()
        self.run(self._fall_due([flow for flow in flows if flow.owner is None]))

    async def _fall_due(self, flows: list[Flow]) -> None:
        for flow in flows:
            flow.due = True
        ids = [flow.id for flow in flows]
        await self.outside.execute("update flow set run_at = now() where id = any($1)", ids)

    # People, and accidents -------------------------------------------------------------------

    @precondition(lambda self: self.engine.tasks)
    @rule(at=st.integers(0, 1), pick=st.integers(0, 99), how=st.integers(0, 9))
    def a_person_resolves_a_task(self, at: int, pick: int, how: int) -> None:
        self.run(self._resolve(at, *self._one(list(self.engine.tasks), pick), how))

    async def _resolve(self, at: int, kind: str, about: str, how: int) -> None:
        row = await self.outside.fetchrow(
            "select id, actions from task where status = 'open' and kind = $1"
            " and coalesce(flow_id, message_id) = $2",
            kind,
            about,
        )
        actions = [each for each in row["actions"] if kind == "stuck" or each != "retry"]
        action = self._one([each for each in actions if each != "correct"], how)
        answer = Resolution(action=action, by="pat", reason="so it is")
        if await self._reaches(at, self.ledgers[at].tasks.resolve(row["id"], answer)):
            self.engine.resolve(kind, about, action)

    async def _reaches(self, at: int, act: Coroutine[Any, Any, object]) -> bool:
        if self.processes[at].reaches("booking"):
            await act
            return True
        with pytest.raises(StoreUnavailable):
            await act
        return False

    @precondition(lambda self: self.engine.flows)
    @rule(at=st.integers(0, 1), pick=st.integers(0, 99))
    def a_flow_is_cancelled(self, at: int, pick: int) -> None:
        self.run(self._cancel(at, self._one(list(self.engine.flows), pick)))

    async def _cancel(self, at: int, flow: str) -> None:
        because = Cancellation(by="pat", reason="it is off")
        if await self._reaches(at, self.ledgers[at].cancel(flow, because)):
            self.engine.cancel(flow)

    @precondition(lambda self: self.parked or self.engine.tasks)
    @rule(at=st.integers(0, 1), lane=st.sampled_from(["recording", "booking"]))
    def a_writers_connection_is_cut(self, at: int, lane: str) -> None:
        self.run(self._cut(at, lane))

    async def _cut(self, at: int, lane: str) -> None:
        connection = getattr(self.ledgers[at].writer, f"_{lane}")._connection
        if connection is not None and lane not in self.processes[at].cut:
            pid = connection.get_server_pid()
            await self.outside.execute("select pg_terminate_backend($1, 5000)", pid)
            self.processes[at].cut.add(lane)

    # What holds at all times -----------------------------------------------------------------

    @invariant()
    def postgresql_holds_what_the_model_says(self) -> None:
        self.run(self._hold())

    async def _hold(self) -> None:
        await self._compare()
        await self._order()

    async def _compare(self) -> None:
        rows = await self.outside.fetch(_FLOWS)
        assert [shown(row) for row in rows] == [
            told(each, self.engine) for each in self.engine.flows.values()
        ]
        assert self.world.calls == self.engine.calls
        assert self.world.history == self.engine.history
        tasks = await self.outside.fetch(
            "select kind, coalesce(flow_id, message_id) as about from task where status = 'open'"
        )
        assert sorted(map(tuple, tasks)) == sorted(self.engine.tasks)
        claims = await self.outside.fetch("select value, flow_id from claim")
        assert dict(claims) == self.engine.claims
        kept = await self.outside.fetch("select identity, status from message order by at, id")
        told_of = [(name, each.status) for name, each in self.engine.messages.items()]
        assert sorted(map(tuple, kept)) == sorted(told_of)

    async def _order(self) -> None:
        """Nobody overtakes and nobody is forgotten: by the rows alone, whatever the model says."""
        queues: dict[tuple[str, str], list[str]] = {}
        for row in await self.outside.fetch("select name, key, status from flow order by arrival"):
            if row["status"] in ACTIVE:
                queues.setdefault((row["name"], row["key"]), []).append(row["status"])
        for queue in queues.values():
            assert sum(status != "queued" for status in queue) == 1
        stray = "kind in ('stuck', 'decision') and task.status = 'open' and flow.status <>"
        wrong = await self.outside.fetch(
            f"select task.id from task join flow on flow.id = task.flow_id where {stray}"
            " case kind when 'stuck' then 'stuck' else 'waiting' end"
        )
        assert wrong == []

    # The end ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if not self.broken:
                self.run(self._settle())
        finally:
            self.runner.run(self._close())

    async def _settle(self) -> None:
        """Let everything come to its end, and look at what is left."""
        self.world.calm = self.engine.calm = True
        for turn in range(200):
            if not self.parked and not any(f.status in ACTIVE for f in self.engine.flows.values()):
                break
            await self._turn(turn)
        await self._compare()
        left = [f for f in self.engine.flows.values() if f.status in ACTIVE]
        assert left == []
        for flow in self.engine.flows.values():
            self._is_undone(flow)
        await self._conserved()

    async def _turn(self, turn: int) -> None:
        at = turn % 2
        for parked in list(self.parked):
            await self._go_on(parked)
        await self._fall_due(list(self.engine.flows.values()))
        for flow in self.engine.runnable():
            if flow in self.engine.runnable():
                await self._work(at, flow)
        for kind, about in list(self.engine.tasks):
            if (kind, about) in self.engine.tasks and kind != "refused":
                await self._resolve(at, kind, about, 0)
        for flow in list(self.engine.flows.values()):
            for event, key in sorted(flow.awaits):
                if event == "shipment-notified" and flow.status == "waiting":
                    each = fact(event, key, News(), references=())
                    one = (document(self._number(), (each,)), [(event, key)])
                    await self._arrive(at, [one])

    def _is_undone(self, flow: Flow) -> None:
        mine = [(what, key) for what, key in self.world.history if key.startswith(f"{flow.id}/")]
        did = [key for what, key in mine if what == "did"]
        undid = [key for what, key in mine if what == "undid"]
        if flow.status == "cancelled":
            assert not [key for key in self.world.standing if key.startswith(f"{flow.id}/")]
            assert undid == list(dict.fromkeys(reversed(did)))
        assert len(did) == len(set(did)) or flow.cancel

    async def _conserved(self) -> None:
        homeless = await self.outside.fetch(
            "select id from message where not exists"
            " (select from entry where entry.message_id = message.id) and not exists"
            " (select from task where task.message_id = message.id)"
        )
        assert homeless == []
        twice = "select flow_id, signal_id from taken group by 1, 2 having count(*) > 1"
        assert await self.outside.fetch(twice) == []
        for ledger in self.ledgers:
            assert (await ledger.audit.verify())[1] == []

    async def _close(self) -> None:
        for parked in self.parked:
            parked.task.cancel()
        await asyncio.gather(*(each.task for each in self.parked), return_exceptions=True)
        await self.stack.aclose()

    def _one(self, many: "list[T]", pick: int) -> T:
        return many[pick % len(many)]


def document(number: str, facts: tuple[Announcement, ...] = (), **changes: Any) -> Arrival:
    told: dict[str, Any] = {
        "channel": "http",
        "kind": "plan",
        "sender": "EHR",
        "body": f"document {number}".encode(),
        "answer": b"kept",
        "identity": number,
        "announcements": facts,
    }
    return Arrival(**{**told, **changes})


def shown(row: "asyncpg.Record") -> dict[str, Any]:
    flow = dict(row)
    flow["due"] = flow["due"] and flow["status"] == "ready"
    return {**flow, "awaits": sorted(flow["awaits"]), "taken": sorted(flow["taken"])}


def told(flow: Flow, engine: Engine) -> dict[str, Any]:
    names = ("id", "name", "key", "status", "owner", "epoch", "attempts", "crashes", "cancel")
    return {
        **{name: getattr(flow, name) for name in names},
        "due": flow.due and flow.status == "ready",
        "steps": [name for name, _ in flow.steps],
        "awaits": sorted(f"{event} {key}" for event, key in flow.awaits),
        "taken": sorted(flow.taken),
    }


def test_the_engine_does_what_a_few_dictionaries_do(
    server: Server, pytestconfig: pytest.Config
) -> None:
    longer = pytestconfig.getoption("--model-examples")
    examples = int(longer or EXAMPLES)
    with asyncio.Runner() as runner:
        run_state_machine_as_test(
            lambda: EngineMachine(runner, server.dsn),
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate, *([Phase.shrink] if longer else [])],
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
