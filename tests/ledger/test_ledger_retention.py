"""What is older than its rule goes, in small batches beside the traffic; what it proves stays."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canonical.context import PatientContext
from canonical.errors import IdentityConflict, NotFound
from ledger import retention
from ledger.cancelling import Cancellation
from ledger.ledger import Ledger
from ledger.settings import RetentionRules
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Need,
    Supplier,
    abandon,
    count,
    ended,
    eventually,
    fact,
    flow,
    install,
    raised,
    refusal,
    used,
)

EVERYTHING = RetentionRules(
    bodies=30, stories=30, hops=30, events=30, contexts=30, identities=90, audit=0
)


def ships(supplier: Supplier) -> Any:
    async def run(story: Any, need: Need) -> None:
        story.identify("order", f"order {need.number}")
        await story.step("shipment", supplier.ship, need)
        if need.number.startswith("stuck"):
            await story.decide("known", unknown)

    return flow(run)


def unknown() -> bool:
    raise NotFound("no such thing")


AGED = (
    *("update message set at = at - $1::interval", "update body set at = at - $1::interval"),
    "update flow set started_at = started_at - $1::interval, ended_at = ended_at - $1::interval",
    *("update entry set at = at - $1::interval", "update signal set at = at - $1::interval"),
    "update task set raised_at = raised_at - $1::interval, resolved_at = resolved_at - $1",
    *("update outbox set at = at - $1::interval", "update claim set at = at - $1::interval"),
    "update sealed_context set at = at - $1::interval",
    "update transaction set opened_at = opened_at - $1::interval",
)


async def age(ledger: Ledger, days: int) -> None:
    """Let everything have happened so much earlier."""
    for sql in AGED:
        await ledger.database.run(sql, timedelta(days=days))


async def told(ledger: Ledger, *numbers: str, days: int = 40) -> None:
    """Have stories that ended so long ago."""
    for number in numbers:
        await ledger.messages.receive(used(number))
    await ended(ledger, len(numbers))
    await age(ledger, days)


@pytest.fixture
async def aging(ledger: Ledger) -> Ledger:
    ledger.retention.rules = EVERYTHING
    install(ledger, ships(Supplier()))
    ledger.worker.start()
    return ledger


async def test_a_finished_story_goes_and_what_it_proves_stays(aging: Ledger) -> None:
    await told(aging, "1", "2")
    before = await aging.audit.verify()
    due = {each.what: each.rows for each in await aging.retention.preview()}
    removed = await aging.retention.run()
    assert (removed["bodies"], removed["stories"]) == (due["bodies"], due["stories"]) == (2, 2)
    for table in ("body", "flow", "step", "entry"):
        assert await count(aging, table) == 0
    assert await count(aging, "message", "digest is not null") == 2
    assert await count(aging, "transaction") == 2
    trace = await aging.traces.trace(await aging.traces.find("order 1"))
    assert [hop.name for hop in trace.hops] == ["flows removed", "hops removed"]
    assert trace.hops[0].why == "by rule: stories: 30 days"
    records, broken = await aging.audit.verify()
    assert (broken, records > before[0]) == ([], True)
    [told_of] = await aging.audit.recent(limit=1, kind="retention", actor="suture")
    assert told_of[2].outcome == "removed"
    assert await aging.retention.run() == {}


async def test_a_removed_body_says_by_which_rule_and_when(aging: Ledger) -> None:
    await told(aging, "1")
    row = await aging.database.row("select id from message")
    assert row is not None
    assert (await aging.messages.kept(row["id"])).body == b"used 1"
    await aging.retention.run()
    with pytest.raises(NotFound, match=r"removed by rule on \d{4}-\d\d-\d\d \(30 days\)"):
        await aging.messages.kept(row["id"])


async def test_what_is_younger_than_its_rule_stays(aging: Ledger) -> None:
    await told(aging, "1", days=29)
    assert await aging.retention.run() == {}
    aging.retention.rules = RetentionRules()
    await age(aging, 10_000)
    assert await aging.retention.run() == {}
    assert await count(aging, "flow") == await count(aging, "body") == 1


async def test_what_is_not_finished_stays_whole_however_old(aging: Ledger) -> None:
    await aging.messages.receive(used("stuck"))
    task = await raised(aging)
    await aging.messages.receive(used("refused", refusal=refusal(), announcements=()))
    await age(aging, 4000)
    kept = [await count(aging, table) for table in ("step", "entry", "body", "task")]
    removed = await aging.retention.run()
    # What was published has reached everybody; the refused document is still asked for.
    assert removed == {"events": 2, "identities": 1}
    assert [await count(aging, table) for table in ("step", "entry", "body", "task")] == kept
    assert await count(aging, "flow", "status = 'stuck'") == 1
    await aging.tasks.resolve(task.id, abandon())
    await aging.database.run("update flow set ended_at = ended_at - interval '40 days'")
    assert (await aging.retention.run())["stories"] == 1
    assert await count(aging, "step") == 0


async def test_a_sibling_that_waits_keeps_the_story(aging: Ledger) -> None:
    supplier = Supplier()
    supplier.answers.clear()
    install(aging, ships(supplier))
    await aging.messages.receive(used("1"))
    await supplier.began.wait()
    story = "select id, transaction_id from flow"
    await aging.database.run(
        "insert into flow (id, transaction_id, name, version, key, facts, status, ended_at)"
        f" select 'flow_of_old', s.transaction_id, 'other', '1', '1', '{{}}', 'done', now()"
        f" from ({story}) s"
    )
    await age(aging, 400)
    assert "stories" not in await aging.retention.run()
    supplier.answers.set()
    await ended(aging, 2)
    await age(aging, 400)
    assert (await aging.retention.run())["stories"] == 2


async def test_a_document_is_recognised_as_long_as_the_rule_says(aging: Ledger) -> None:
    await told(aging, "1")
    await aging.retention.run()
    again = await aging.messages.receive(used("1"))
    assert (again.duplicate, again.answer) == (True, b"AA 1")
    with pytest.raises(IdentityConflict):
        await aging.messages.receive(used("1", body=b"other"))
    await age(aging, 60)
    assert (await aging.retention.run())["identities"] == 1
    new = await aging.messages.receive(used("1"))
    assert not new.duplicate
    assert len(new.transactions) == 1


async def test_months_that_are_over_are_dropped_and_unfinished_stories_moved(
    aging: Ledger,
) -> None:
    for table in ("entry", "body"):
        await aging.database.run(
            f"create table if not exists {table}_202001 partition of {table}"
            " for values from ('2020-01-01 00:00+00') to ('2020-02-01 00:00+00')"
        )
    await told(aging, "1", days=1)
    await aging.messages.receive(used("stuck"))
    await raised(aging)
    for table in ("entry", "body"):
        await aging.database.run(f"update {table} set at = '2020-01-15 00:00+00'")
    await aging.database.run("update transaction set opened_at = '2020-01-15 00:00+00'")
    hops = await count(aging, "entry", "true")
    removed = await aging.retention.run()
    assert removed["hops"] == removed["bodies"] == 1
    assert await count(aging, "pg_class", "relname ~ '_202001'") == 0
    assert 0 < await count(aging, "entry_default") < hops
    assert await count(aging, "body_default") == 1
    trace = await aging.traces.trace(await aging.traces.find("order 1"))
    assert [hop.name for hop in trace.hops] == ["hops removed"]


async def test_the_months_ahead_are_made(aging: Ledger) -> None:
    now = datetime.now(UTC)
    later = [(now.replace(day=1) + timedelta(days=32 * n)).strftime("%Y%m") for n in range(3)]
    await aging.database.run(f"drop table if exists entry_{later[2]}")
    await aging.retention.tend()
    for table in ("entry", "body"):
        for month in later:
            assert await count(aging, "pg_class", "relname = $1", f"{table}_{month}") == 1


async def test_a_sealed_patient_goes_when_no_unfinished_flow_names_him(aging: Ledger) -> None:
    context = PatientContext(patient_id="P1", encounter="V1")
    for number in ("1", "stuck"):
        token = aging.vault.new_token()
        told_of = (fact("item-used", number, Need(number=number, token=token)),)
        arrival = used(number, contexts=((token, context),), announcements=told_of)
        await aging.messages.receive(arrival)
    await ended(aging)
    await raised(aging)
    await age(aging, 40)
    assert (await aging.retention.run())["contexts"] == 1
    assert await count(aging, "sealed_context") == 1


async def test_removing_stands_in_nobodys_way(aging: Ledger, opened: Opened) -> None:
    sender = await opened()
    install(sender, ships(Supplier()))
    await told(aging, *(str(n) for n in range(30)))
    retention.BATCH, before = 5, retention.BATCH
    sent = 0

    async def sends() -> None:
        nonlocal sent
        while True:
            await sender.messages.receive(used(f"new {sent}"))
            sent += 1

    sending = asyncio.create_task(sends())
    try:
        removed = await asyncio.gather(aging.retention.run(), sender.retention.run())
    finally:
        retention.BATCH = before
        sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert removed[0]["stories"] == 30
    assert sent > 5

    async def all_ended() -> bool:
        return await count(aging, "flow", "status = 'done'") >= sent

    await eventually(all_ended)
    assert await count(aging, "step") >= sent
    assert (await aging.audit.verify())[1] == []


async def test_a_flow_that_is_gone_cannot_be_cancelled_and_says_so(aging: Ledger) -> None:
    await told(aging, "1")
    row = await aging.database.row("select id from flow")
    assert row is not None
    await aging.retention.run()
    with pytest.raises(NotFound):
        await aging.cancel(row["id"], Cancellation(by="pat", reason="late"))
    with pytest.raises(NotFound):
        await aging.traces.facts_of(row["id"])
