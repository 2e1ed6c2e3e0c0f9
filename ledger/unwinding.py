"""Undoing a flow: what it did is taken back in reverse order, each as a recorded step."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from canonical.context import PatientContext
from canonical.errors import Declined
from canonical.request import EventName
from ledger.cancelling import Cancellation, FlowEnded, cancelling
from ledger.flow_run import FlowRun, Undo

if TYPE_CHECKING:
    from ledger.story import Story

_CANCELLED = cast("EventName", "flow-cancelled")


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

    return Undo(step, undo)


async def call_off(story: "Story", run: FlowRun, child: str, name: str) -> None:
    """Have the flow cancelled that an announcement began; wait until it has undone itself."""
    because = Cancellation(by=run.flow.name, reason=f"{run.flow.name} is undone")
    await run.submit(cancelling(child, because, story.now()))
    end = await story.wait(name, FlowEnded, event=_CANCELLED, key=child, within=timedelta(days=1))
    if not end.undone:
        raise Declined(
            f"{end.flow} stands: a person has abandoned undoing it",
            where=child,
            fix="abandon undoing this one too, or settle both by hand",
        )


async def unwind(run: FlowRun) -> None:
    """Take back what was done, the last thing first."""
    for undo in reversed(run.undos):
        name = f"undo: {undo.name}"
        if not run.is_recorded(name):
            run.at = name
            await undo.run(name)
