"""The watch over the trail: what security must look at becomes one task, whoever looks."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ledger import watch
from ledger.alert_rules import AlertRules, Threshold, WorkingDay
from ledger.audit.keys import new_audit_keys
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import count

FEW = Threshold(count=5, seconds=300.0)
RULES = AlertRules(refusals=FEW, facilities=FEW, contexts=FEW, except_actors=("usage-flow",))
TOKYO = ZoneInfo("Asia/Tokyo")


async def told(ledger: Ledger, many: int = 1, **changes: str) -> None:
    evidence = {"kind": "call", "actor": "app", "action": "GET /x", "outcome": "200"}
    every = [Evidence(**{**evidence, **changes}) for _ in range(many)]
    await asyncio.gather(*(ledger.record(one) for one in every))


async def alerts(ledger: Ledger) -> list[tuple[str, str]]:
    tasks = await ledger.tasks.listed(owner="security")
    assert {(task.kind, task.actions) for task in tasks} <= {("alert", ("acknowledge",))}
    return [(task.reason, task.subject) for task in tasks]


@pytest.fixture
def watched(ledger: Ledger) -> Ledger:
    ledger.watch.rules = RULES
    return ledger


async def test_a_burst_of_refusals_is_one_task_and_one_event(watched: Ledger) -> None:
    await told(watched, 4, actor="guesser", outcome="unauthenticated")
    assert await watched.watch.look() == []
    await told(watched, 3, actor="guesser", outcome="forbidden")
    await told(watched, 9, actor="honest", outcome="unknown-item")
    await told(watched, 9, actor="busy")
    [raised] = await watched.watch.look()
    assert (raised.pattern, raised.subject) == ("refusals", "guesser")
    await told(watched, 5, actor="guesser", outcome="forbidden")
    assert await watched.watch.look() == []
    assert await alerts(watched) == [("refusals", "guesser")]
    assert await count(watched, "outbox", "type = $1", "org.suture.operations.alert.v1") == 1
    [record] = await watched.audit.recent(limit=5, kind="alert")
    assert record.evidence.detail["about"] == "guesser"


async def test_a_burst_is_seen_whoever_looked_before(watched: Ledger, opened: Opened) -> None:
    """What was recorded while nobody looked is not forgotten, and nobody raises it again."""
    await watched.watch.look()
    await told(watched, 6, actor="guesser", outcome="forbidden")
    replicas = [await opened() for _ in range(3)]
    for replica in replicas:
        replica.watch.rules = RULES
    raised = await asyncio.gather(*(replica.watch.look() for replica in replicas))
    again = await asyncio.gather(*(replica.watch.look() for replica in replicas))
    assert sum(len(each) for each in (*raised, *again)) == 1
    assert await alerts(watched) == [("refusals", "guesser")]


async def test_old_refusals_are_no_burst(watched: Ledger) -> None:
    await told(watched, 6, actor="guesser", outcome="forbidden")
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    await watched.database.run("update audit set at = $1 where seq <= 3", long_ago)
    assert await watched.watch.look() == []


async def test_one_client_in_many_facilities_is_noticed(watched: Ledger) -> None:
    for number in range(5):
        await told(watched, 2, actor="roaming", facility=f"17{number}0")
        await told(watched, 2, actor="local", facility="1710")
    assert [alert.subject for alert in await watched.watch.look()] == ["roaming"]


async def test_many_patients_by_one_actor_are_noticed_and_work_is_not(watched: Ledger) -> None:
    for number in range(5):
        story = f"tx_{number}"
        await watched.database.run(
            "insert into reference (kind, value, transaction_id) values ('context', $1, $2)",
            f"ctx_{number}",
            story,
        )
        for actor in ("curious", "usage-flow"):
            await told(watched, actor=actor, transaction=story, object=story)
        await told(watched, 3, actor="faithful", transaction="tx_0", object="tx_0")
        await told(watched, actor="sender", transaction=story)
    [raised] = await watched.watch.look()
    assert (raised.pattern, raised.subject) == ("many-patients", "curious")


@pytest.mark.parametrize("within", [True, False])
async def test_opening_a_patient_out_of_hours_goes_by_the_facilitys_clock(
    watched: Ledger, within: bool
) -> None:
    now = datetime.now(UTC).astimezone(TOKYO)
    begin = now - timedelta(hours=2) if within else now + timedelta(hours=2)
    hours = {"begins": f"{begin:%H:%M}", "ends": f"{begin + timedelta(hours=4):%H:%M}"}
    watched.watch.rules = AlertRules(day=WorkingDay(**hours), except_actors=("usage-flow",))
    watched.watch.zones = {"1710": "UTC", "1720": "Asia/Tokyo"}
    seen = {"kind": "access", "object": "ctx_1", "action": "patient context opened"}
    await told(watched, actor="night", facility="1720", outcome="done", **seen)
    await told(watched, actor="usage-flow", facility="1720", outcome="done", **seen)
    raised = [(alert.pattern, alert.subject) for alert in await watched.watch.look()]
    assert raised == ([] if within else [("out-of-hours", "night")])


async def test_breaking_the_glass_is_always_noticed(watched: Ledger) -> None:
    access = {"kind": "access", "action": "break the glass", "object": "glass_1"}
    await told(watched, actor="doctor", outcome="broken", **access)
    await told(watched, actor="other", outcome="denied", **access)
    assert [alert.subject for alert in await watched.watch.look()] == ["doctor"]


@pytest.mark.parametrize(
    ("touched", "reason"),
    [
        ("update audit set hash = sha256(hash) where seq = 3", "record 3"),
        ("delete from audit where seq = 3", "is gone"),
        ("update checkpoint set signature = sha512(signature) where number = 2", "signature"),
        ("update checkpoint set body = body || ' ' where number = 2", "checkpoint 2 is not"),
        ("delete from checkpoint where number = 1", "checkpoint 1 was there and is gone"),
    ],
)
async def test_a_broken_checkpoint_is_noticed_without_reading_everything(
    opened: Opened, touched: str, reason: str
) -> None:
    keys = new_audit_keys()
    ledger = await opened(keys=lambda: keys)
    await told(ledger)
    await ledger.checkpoints.make()
    assert await ledger.watch.look() == []
    for _ in range(2):
        await told(ledger)
    await ledger.checkpoints.make()
    await ledger.database.run(touched)
    [raised] = await ledger.watch.look()
    assert raised.pattern == "audit-broken"
    assert reason in raised.detail
    assert await ledger.watch.look() == []


async def test_a_check_is_taken_over_from_a_worker_that_died(ledger: Ledger) -> None:
    await told(ledger, 3)
    asked = await ledger.audit_checks.open("reviewer")
    dead = "update audit_check set status = 'running', owner = 'dead', run_at = now() + $1"
    await ledger.database.run(dead, timedelta(hours=1))
    assert not await ledger.audit_checks.run_next()
    await ledger.database.run(dead, timedelta())
    assert await ledger.audit_checks.run_next()
    done = await ledger.audit_checks.one(asked.id)
    assert done.verdict is not None
    assert (done.status, done.verdict.records, done.verdict.broken) == ("done", 3, [])
    [record] = await ledger.audit.recent(limit=1)
    assert (record.evidence.actor, record.evidence.action) == ("reviewer", "verify the audit trail")


def test_a_working_day_has_both_ends_or_none() -> None:
    with pytest.raises(ValueError, match="both"):
        WorkingDay(begins="07:00")
    with pytest.raises(ValueError, match="hour"):
        WorkingDay(begins="25:00", ends="26:00")


MANY = """
insert into audit (chain, seq, at, kind, actor, transaction_id, object, facility, refusal, record,
    hash)
select 'book_old', n, now() - n * interval '1 second', 'call', 'app' || n % 50, 'tx_' || n % 900,
       'o' || n % 900, '17' || n % 9, case when n % 20 = 0 then 'forbidden' end, '{}', ''
from generate_series(1, 60000) n"""


async def test_a_look_costs_what_is_new_and_not_what_there_is(watched: Ledger) -> None:
    """The plans go by index, however long the trail is: none reads a month whole."""
    await watched.database.run(MANY)
    await watched.database.run("analyze audit")
    now = datetime.now(UTC)
    since, begin, kinds = now - timedelta(seconds=60), now - timedelta(hours=1), ["call", "access"]
    searched = "select 1 from audit where {} order by at desc, chain desc, seq desc limit 100"
    asked: list[tuple[str, tuple[object, ...]]] = [
        (watch._REFUSED, (since, begin, 5, list(watch.SUSPICIOUS))),
        (watch._FACILITIES, (since, begin, 5, ["call"], [])),
        (watch._CONTEXTS, (since, begin, 5, kinds, [])),
        (watch._OPENINGS, (since, 100)),
        (searched.format("object = $1"), ("o7",)),
        (searched.format("refusal is not null and at >= $1"), (since,)),
        (
            searched.format("(transaction_id = any($1) or object = any($1))"),
            (["tx_1", "ctx_1"],),
        ),
    ]
    for sql, values in asked:
        plan = "\n".join(row[0] for row in await watched.database.rows(f"explain {sql}", *values))
        assert not re.search(rf"Seq Scan on audit_{now:%Y%m} .*rows=\d{{3,}}", plan), plan
