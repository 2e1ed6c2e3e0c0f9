"""A finished flow as a document: everything that is recorded of it, to be told again elsewhere.

Golden traces are such documents: what one release has recorded, every later one must be able to
tell.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import msgspec

from canonical.errors import NotFound
from ledger.batch import ClaimedFlow
from ledger.catalogue import FlowDefinition
from ledger.database import Database
from ledger.flow_run import Platform
from ledger.former import Former, Spoken
from ledger.rehearsal import Rehearsed, RehearsedRun, rehearse


class RecordedStep(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str
    kind: str
    output: msgspec.Raw


class RecordedClaim(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who holds a name: this flow (`mine`), or another one of `transaction`."""

    kind: str
    value: str
    mine: bool
    transaction: str


class RecordedTrace(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A flow from its facts to its result. `ended_at` is what its clock said at the end."""

    name: str
    version: str
    key: str
    transaction: str
    ended_at: datetime
    facts: msgspec.Raw
    steps: tuple[RecordedStep, ...]
    claims: tuple[RecordedClaim, ...]
    result: msgspec.Raw


_FLOW = """
select name, version, key, transaction_id as transaction, facts, result, ended_at from flow
where id = $1 and status = 'done'"""
_STEPS = "select name, kind, output from step where flow_id = $1 order by number"
_CLAIMS = """
select kind, value, flow_id = $2 as mine, owner.transaction_id as transaction
from claim join flow owner on owner.id = claim.flow_id
where owner.transaction_id = $1 order by kind, value"""


async def recorded_trace(database: Database, flow: str) -> RecordedTrace:
    """Return everything that is recorded of a flow that is done, or raise `NotFound`."""
    row = await database.row(_FLOW, flow)
    if row is None:
        raise NotFound("no such flow, or it is not done", where=flow)
    steps = await database.rows(_STEPS, flow)
    claims = await database.rows(_CLAIMS, row["transaction"], flow)
    return RecordedTrace(
        name=row["name"],
        version=row["version"],
        key=row["key"],
        transaction=row["transaction"],
        ended_at=row["ended_at"],
        facts=_raw(row["facts"]),
        steps=tuple(
            RecordedStep(name=step["name"], kind=step["kind"], output=_raw(step["output"]))
            for step in steps
        ),
        claims=tuple(RecordedClaim(**dict(claim)) for claim in claims),
        result=_raw(row["result"]),
    )


async def told_again(
    platform: Platform, definition: FlowDefinition, trace: RecordedTrace
) -> Rehearsed:
    """Tell a trace with the code of today. Where it is not as it was, a step is judged other than
    `recorded`: it is not in the trace, or nobody came to it.
    """
    flow = ClaimedFlow(
        id="flow_told",
        transaction=trace.transaction,
        message=None,
        name=trace.name,
        version=trace.version,
        key=trace.key,
        facts=bytes(trace.facts).decode(),
        attempts=0,
        crashes=0,
        owner="",
        epoch=0,
    )
    rows: list[Any] = [
        {
            "name": step.name,
            "number": number,
            "kind": step.kind,
            "output": bytes(step.output).decode(),
        }
        for number, step in enumerate(trace.steps, 1)
    ]
    line: list[Mapping[str, object]] = [{"id": flow.id, "status": "done", "arrival": 0}]
    former = Former("pinned", cast("Any", line), [], Spoken([], {}, {}))
    run = RehearsedRun(platform, flow, definition, rows, former)
    run.now = lambda: trace.ended_at
    run.owners = {
        (claim.kind, claim.value): (flow.id if claim.mine else "another", claim.transaction)
        for claim in trace.claims
    }
    return await rehearse(run)


def _raw(text: str | None) -> msgspec.Raw:
    return msgspec.Raw((text or "null").encode())
