"""What is late is seen: who is affected, how much it matters, whose it is; a question escalates."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from canonical.deadline import Deadline
from canonical.errors import UpstreamRefused
from canonical.published import DecisionOverdue
from canonical.request import Reference
from canonical.task import Resolution, TaskDraft
from ledger.agenda import DueGroup
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Answer,
    Need,
    Supplier,
    abandon,
    answered,
    count,
    ended,
    eventually,
    fact,
    flow,
    hops,
    install,
    raised,
    used,
)

QUESTION = TaskDraft(
    reason="approval",
    title="May this be bought?",
    detail="much",
    owner="approvers",
    actions=("approve", "decline"),
    affected="OR01",
)


def due(within: timedelta = timedelta(days=1), **changed: object) -> Deadline:
    told = Deadline(
        kind="acknowledgement",
        tier="critical",
        within=within,
        affected="case c1 on 2026-05-12 at 07:30 UTC; OR01; 2 EA Baseplate",
        owner="buyers",
        fix="call the supplier",
    )
    return msgspec.structs.replace(told, **changed)


LATE = due(timedelta(seconds=-1))


def waiting(terms: Deadline):
    async def run(story, need):
        return await story.wait(
            "855", Answer, event="order-acknowledged", key=need.number, within=terms
        )

    return flow(run)


def asking(terms: Deadline | None):
    async def run(story, need):
        return await story.decision("approval", QUESTION, terms)

    return flow(run)


def promising(terms: Deadline, supplier: Supplier, until: str = "ship"):
    async def run(story, need):
        story.promise("goods", terms, until=until)
        await story.step("ship", supplier.ship, need)
        return await story.wait(
            "855", Answer, event="order-acknowledged", key=need.number, within=timedelta(days=1)
        )

    return flow(run)


async def told(ledger: Ledger, *flows) -> None:
    install(ledger, *flows)
    await ledger.messages.receive(used("1"))
    ledger.worker.start()


async def escalated(ledger: Ledger) -> None:
    async def found() -> int:
        return await count(ledger, "task", "escalated_at is not null")

    await eventually(found)


async def group(ledger: Ledger, kind: str = "acknowledgement") -> DueGroup:
    [found] = [each for each in await ledger.agenda.groups() if each.kind == kind]
    return found


async def falls_due(ledger: Ledger) -> None:
    """Let the time of every promise come, and wait until a worker has seen to it."""
    await ledger.database.run("update deadline set due_at = now()")

    async def settled() -> bool:
        return await count(ledger, "deadline") == 0

    await eventually(settled)


async def test_the_task_of_a_late_answer_says_what_its_deadline_said(ledger: Ledger) -> None:
    await told(ledger, waiting(LATE))
    task = await raised(ledger, "overdue")
    assert (task.affected, task.owner, task.fix) == (LATE.affected, "buyers", "call the supplier")
    assert (task.tier, task.title) == ("critical", "Overdue: 855")
    assert task.due_at is not None
    assert task.due_at < task.raised_at
    assert f"it was due on {task.due_at:%Y-%m-%d at %H:%M} UTC; critical" in task.detail


async def test_a_promise_that_is_not_kept_in_time_is_a_task_even_while_the_flow_is_stuck(
    ledger: Ledger,
) -> None:
    supplier = Supplier()
    supplier.failures = [UpstreamRefused("no")]
    await told(ledger, promising(LATE, supplier))
    await raised(ledger, "stuck")
    task = await raised(ledger, "overdue")
    assert (task.title, task.affected) == ("Overdue: goods", LATE.affected)
    assert "goods has not happened in time" in task.detail


async def test_a_promise_is_kept_by_its_step(ledger: Ledger) -> None:
    await told(ledger, promising(due(), Supplier()))
    await ended(ledger, status="waiting")
    assert await ledger.agenda.groups() == [await group(ledger, "855")]
    await falls_due(ledger)
    assert await ledger.tasks.listed() == []


async def test_a_promise_ends_with_its_flow(ledger: Ledger) -> None:
    await told(ledger, promising(due(), Supplier(), until=""))
    await ended(ledger, status="waiting")
    assert (await group(ledger)).waiting == 1
    await ledger.messages.receive(answered("1"))
    await ended(ledger)
    assert await ledger.agenda.groups() == []
    await falls_due(ledger)
    assert await ledger.tasks.listed() == []


async def test_an_abandoned_flow_owes_nothing_any_more(ledger: Ledger) -> None:
    supplier = Supplier()
    supplier.failures = [UpstreamRefused("no")]
    await told(ledger, promising(due(), supplier))
    task = await raised(ledger, "stuck")
    assert (await group(ledger)).waiting == 1
    await ledger.tasks.resolve(task.id, abandon())
    assert await ledger.agenda.groups() == []
    await falls_due(ledger)
    assert await ledger.tasks.listed() == []


async def test_a_question_that_nobody_answers_in_time_escalates_once_with_event_hop_and_evidence(
    ledger: Ledger, opened: Opened
) -> None:
    other = await opened()
    install(other, asking(LATE))
    other.worker.start()
    await told(ledger, asking(LATE))
    await escalated(ledger)
    await asyncio.sleep(1.1)  # each worker has looked at the clock once more
    task = await raised(ledger, "decision")
    assert (task.tier, task.escalated_at is not None) == ("critical", True)
    [row] = await ledger.database.rows(
        "select * from outbox where type = 'org.suture.decision.overdue.v1'"
    )
    event = msgspec.json.decode(row["body"], type=DecisionOverdue)
    assert (row["type"], row["subject"]) == ("org.suture.decision.overdue.v1", task.id)
    assert (event.title, event.owner, event.deadline) == (
        task.title,
        "approvers",
        "acknowledgement",
    )
    escalations = [hop for hop in await hops(ledger, "1") if hop.startswith("Escalated")]
    assert escalations == ["Escalated: May this be bought?"]
    told_of = [each for _, _, each in await ledger.audit.recent(limit=50, kind="event")]
    assert [(each.action, each.object) for each in told_of] == [
        ("org.suture.decision.overdue.v1", task.id)
    ]


async def test_an_escalated_question_is_still_answered_by_a_person(ledger: Ledger) -> None:
    await told(ledger, asking(LATE))
    await escalated(ledger)
    task = await raised(ledger, "decision")
    solved = await ledger.tasks.resolve(task.id, Resolution(action="approve", by="pat"))
    await ended(ledger)
    assert solved.resolution_seconds is not None
    assert solved.resolved_at is not None
    took = (solved.resolved_at - solved.raised_at).total_seconds()
    assert solved.resolution_seconds == pytest.approx(took, abs=0.001)


@pytest.mark.parametrize("terms", [None, due()])
async def test_a_question_in_its_time_or_without_one_does_not_escalate(
    ledger: Ledger, terms: Deadline | None
) -> None:
    await told(ledger, asking(terms))
    task = await raised(ledger, "decision")
    await asyncio.sleep(1.1)  # the worker has looked at the clock
    again = await ledger.tasks.one(task.id)
    assert (again.escalated_at, again.resolution_seconds) == (None, None)
    assert (again.due_at is None) == (terms is None)


async def test_the_agenda_counts_what_is_open_in_time_and_late(ledger: Ledger) -> None:
    await told(ledger, waiting(due()))
    await ended(ledger, status="waiting")
    seen = await group(ledger)
    assert (seen.tier, seen.waiting, seen.overdue, seen.breached_last_day) == ("critical", 1, 0, 0)
    transaction = await ledger.traces.find("1")
    [item] = seen.pressing
    assert (item.transaction, item.what, item.overdue) == (transaction, "855", False)

    await ledger.database.run("update awaited set due_at = now() - interval '1 hour'")
    await raised(ledger, "overdue")
    seen = await group(ledger)
    assert (seen.waiting, seen.overdue, seen.breached_last_day) == (0, 1, 1)
    assert [(each.transaction, each.affected) for each in seen.broken] == [
        (transaction, LATE.affected)
    ]

    await ledger.messages.receive(answered("1"))
    await ended(ledger)
    seen = await group(ledger)
    assert (seen.waiting, seen.overdue, seen.breached_last_day) == (0, 0, 1)
    await ledger.database.run("update task set raised_at = now() - interval '25 hours'")
    assert await ledger.agenda.groups() == []


async def test_the_agenda_has_questions_and_promises_and_puts_critical_ones_first(
    ledger: Ledger,
) -> None:
    late = due(timedelta(days=1), kind="replenishment", tier="routine")
    question = due(timedelta(days=1), kind="approval", tier="urgent")

    async def run(story, need):
        story.promise("goods", late)
        return await story.decision("approval", QUESTION, question)

    await told(ledger, flow(run))
    await ended(ledger, status="waiting")
    seen = await ledger.agenda.groups()
    assert [(each.tier, each.kind, each.waiting) for each in seen] == [
        ("urgent", "approval", 1),
        ("routine", "replenishment", 1),
    ]


async def test_a_wait_for_several_facts_is_one_thing_on_the_agenda(ledger: Ledger) -> None:
    async def run(story, need):
        kinds = {"order-acknowledged": Answer, "shipment-notified": Answer}
        return await story.wait_any("news", kinds, key=need.number, within=due())

    await told(ledger, flow(run))
    await ended(ledger, status="waiting")
    assert (await group(ledger)).waiting == 1


async def test_a_flow_reads_what_another_of_its_transaction_began_with(ledger: Ledger) -> None:
    async def asks(story, need):
        first = await story.began_with("what was needed", "supply", need.number, Need)
        other = await story.began_with("what was needed there", "supply", "2", Need)
        return Answer(number=first.number if first else "", words=str(other))

    install(ledger, waiting(due()), flow(asks, "billing"), case_scheduled="billing")
    both = (fact("item-used", "1"), fact("case-scheduled", "1", joins=(Reference("order", "1"),)))
    await ledger.messages.receive(used("1", announcements=both))
    await ledger.messages.receive(used("2"))
    ledger.worker.start()
    await ended(ledger)
    row = await ledger.database.row("select result from flow where name = 'billing'")
    assert msgspec.json.decode(row["result"], type=Answer) == Answer(number="1", words="None")
