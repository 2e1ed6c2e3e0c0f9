"""Which flow is told again, from which of its steps, in which version, with which facts."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from canonical.errors import InvalidRequest, NotFound, StateConflict
from ledger.batch import ENDED
from ledger.catalogue import Catalogue, FlowDefinition, encoded
from ledger.database import Database
from ledger.former import Former, Mapping, former_of
from ledger.ids import derived_id

if TYPE_CHECKING:
    from asyncpg import Record

START = "start"
_UNDO = "undo"


class ReplayWish(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What somebody wants told again: `from_step` is the name of a step, or «start»; `flow` an id,
    or a name where the transaction has one flow of it.
    """

    from_step: str = START
    flow: str = ""
    mapping: Mapping = "pinned"


class FormerFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow that may be told again."""

    id: str
    transaction: str
    message: str | None
    name: str
    version: str
    key: str
    status: str
    facts: str
    arrival: int


Rereading = Callable[[FormerFlow, msgspec.Struct], Awaitable[msgspec.Struct | None]]
"""Reads the kept document of a flow with today's mapping; None where no document began it."""


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A replay before it begins: `steps` are taken over, everything before `number`."""

    flow: str
    former_flow: FormerFlow
    former: Former
    definition: FlowDefinition
    facts: str
    number: int
    steps: "Sequence[Record]"
    taken: tuple[int, ...]
    mapping: Mapping


_HEADS = """
select id, transaction_id as transaction, message_id as message, name, version, key, status, facts,
       coalesce((replay ->> 'arrival')::bigint, arrival) as arrival
from flow where transaction_id = $1
  and not exists (select 1 from flow again where again.replay_of = flow.id) order by flow.arrival"""

_HAVE_STEP = "select flow_id, number from step where flow_id = any($1::text[]) and name = $2"
_REPLAYED_BY = "select id from flow where replay_of = $1 and transaction_id = $2"
_STEPS = """
select name, number, kind, output from step
where flow_id = $1 and number < $2 and kind <> 'compensate' and name not like 'undo%'
order by number"""
_DONE = """
select name from step where flow_id = $1 and kind in ('effect', 'disclose', 'announce')"""
_TAKEN = """
select id, event, facts from signal join taken on signal_id = signal.id and taken.flow_id = $1
order by id"""


class Planner:
    """Draws up replays. `reread` is set by whoever knows how documents are read."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self.reread: Rereading | None = None

    async def plan(self, transaction: str, wish: ReplayWish) -> ReplayPlan:
        """Return what a replay would begin with.

        Raises `NotFound` and `InvalidRequest` where the wish names no step, or several;
        `StateConflict` where the flow is not finished, or its version is not installed.
        """
        flow, number = await self._found(transaction, wish)
        _check_finished(flow)
        definition = self._definition(flow, wish.mapping)
        mine = derived_id("flow", "replay", flow.id)
        former = await former_of(self._database, transaction, mine, wish.mapping, before=flow.id)
        await self._check_kept(flow, former)
        rows = await self._database.rows(_STEPS, flow.id, number)
        steps = _still_holding(rows, former)
        facts = flow.facts
        if wish.mapping == "current" and wish.from_step == START:
            facts = await self._read_again(flow, definition)
        return ReplayPlan(
            flow=mine,
            former_flow=flow,
            former=former,
            definition=definition,
            facts=facts,
            number=int(steps[-1]["number"]) + 1 if steps else 0,
            steps=steps,
            taken=_taken(steps, await self._database.rows(_TAKEN, flow.id)),
            mapping=wish.mapping,
        )

    async def _found(self, transaction: str, wish: ReplayWish) -> tuple[FormerFlow, int]:
        rows = await self._database.rows(_HEADS, transaction)
        flows = [FormerFlow(**dict(row)) for row in rows]
        if wish.flow:
            flows = [flow for flow in flows if wish.flow in (flow.id, flow.name)]
            await self._check_not_replayed(transaction, wish.flow)
        numbers = {flow.id: 0 for flow in flows}
        if wish.from_step != START:
            have = await self._database.rows(_HAVE_STEP, list(numbers), wish.from_step)
            numbers = {str(row["flow_id"]): int(row["number"]) for row in have}
        found = [flow for flow in flows if flow.id in numbers]
        if not found:
            raise NotFound(
                "no flow of this transaction has such a step",
                where=wish.from_step,
                expected="the name of a step that is recorded, or «start»",
            )
        if len(found) > 1:
            raise InvalidRequest(
                f"{len(found)} flows have this step: say which one",
                where=wish.from_step,
                expected="flow " + " | ".join(f"{flow.id} ({flow.name})" for flow in found),
            )
        return found[0], numbers[found[0].id]

    async def _check_not_replayed(self, transaction: str, flow: str) -> None:
        row = await self._database.row(_REPLAYED_BY, flow, transaction)
        if row is not None:
            raise StateConflict(
                "this flow has been replayed already",
                where=flow,
                expected=f"the latest of its line, {row['id']}",
                fix=f"replay flow {row['id']}",
            )

    async def _check_kept(self, flow: FormerFlow, former: Former) -> None:
        rows = await self._database.rows(_DONE, flow.id)
        gone = [str(row["name"]) for row in rows if str(row["name"]) not in former.steps]
        if gone:
            raise StateConflict(
                f"what was done is no longer kept, such as «{gone[0]}»",
                where=flow.id,
                expected="hops that retention has not removed",
                fix="hand in the document again, or settle it by hand",
            )

    def _definition(self, flow: FormerFlow, mapping: Mapping) -> FlowDefinition:
        pinned = self._catalogue.flows.get((flow.name, flow.version))
        found = pinned if mapping == "pinned" else self._catalogue.newest(flow.name)
        if found is None:
            raise StateConflict(
                f"version {flow.version} of {flow.name} is not installed any more",
                where=flow.id,
                fix="replay it with the current mapping",
            )
        return found

    async def _read_again(self, flow: FormerFlow, definition: FlowDefinition) -> str:
        if flow.message is None or self.reread is None:
            return flow.facts
        before = msgspec.json.decode(flow.facts, type=definition.facts)
        facts = await self.reread(flow, before)
        return flow.facts if facts is None else encoded(facts)


def _check_finished(flow: FormerFlow) -> None:
    if flow.status in ENDED:
        return
    raise StateConflict(
        f"flow {flow.name} is {flow.status}: only what has ended is told again",
        where=flow.id,
        expected=" | ".join(ENDED),
        fix="resolve its task first"
        if flow.status == "stuck"
        else "let it end, or cancel it first",
    )


def _still_holding(rows: "list[Record]", former: Former) -> "list[Record]":
    """Return the steps up to the first one that has been taken back since."""
    holding = list[Any]()
    for row in rows:
        name = str(row["name"])
        past = former.steps.get(name)
        if (name in former.undone) if past is None else not past.stands:
            break
        holding.append(row)
    return holding


def _taken(steps: "list[Record]", signals: "list[Record]") -> tuple[int, ...]:
    """Return the signals that the steps taken over have had: they are not news any more."""
    left, taken = list(signals), list[int]()
    for step in steps:
        if step["kind"] != "wait":
            continue
        had = '{"event":"%s","facts":%s}'
        for signal in left:
            if str(step["output"]) == had % (signal["event"], signal["facts"]):
                left.remove(signal)
                taken.append(int(signal["id"]))
                break
    return tuple(taken)
