"""`suture tasks` says how urgent a task is, by when it is due, and how long it took."""

import re
from datetime import timedelta
from pathlib import Path

import msgspec

from canonical.deadline import Deadline
from canonical.task import TaskDraft
from gateway.config import Config
from gateway.keys import ledger_keys
from gateway.runtime import Stores
from ledger.ledger import open_ledger
from tests.gateway.installation import Installation
from tests.ledger.outside import eventually, flow, install, used

QUESTION = TaskDraft(
    reason="deviation",
    title="May this be accepted?",
    detail="two instead of three",
    owner="buyers",
    actions=("accept", "abandon"),
)
LATE = Deadline(
    kind="deviation",
    tier="critical",
    within=timedelta(seconds=-1),
    affected="OR01",
    owner="buyers",
    fix="decide",
)


async def run(story, need):
    return await story.decision("deviation", QUESTION, LATE)


async def test_a_task_is_listed_with_its_tier_its_times_and_what_it_took(
    config: Config, tmp_path: Path, stores: Stores
) -> None:
    installation = Installation(tmp_path, stores)
    here = msgspec.structs.replace(config, state_folder=str(tmp_path))
    async with open_ledger(stores.dsn, secret=ledger_keys(here)) as ledger:
        install(ledger, flow(run))
        await ledger.messages.receive(used("1"))
        ledger.worker.start()

        async def escalated() -> str | None:
            return next((t.id for t in await ledger.tasks.listed() if t.escalated_at), None)

        task = await eventually(escalated)
        await ledger.worker.stop(grace=0)
    minute = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    _, said = await installation.suture("tasks")
    assert re.search(rf"critical, due {minute}, escalated {minute}\n", said), said
    code, said = await installation.suture("tasks", "--resolve", task, "--action", "accept")
    assert code == 0, said
    [shown] = await installation.answer("tasks", "--status", "resolved")
    assert (shown["tier"], shown["resolutionSeconds"] > 0) == ("critical", True)
    assert shown["dueAt"] < shown["escalatedAt"]
    _, said = await installation.suture("tasks", "--status", "resolved")
    assert re.search(r"resolved after \d+ s", said), said
