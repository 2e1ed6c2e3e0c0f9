"""Experience API: operations. What a replay would do, and a replay."""

from typing import Annotated, Literal

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, SkipValidation

from canonical.request import RequestFacts
from ledger.judgement import Preview
from ledger.ledger import Ledger
from ledger.replay import ReplayBegun
from ledger.replay_plan import START, ReplayWish

Name = Annotated[str, PathParameter(max_length=128)]


class ReplayQuestion(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Which flow is told again: `from` is the name of a recorded step, or «start»; `flow` an id, or
    a name where the transaction has one flow of it, and is left empty where only one has the step.

    `pinned` keeps versions, and what was read and ruled then; `current` reads and rules anew.
    """

    from_step: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = msgspec.field(
        default=START, name="from"
    )
    flow: Annotated[str, msgspec.Meta(max_length=64)] = ""
    mapping: Literal["pinned", "current"] = "pinned"


class ReplayOrder(ReplayQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A replay, and why: the reason stays in the record."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"\S")]


@post(
    "/transactions/{name:str}/replay-preview",
    operation_id="previewReplay",
    summary="Say what a replay would do, step by step, and change nothing",
    scope="experience.operations:read",
    status_code=200,
)
async def preview_replay(
    name: Name,
    data: JSONBody[ReplayQuestion],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Preview:
    """Nothing is written, no effect is called, and no patient context is opened."""
    facts.transaction = await ledger.traces.find(name)
    return await ledger.replays.preview(facts.transaction, _wish(data))


@post(
    "/transactions/{name:str}/replay",
    operation_id="beginReplay",
    summary="Tell a finished flow again; what was done with the same content is not done twice",
    scope="experience.operations:replay",
    status_code=202,
)
async def begin_replay(
    name: Name,
    data: JSONBody[ReplayOrder],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> ReplayBegun:
    """Answer with the new flow; the transaction shows how it goes on."""
    facts.transaction = await ledger.traces.find(name)
    client = facts.principal.client if facts.principal else ""
    return await ledger.replays.begin(facts.transaction, _wish(data), by=client, reason=data.reason)


def _wish(asked: ReplayQuestion) -> ReplayWish:
    return ReplayWish(from_step=asked.from_step, flow=asked.flow, mapping=asked.mapping)
