"""A story is found by any name people know, and told hop by hop."""

import asyncio

import msgspec
import pytest

from canonical.errors import NotFound, UpstreamRefused
from ledger.figures import Figures
from ledger.ledger import Ledger
from tests.ledger.outside import (
    Answer,
    Need,
    Supplier,
    answered,
    count,
    ended,
    flow,
    install,
    raised,
    retry,
    used,
)

VERSION = "7"  # as a module of rules has it


def is_enough(on_hand: int) -> bool:
    return on_hand > 0


@pytest.fixture(autouse=True)
def supplier(ledger: Ledger) -> Supplier:
    supplier = Supplier()

    async def run(story, need):
        on_hand = await story.ask("stock", supplier.stock, need.number)
        await story.decide("is it enough", is_enough, on_hand)
        shipped = await story.step("shipment", supplier.ship, need)
        story.identify("isa13", f"00000{need.number}")
        await story.announce("invoice-matched", Answer(number=need.number), key=need.number)
        return shipped

    install(ledger, flow(run))
    return supplier


async def test_a_story_is_found_by_every_name_it_has(ledger: Ledger, supplier: Supplier) -> None:
    supplier.failures = [UpstreamRefused("no")]
    transaction = (await ledger.messages.receive(used("4711"))).transactions[0]
    ledger.worker.start()
    task = await raised(ledger)
    await ledger.tasks.resolve(task.id, retry())
    await ended(ledger)
    for name in (transaction, "4711", "MSG-4711", "000004711", task.id):
        assert await ledger.traces.find(name) == transaction
    for stranger in ("", "471", "MSG-1", "task_none", "tx_none"):
        with pytest.raises(NotFound):
            await ledger.traces.find(stranger)


async def test_a_task_without_a_story_is_not_found_as_one(ledger: Ledger) -> None:
    accepted = await ledger.messages.receive(answered("9"))
    with pytest.raises(NotFound):
        await ledger.traces.find(accepted.tasks[0])


async def test_the_newest_story_of_a_name_is_the_one_that_is_meant(ledger: Ledger) -> None:
    await ledger.messages.receive(used("1"))
    newer = await ledger.messages.receive(used("1", identity="again"))
    assert await ledger.traces.find("1") == newer.transactions[0]
    named = await ledger.traces.named("order")
    assert [one.value for one in named] == ["1", "1"]
    assert named[0].transaction == newer.transactions[0]


async def test_a_story_is_told_hop_by_hop_with_what_ran(ledger: Ledger) -> None:
    accepted = await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger)
    trace = await ledger.traces.trace(accepted.transactions[0])
    told = [(hop.name, hop.kind, hop.system, hop.versions) for hop in trace.hops]
    own = {"flow": "supply/1"}
    assert told == [
        ("ORU^R01 received", "message", "EHR", {"mapping": "feed/4"}),
        ("stock", "ask", "supplier", {**own, "mapping": "supplier/3"}),
        ("is it enough", "decide", "rules", {**own, "rule": "7"}),
        ("shipment", "effect", "supplier", {**own, "mapping": "supplier/3"}),
        ("announce invoice-matched 1", "announce", "ledger", own),
        ("supply completed", "end", "ledger", own),
    ]
    seqs, times = [hop.seq for hop in trace.hops], [hop.at for hop in trace.hops]
    assert seqs == sorted(seqs)
    assert times == sorted(times)
    shipment = trace.hops[3]
    assert msgspec.json.decode(shipment.input) == {"need": {"number": "1", "token": ""}}
    assert msgspec.json.decode(shipment.output) == {"document": "S1 for 1"}
    assert (trace.title, trace.status) == ("Need 1", "done")
    assert trace.references == (("msh10", "MSG-1"), ("order", "1"), ("isa13", "000001"))
    [one] = trace.flows
    assert (one.name, one.version, one.status, one.attempts) == ("supply", "1", "done", 0)
    assert msgspec.json.decode(one.result) == {"document": "S1 for 1"}
    assert await ledger.traces.hops(trace.id, after=seqs[-2]) == trace.hops[-1:]
    assert msgspec.json.decode(await ledger.traces.facts_of(one.id), type=Need).number == "1"


async def test_stories_are_listed_newest_first_page_by_page(ledger: Ledger) -> None:
    opened = [
        (await ledger.messages.receive(used(str(n)))).transactions[0]
        for n in range(5)
        if not await asyncio.sleep(0.002)
    ]
    first = await ledger.traces.listed(limit=2)
    second = await ledger.traces.listed(limit=9, before=first[-1].id)
    assert [row.id for row in (*first, *second)] == opened[::-1]
    assert {(row.status, row.hops, row.open_tasks) for row in second} == {("open", 1, 0)}


async def test_what_is_not_there_is_said_to_be_not_there(ledger: Ledger) -> None:
    for look in (ledger.traces.trace, ledger.traces.facts_of, ledger.tasks.one):
        with pytest.raises(NotFound):
            await look("tx_none")
    with pytest.raises(NotFound):
        await ledger.messages.kept("msg_none")


async def test_tasks_are_listed_by_owner_state_and_story(
    ledger: Ledger, supplier: Supplier
) -> None:
    supplier.failures = [UpstreamRefused("no")]
    transaction = (await ledger.messages.receive(used("1"))).transactions[0]
    await ledger.messages.receive(answered("2"))
    ledger.worker.start()
    stuck = await raised(ledger)
    refused = await raised(ledger, "refused")
    assert await ledger.tasks.listed(owner="it-operations") == [stuck]
    assert await ledger.tasks.listed(transaction=transaction) == [stuck]
    assert await ledger.tasks.listed(limit=1) == [refused]
    await ledger.tasks.resolve(stuck.id, retry())
    assert await ledger.tasks.listed() == [refused]
    assert [task.id for task in await ledger.tasks.listed(status="any")] == [refused.id, stuck.id]
    assert [task.id for task in await ledger.tasks.about("1", reason=stuck.reason)] == [stuck.id]


async def test_the_figures_count_what_there_is(ledger: Ledger, supplier: Supplier) -> None:
    supplier.failures = [UpstreamRefused("no")]
    await ledger.messages.receive(used("1"))
    await ledger.messages.receive(answered("2"))
    ledger.worker.start()
    await raised(ledger)
    counted = {
        (what, kind): n for what, kind, n in await Figures(ledger.database, ledger.writer).counts()
    }
    assert counted["flows", "stuck"] == 1
    assert counted["tasks", "upstream-refused"] == counted["tasks", "unknown-order"] == 1
    assert counted["messages", "all"] == 2
    assert counted["messages", "pending"] == 0
    assert counted["transactions", "all"] == await count(ledger, "transaction") == 1
