"""Undoing a flow: what it did is taken back in reverse order, each as a recorded step."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from canonical.context import PatientContext
from canonical.errors import Declined
from ledger.crowds import Crowded
from ledger.flow_run import FlowRun, Undo
from ledger.rows import ReleaseRow

if TYPE_CHECKING:
    from ledger.story import Story


def effect_undo(
    run: FlowRun,
    step: str,
    compensate: Callable[..., Awaitable[object]],
    args: tuple[Any, ...],
    done: object,
    *,
    patient: Callable[[], Awaitable[PatientContext]] | None = None,
) -> Undo:
    """Return what takes back an effect; `done` None where nobody knows whether it happened."""

    async def undo(name: str) -> None:
        more = {} if patient is None else {"patient": await patient()}
        await run.flush()
        began = time.perf_counter()
        result = await run.call(compensate, (*args, done), key=run.key(step), **more)
        run.remember(name, "compensate", compensate, (*args, done), result, began)
        await run.flush()

    return Undo(step, undo, in_doubt=done is None)


def claim_undo(run: FlowRun, claimed: str, kind: str, value: str) -> Undo:
    """Return what lets go of a claimed name, where it is still this flow's."""

    async def undo(name: str) -> None:
        flow, _ = await run.journal.owner_of(kind, value)
        if flow in run.line:
            run.pending.append(ReleaseRow(kind, value, run.flow.transaction))
        run.remember_note(name, "compensate", f"{kind} is free again")
        await run.flush()

    return Undo(claimed, undo)


async def call_off(story: "Story", child: str, name: str) -> None:
    """Have the flow cancelled that an announcement began; wait until it has undone itself."""
    if not await story.call_off(name, child, "what asked for it is undone"):
        raise Declined(
            "what this one had asked for stands: a person has abandoned undoing it",
            where=child,
            fix="abandon undoing this one too, or settle both by hand",
        )


async def unwind(run: FlowRun) -> None:
    """Take back what was done, the last thing first.

    Who fell silent over an effect may still be sending it: it is taken back when that has ended.
    """
    if run.flow.crashes and any(undo.in_doubt for undo in run.undos):
        raise Crowded("a worker that fell silent", run.settings.call_seconds)
    for undo in reversed(run.undos):
        name = f"undo: {undo.name}"
        if not run.is_recorded(name):
            run.at = name
            await undo.run(name)
