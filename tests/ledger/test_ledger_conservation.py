"""Nothing is dropped and nothing doubled, whatever arrives in whatever order."""

import asyncio
import random
from collections import Counter

import pytest

from canonical.errors import IdentityConflict
from ledger.arrival import Accepted, Arrival
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import answered, count, eventually, flow, install, refusal, used


def arrivals(chance: random.Random) -> list[Arrival]:
    """Return documents of every fate about a handful of orders."""
    documents: list[Arrival] = []
    for _ in range(120):
        number = str(chance.randrange(15))
        documents.append(
            chance.choice(
                [
                    used(number),
                    used(number, refusal=refusal(), announcements=()),
                    used(f"{number} never known", refusal=refusal(), announcements=()),
                    used(number, body=b"something else"),
                    answered(number, chance.choice(["yes", "no"])),
                    answered(f"{number} of nobody"),
                    used(number, identity=""),
                ]
            )
        )
    return documents


def fate(answer: Accepted | BaseException) -> str:
    if isinstance(answer, IdentityConflict):
        return "conflict"
    assert isinstance(answer, Accepted), answer
    if answer.duplicate:
        return "duplicate"
    assert bool(answer.transactions) != bool(answer.tasks)
    return "transaction" if answer.transactions else "task"


@pytest.mark.parametrize("seed", range(4))
async def test_every_document_has_a_story_or_a_task_or_came_before(
    ledger: Ledger, opened: Opened, seed: int
) -> None:
    async def run(story, need):
        return None

    ledgers = (ledger, await opened())
    for one in ledgers:
        install(one, flow(run))
        one.worker.start()
    chance = random.Random(seed)
    waiting, fates = arrivals(chance), Counter[str]()
    given = len(waiting)
    while waiting:
        burst = [waiting.pop() for _ in range(min(len(waiting), chance.randrange(1, 30)))]
        answers = await asyncio.gather(
            *(chance.choice(ledgers).messages.receive(one) for one in burst),
            return_exceptions=True,
        )
        fates.update(map(fate, answers))

    assert fates.total() == given
    assert len(fates) == 4
    story = "exists (select 1 from entry e where e.message_id = message.id)"
    task = "exists (select 1 from task t where t.message_id = message.id and t.status = 'open')"
    assert await count(ledger, "message", f"not {story} and not {task}") == 0
    assert await count(ledger, "message", f"{story} and {task}") == 0
    assert await count(ledger, "message", story) == fates["transaction"]
    open_tasks = "select message_id from task where status = 'open' group by 1 having count(*) > 1"
    assert await ledger.database.rows(open_tasks) == []

    async def all_ended() -> bool:
        return await count(ledger, "flow", "status <> 'done'") == 0

    await eventually(all_ended)
    doubled = "select message_id from flow group by 1 having count(*) > 1"
    assert await ledger.database.rows(doubled) == []
    assert (await ledger.audit.verify())[1] == []
