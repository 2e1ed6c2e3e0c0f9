"""What is waited for may come while nobody lives, twice, too early, or at the last moment."""

import asyncio
import signal

from bench.torture.arena import Arena
from ledger.arrival import Arrival
from ledger.ledger import Ledger
from tests.crash.acts import Play, work
from tests.crash.conftest import Start
from tests.crash.seen import PATIENCE, answered, done, effects, needed, rows, tell
from tests.ledger.outside import count


def asked(number: str) -> Arrival:
    return needed(number, "requisition-raised")


async def test_news_that_came_while_no_worker_lived_is_taken_once(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    worker = start(work, "a")
    await ledger.messages.receive(asked("1"))
    await rows(ledger, "flow", "status = 'waiting'", many=1)
    await worker.kill()
    first = await ledger.messages.receive(answered("1"))
    again = await ledger.messages.receive(answered("1"))
    assert (first.duplicate, again.duplicate, again.answer) == (False, True, first.answer)
    worker.start()
    await done(ledger, 1)
    assert effects(arena, "reserve") == {"1": 1}
    assert await count(ledger, "taken") == await count(ledger, "signal") == 1


async def test_news_may_come_before_anybody_waits_for_it(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    await ledger.messages.receive(asked("1"))
    await ledger.messages.receive(answered("1"))
    start(work, "a")
    await done(ledger, 1)
    assert effects(arena, "reserve") == {"1": 1}
    assert await count(ledger, "awaited") == 0


async def test_a_worker_that_dies_with_the_news_in_its_hand_takes_it_only_once(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    tell(arena, "after the wait")
    await ledger.messages.receive(asked("1"))
    await ledger.messages.receive(answered("1"))
    worker = start(work, "a")
    assert await worker.ended(PATIENCE) == -signal.SIGKILL
    await ledger.messages.receive(answered("1", "no"))  # other news must not take its place
    worker.start()
    await done(ledger, 1)
    [flow] = await ledger.database.rows("select result ->> 'words' as words from flow")
    assert flow["words"] == "yes"
    assert await count(ledger, "taken") == 1


async def test_news_at_the_moment_of_the_deadline_is_taken_and_nobody_is_asked_twice(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    play = Play(within=0.4)
    start(work, "a", play)
    start(work, "b", play)
    numbers = [str(n) for n in range(12)]
    await asyncio.gather(*(ledger.messages.receive(asked(number)) for number in numbers))
    await rows(ledger, "flow", "status = 'waiting'", many=len(numbers))
    for number in numbers:
        await ledger.messages.receive(answered(number))
        await asyncio.sleep(0.06)
    await done(ledger, len(numbers))
    assert set(effects(arena, "reserve").values()) == {1}
    overdue = "select flow_id from task where kind = 'overdue' group by 1 having count(*) > 1"
    assert await ledger.database.rows(overdue) == []


async def test_a_deadline_that_passed_while_no_worker_lived_is_raised_once_by_many(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    play = Play(within=0.3)
    first = start(work, "a", play)
    await ledger.messages.receive(asked("1"))
    await rows(ledger, "flow", "status = 'waiting'", many=1)
    await first.kill()
    await rows(ledger, "awaited", "due_at < now()", many=1)
    first.start()
    for name in ("b", "c"):
        start(work, name, play)
    await rows(ledger, "task", "kind = 'overdue'", many=1)
    await ledger.messages.receive(answered("1"))
    await done(ledger, 1)
    assert await count(ledger, "task") == await count(ledger, "entry", "outcome = 'overdue'") == 1
