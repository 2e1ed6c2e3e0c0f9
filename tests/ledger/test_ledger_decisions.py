"""Questions to people: asked once, answered once, by somebody who is named."""

import asyncio

import pytest

from canonical.errors import InvalidRequest, NotFound, StateConflict
from canonical.task import Resolution, TaskDraft
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import count, ended, flow, install, raised, used

ASKED = TaskDraft(
    reason="deviation",
    title="Is another quantity right?",
    detail="5 instead of 6",
    owner="buyers",
    actions=("accept", "reject"),
    subject="PO-1",
)


def asking(seen: list[Resolution]):
    async def run(story, need):
        seen.append(await story.decision("deviation", ASKED))

    return flow(run)


async def test_a_person_decides_once_and_is_named(ledger: Ledger) -> None:
    seen: list[Resolution] = []
    install(ledger, asking(seen))
    accepted = await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger, "decision")
    assert (task.owner, task.subject) == ("buyers", "PO-1")
    decided = Resolution(action="accept", by="pat", reason="it will do")
    resolved = await ledger.tasks.resolve(task.id, decided)
    assert (resolved.status, resolved.resolution) == ("resolved", decided)
    await ended(ledger)
    assert seen == [decided]

    with pytest.raises(StateConflict):
        await ledger.tasks.resolve(task.id, Resolution(action="reject", by="kim", reason="no"))
    assert await count(ledger, "signal") == 1
    taken = [
        hop for hop in await ledger.traces.hops(accepted.transactions[0]) if hop.actor == "pat"
    ]
    assert [hop.name for hop in taken] == ["task resolved: accept", "deviation"]
    approvals = await ledger.audit.recent(limit=9, kind="approval")
    assert [(one.actor, one.object) for _, _, one in approvals] == [("pat", task.id)]


async def test_of_two_people_who_decide_at_once_one_is_told_that_it_is_done(
    ledger: Ledger, opened: Opened
) -> None:
    seen: list[Resolution] = []
    install(ledger, asking(seen))
    other = await opened()
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger, "decision")
    answers = await asyncio.gather(
        ledger.tasks.resolve(task.id, Resolution(action="accept", by="pat")),
        other.tasks.resolve(task.id, Resolution(action="reject", by="kim", reason="no")),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["StateConflict", "Task"]
    await ended(ledger)
    assert len(seen) == 1


async def test_a_decision_is_kept_when_its_worker_dies(ledger: Ledger, opened: Opened) -> None:
    seen: list[Resolution] = []
    heir = await opened()
    for one in (ledger, heir):
        install(one, asking(seen))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger, "decision")
    await ledger.worker.stop(grace=0)
    await ledger.tasks.resolve(task.id, Resolution(action="accept", by="pat"))
    heir.worker.start()
    await ended(heir)
    assert [one.by for one in seen] == ["pat"]


@pytest.mark.parametrize(
    ("resolution", "where"),
    [
        (Resolution(action="retry", by="pat"), "$.action"),
        (Resolution(action="reject", by="pat", reason="  "), "$.reason"),
    ],
)
async def test_what_a_task_does_not_allow_is_refused_and_changes_nothing(
    ledger: Ledger, resolution: Resolution, where: str
) -> None:
    install(ledger, asking([]))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger, "decision")
    with pytest.raises(InvalidRequest) as refused:
        await ledger.tasks.resolve(task.id, resolution)
    assert refused.value.where == where
    assert await ledger.tasks.listed() == [task]
    assert await ledger.tasks.about("PO-1", reason="deviation") == [task]
    with pytest.raises(NotFound):
        await ledger.tasks.resolve("task_unknown", resolution)
