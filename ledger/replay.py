"""Replay: a finished flow is told again as a new flow of the same transaction, from one of its
steps on. The preview says what that would do, and writes nothing.
"""

from functools import partial

import msgspec

from canonical.errors import StateConflict
from ledger.audit_trail import Evidence
from ledger.batch import ENDED, Batch, ClaimedFlow
from ledger.catalogue import FlowDefinition, encoded
from ledger.differences import differences
from ledger.flow_run import Platform
from ledger.former import ReplayTerms
from ledger.judgement import QUIET, Judgement, Preview
from ledger.recorded_trace import RecordedTrace, recorded_trace, told_again
from ledger.rehearsal import Rehearsed, RehearsedRun, rehearse
from ledger.replay_plan import Planner, ReplayPlan, ReplayWish, Rereading
from ledger.rows import EntryRow, lock_number
from ledger.writer import Act


class ReplayBegun(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The new flow, and the one it tells again."""

    flow: str
    replay_of: str
    transaction: str
    name: str
    version: str


_LOCKED = """
select status, exists (select 1 from flow again where again.replay_of = flow.id) as replayed
from flow where id = $1 for update"""

_INSERT = """
insert into flow (id, transaction_id, message_id, name, version, key, facts, replay_of, replay_from,
                  replay, status)
select $2, transaction_id, message_id, name, $3, key, $4::json, id, $5, $6::json,
       case when exists (select 1 from flow e where e.name = flow.name and e.key = flow.key
                         and e.status in ('queued', 'ready', 'waiting', 'stuck'))
       then 'queued' else 'ready' end
from flow where id = $1"""

_COPY = """
insert into step (flow_id, name, number, kind, output)
select $1, name, number, kind, output from step where flow_id = $2 and name = any($3::text[])"""

_TAKE = "insert into taken (signal_id, flow_id) select unnest($2::bigint[]), $1"


class Replays:
    """Previews and begins replays of single flows."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._planner = Planner(platform.database, platform.catalogue)

    def read_documents_by(self, reread: Rereading) -> None:
        """Say who reads kept documents with the mapping of today."""
        self._planner.reread = reread

    async def plan(self, transaction: str, wish: ReplayWish) -> ReplayPlan:
        """Return what a replay would begin with; see `Planner.plan`."""
        return await self._planner.plan(transaction, wish)

    async def record(self, flow: str) -> RecordedTrace:
        """Return everything that is recorded of a flow that is done, or raise `NotFound`."""
        return await recorded_trace(self._platform.database, flow)

    async def tell(self, trace: RecordedTrace, definition: FlowDefinition) -> Rehearsed:
        """Tell a recorded trace with a flow of today, in memory."""
        return await told_again(self._platform, definition, trace)

    async def preview(self, transaction: str, wish: ReplayWish) -> Preview:
        """Return what a replay would do, step by step. Nothing is written, no effect is called.

        Raises what `Planner.plan` raises.
        """
        plan = await self._planner.plan(transaction, wish)
        flow, rehearsed = plan.former_flow, await self._rehearsed(plan)
        facts = differences(flow.facts, plan.facts)
        return Preview(
            transaction=transaction,
            flow=flow.id,
            name=flow.name,
            key=flow.key,
            from_step=wish.from_step,
            mapping=wish.mapping,
            version_before=flow.version,
            version_after=plan.definition.version,
            ends=rehearsed.ends,
            changes=bool(facts) or any(step.verdict not in QUIET for step in rehearsed.steps),
            summary=_counted(rehearsed.steps),
            facts=facts,
            steps=rehearsed.steps,
        )

    async def begin(
        self, transaction: str, wish: ReplayWish, *, by: str, reason: str
    ) -> ReplayBegun:
        """Have a flow told again; returns once the new flow is on disk.

        Raises what `Planner.plan` raises, and `StateConflict` where somebody was faster.
        """
        plan = await self._planner.plan(transaction, wish)
        terms = ReplayTerms(
            mapping=wish.mapping, by=by, reason=reason, arrival=plan.former_flow.arrival
        )
        await self._platform.writer.submit(self.beginning(plan, terms))
        return ReplayBegun(
            flow=plan.flow,
            replay_of=plan.former_flow.id,
            transaction=transaction,
            name=plan.former_flow.name,
            version=plan.definition.version,
        )

    def beginning(self, plan: ReplayPlan, terms: ReplayTerms) -> Act:
        """Return the act that begins a replay."""
        flow = plan.former_flow
        return Act(
            partial(_begin, plan, terms, self._hop(plan, terms)),
            (lock_number("queue", flow.name, flow.key),),
        )

    def _hop(self, plan: ReplayPlan, terms: ReplayTerms) -> EntryRow:
        flow = plan.former_flow
        versions = encoded({"flow": f"{flow.name}/{plan.definition.version}"})
        first = plan.steps[-1]["name"] if plan.steps else ""
        why = f"{terms.reason} ({terms.mapping}, {f'after {first}' if first else 'from the start'})"
        return EntryRow(
            flow.transaction,
            f"replay {flow.name}",
            "replay",
            "ledger",
            self._platform.clock(),
            flow_id=plan.flow,
            message_id=flow.message,
            versions=versions,
            actor=terms.by,
            why=why,
        )

    async def _rehearsed(self, plan: ReplayPlan) -> Rehearsed:
        flow = plan.former_flow
        thought_of = ClaimedFlow(
            id=plan.flow,
            transaction=flow.transaction,
            message=flow.message,
            name=flow.name,
            version=plan.definition.version,
            key=flow.key,
            facts=plan.facts,
            attempts=0,
            crashes=0,
            owner="",
            epoch=0,
            replay_of=flow.id,
        )
        run = RehearsedRun(self._platform, thought_of, plan.definition, plan.steps, plan.former)
        run.taken = list(plan.taken)
        return await rehearse(run)


async def _begin(plan: ReplayPlan, terms: ReplayTerms, hop: EntryRow, batch: Batch) -> None:
    connection, flow = batch.connection, plan.former_flow
    row = await connection.fetchrow(_LOCKED, flow.id)
    if row is None or row["replayed"] or row["status"] not in ENDED:
        raise StateConflict(
            "somebody has replayed this flow, or cancels it",
            where=flow.id,
            fix="look at the transaction again",
        )
    version, number = plan.definition.version, plan.number
    await connection.execute(
        _INSERT, flow.id, plan.flow, version, plan.facts, number, encoded(terms)
    )
    await connection.execute(_COPY, plan.flow, flow.id, [step["name"] for step in plan.steps])
    await connection.execute(_TAKE, plan.flow, list(plan.taken))
    batch.rows.append(hop)
    batch.evidence.append(
        Evidence(
            kind="approval",
            actor=terms.by,
            action=f"replay {flow.name}",
            outcome="begun",
            object=plan.flow,
            transaction=flow.transaction,
            detail={"reason": terms.reason, "replayOf": flow.id, "mapping": terms.mapping},
        )
    )
    batch.wakes = True
    batch.changed.add(flow.transaction)


def _counted(steps: tuple[Judgement, ...]) -> dict[str, int]:
    counted = dict[str, int]()
    for step in steps:
        counted[step.verdict] = counted.get(step.verdict, 0) + 1
    return counted
