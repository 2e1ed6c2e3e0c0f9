"""Documents that arrive: kept before they are answered, once whatever the sender does."""

import asyncio

import pytest

from canonical.errors import IdentityConflict
from canonical.request import Reference
from ledger.arrival import Accepted, Departure
from ledger.ledger import Ledger
from ledger.message_store import KeptDeparture
from ledger.submission import Submission, Submitted, hand_in
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Need,
    abandon,
    answered,
    count,
    ended,
    fact,
    flow,
    hops,
    install,
    refusal,
    used,
)


@pytest.fixture(autouse=True)
def supply(ledger: Ledger) -> None:
    async def run(story, need):
        await story.decide("what is needed", number_of, need)

    install(ledger, flow(run))


def number_of(need: Need) -> str:
    return need.number


async def test_a_document_is_on_disk_before_it_is_answered(ledger: Ledger, opened: Opened) -> None:
    accepted = await ledger.messages.receive(used("1", body=b"MSH|^~\\&|\r\x00\xff"))
    other = await opened()
    assert (await other.messages.kept(accepted.message)).body == b"MSH|^~\\&|\r\x00\xff"
    assert await count(other, "flow", "key = '1' and status = 'ready'") == 1


async def test_a_document_that_comes_again_gets_its_answer_and_has_no_second_effect(
    ledger: Ledger,
) -> None:
    first = await ledger.messages.receive(used("1"))
    again = await ledger.messages.receive(used("1", answer=b"made anew"))
    assert not first.duplicate
    assert again == Accepted(
        message=first.message,
        duplicate=True,
        answer=b"AA 1",
        transactions=first.transactions,
    )
    assert await count(ledger, "flow") == await count(ledger, "transaction") == 1


async def test_fifty_at_once_from_two_processes_are_one(ledger: Ledger, opened: Opened) -> None:
    other = await opened()
    install(other, *ledger.catalogue.flows.values())
    answers = await asyncio.gather(
        *((ledger, other)[n % 2].messages.receive(used("1")) for n in range(50))
    )
    assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 49
    assert {answer.transactions for answer in answers} == {answers[0].transactions}
    assert len(answers[0].transactions) == 1
    assert {answer.answer for answer in answers} == {b"AA 1"}
    assert await count(ledger, "flow") == await count(ledger, "message") == 1


async def test_a_caller_who_repeats_himself_at_once_learns_the_transaction_each_time(
    ledger: Ledger,
) -> None:
    submission = Submission(
        kind="usage",
        client="app",
        body=b"{}",
        idempotency_key="k1",
        announcement=fact("item-used", "use-1"),
    )
    told = await asyncio.gather(*(hand_in(ledger.messages, submission) for _ in range(20)))
    [transaction] = {one.transaction for one in told}
    assert transaction
    assert min(told, key=lambda one: one.duplicate) == Submitted(
        id="use-1", transaction=transaction, message=told[0].message
    )


async def test_a_refused_document_that_comes_twice_at_once_is_one_task(ledger: Ledger) -> None:
    refused = used("1", refusal=refusal(), announcements=())
    answers = await asyncio.gather(*(ledger.messages.receive(refused) for _ in range(20)))
    assert len(await ledger.tasks.listed()) == 1
    assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 19


async def test_a_refusal_and_its_acceptance_in_one_commit_leave_nothing_to_do(
    ledger: Ledger,
) -> None:
    refused, accepted = await asyncio.gather(
        ledger.messages.receive(used("1", refusal=refusal(), announcements=(), answer=b"AE")),
        ledger.messages.receive(used("1")),
    )
    assert ledger.writer.batches == 1
    assert (refused.answer, accepted.answer) == (b"AE", b"AA 1")
    assert await ledger.tasks.listed() == []
    assert await count(ledger, "flow") == 1


async def test_the_same_identity_with_another_body_is_a_conflict(ledger: Ledger) -> None:
    await ledger.messages.receive(used("1"))
    with pytest.raises(IdentityConflict) as refused:
        await ledger.messages.receive(used("1", body=b"other"))
    assert refused.value.where == "MSG-1"
    assert await count(ledger, "message") == 1
    outcomes = [record.outcome for _, _, record in await ledger.audit.recent(limit=9)]
    assert outcomes == ["conflict", "received"]


async def test_a_conflict_is_only_his_who_caused_it(ledger: Ledger) -> None:
    answers = await asyncio.gather(
        ledger.messages.receive(used("1")),
        ledger.messages.receive(used("1", body=b"other")),
        ledger.messages.receive(used("2")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [Accepted, IdentityConflict, Accepted]
    assert await count(ledger, "flow") == 2


async def test_what_has_no_identity_is_always_new(ledger: Ledger) -> None:
    for _ in range(2):
        assert not (await ledger.messages.receive(used("1", identity=""))).duplicate
    assert await count(ledger, "message") == await count(ledger, "flow") == 2


async def test_a_refused_document_may_come_again_and_be_accepted(ledger: Ledger) -> None:
    refused = await ledger.messages.receive(
        used("1", refusal=refusal(), announcements=(), answer=b"AE")
    )
    assert (refused.transactions, len(refused.tasks)) == ((), 1)
    accepted = await ledger.messages.receive(used("1"))
    assert (accepted.duplicate, accepted.answer) == (False, b"AA 1")
    assert accepted.message == refused.message
    assert len(accepted.transactions) == 1
    [task] = await ledger.tasks.listed(status="any")
    assert (task.status, task.resolution and task.resolution.by) == ("resolved", "ledger")
    assert (await ledger.messages.receive(used("1"))).duplicate


async def test_a_document_that_is_refused_again_after_its_task_was_settled_is_a_new_task(
    ledger: Ledger,
) -> None:
    refused = used("1", refusal=refusal(), announcements=())
    first = await ledger.messages.receive(refused)
    still_open = await ledger.messages.receive(refused)
    assert (still_open.duplicate, still_open.tasks) == (True, ())
    await ledger.tasks.resolve(first.tasks[0], abandon())
    second = await ledger.messages.receive(refused)
    assert [task.id for task in await ledger.tasks.listed()] == list(second.tasks)


async def test_an_answer_to_an_unknown_order_is_a_task_until_the_order_is_known(
    ledger: Ledger,
) -> None:
    homeless = await ledger.messages.receive(answered("4711"))
    [task] = await ledger.tasks.listed()
    assert homeless.tasks == (task.id,)
    assert (task.reason, task.message, task.actions) == (
        "unknown-order",
        homeless.message,
        ("retry", "abandon"),
    )
    assert "order 4711" in task.detail

    story = await ledger.messages.receive(used("4711"))
    retried = [await ledger.messages.receive(answered("4711")) for _ in range(2)]
    assert retried[0].transactions == retried[1].transactions == story.transactions
    assert [one.duplicate for one in retried] == [False, True]
    assert await count(ledger, "signal", "key = '4711'") == 1
    assert await ledger.tasks.listed() == []


async def test_an_answer_that_is_still_homeless_keeps_exactly_one_task_open(
    ledger: Ledger,
) -> None:
    for _ in range(3):
        accepted = await ledger.messages.receive(answered("4711"))
    assert [task.id for task in await ledger.tasks.listed()] == list(accepted.tasks)


async def test_a_document_with_several_facts_loses_none(ledger: Ledger) -> None:
    ledger.worker.start()
    facts = [Need(number=f"invoice {n}") for n in range(3)]
    several = tuple(fact("item-used", "order-9", one) for one in facts)
    await ledger.messages.receive(used("9", announcements=several))
    await ended(ledger, 3)
    told = await ledger.database.rows("select facts ->> 'number' from flow order by arrival")
    assert [row[0] for row in told] == ["invoice 0", "invoice 1", "invoice 2"]


async def test_a_fact_without_a_home_does_not_hold_back_the_others(ledger: Ledger) -> None:
    await ledger.messages.receive(used("1"))
    both = (*answered("1").announcements, *answered("2").announcements)
    accepted = await ledger.messages.receive(answered("1", announcements=both))
    assert len(accepted.transactions) == len(accepted.tasks) == 1
    [task] = await ledger.tasks.listed()
    assert "order 2" in task.detail
    assert (await ledger.messages.receive(answered("1", announcements=both))).duplicate
    assert await count(ledger, "signal") == 1


async def test_documents_of_one_case_meet_in_one_story_although_they_come_at_once(
    ledger: Ledger, opened: Opened
) -> None:
    other = await opened()
    install(other, *ledger.catalogue.flows.values())
    case = (Reference("case", "case_x"),)
    documents = [
        used(str(n), announcements=(fact("item-used", str(n), references=case, joins=case),))
        for n in range(12)
    ]
    answers = await asyncio.gather(
        *((ledger, other)[n % 2].messages.receive(one) for n, one in enumerate(documents))
    )
    assert len({answer.transactions for answer in answers}) == 1
    assert await count(ledger, "transaction") == 1


async def test_a_departure_is_kept_once_and_makes_its_story_findable(ledger: Ledger) -> None:
    accepted = await ledger.messages.receive(used("1"))
    row = await ledger.database.row("select id from flow")
    assert row is not None
    departure = Departure(
        channel="edi",
        kind="850",
        recipient="VENDOR",
        body=b"ISA*00*",
        key=f"{row['id']}/850 to the supplier",
        references=(Reference("isa13", "000000042"),),
    )
    assert await ledger.messages.departure(departure.key) is None
    message = await ledger.messages.keep(departure)
    kept = await ledger.messages.departure(departure.key)
    assert kept == KeptDeparture(message=message, sent=False)
    assert await ledger.messages.keep(departure) == message
    assert await ledger.traces.find("000000042") == accepted.transactions[0]
    await ledger.messages.sent(message, b"TA1")
    kept = await ledger.messages.departure(departure.key)
    assert kept == KeptDeparture(message=message, sent=True)
    assert (await ledger.messages.kept(message)).body == b"ISA*00*"
    assert await count(ledger, "message", "direction = 'out' and status = 'sent'") == 1


async def test_the_trace_names_the_version_that_read_the_document(ledger: Ledger) -> None:
    accepted = await ledger.messages.receive(used("1"))
    assert await hops(ledger, "1") == ["ORU^R01 received"]
    [hop] = await ledger.traces.hops(accepted.transactions[0])
    assert (hop.versions, hop.actor, hop.message) == (
        {"mapping": "feed/4"},
        "EHR",
        accepted.message,
    )
