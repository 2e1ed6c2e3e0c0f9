"""What is old may go by rule: the rest stays provable, and nothing else may be missing."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest

from canonical.errors import InternalFault, StateConflict
from ledger.audit.chain import AuditChain
from ledger.audit.evidence import Evidence
from ledger.audit.export import FORMAT, Header, verify_export
from ledger.audit.keys import new_audit_keys
from ledger.audit.removal import remove_before
from ledger.audit.verdict import Verdict
from ledger.ledger import Ledger, open_ledger
from ledger.rows import Row, keep_rows
from tests.ledger.conftest import SECRET, Opened
from tests.ledger.outside import count

KEYS = new_audit_keys()
JUNE = datetime(2026, 6, 20, 12, tzinfo=UTC)


def call(n: int) -> Evidence:
    return Evidence(kind="call", actor="app", action=f"GET /{n}", outcome="200")


@pytest.fixture
async def ledger(dsn: str) -> AsyncGenerator[Ledger]:
    async with open_ledger(dsn, secret=SECRET, audit_keys=lambda: KEYS) as opened:
        yield opened


async def written(ledger: Ledger, *moments: datetime) -> list[str]:
    """Write a record at each moment by one writer; return the names of its chains in order."""
    clock = iter(moments)
    chain = AuditChain(lambda: next(clock))
    names = dict[str, None]()
    for n in range(len(moments)):
        rows = chain.draw([call(n)])
        async with ledger.database.connection() as session:
            await keep_rows(session, list[Row](rows))
        chain.settle()
        names[str(rows[0].chain)] = None
    return list(names)


def days(*numbers: int) -> list[datetime]:
    return [JUNE + timedelta(days=number) for number in numbers]


async def verdict_on(ledger: Ledger) -> Verdict:
    """Verify the trail and an export of it: they come to the same."""
    verdict = await ledger.audit.examine(pinned={KEYS.first.id})
    lines = list[bytes]()
    await ledger.audit.export(lines.append, Header(format=FORMAT, made=JUNE), None)
    offline = verify_export(lines, pinned={KEYS.first.id})[1]
    assert offline.broken == [link for link in verdict.broken if "covered by" not in link.reason]
    return verdict


async def test_a_new_month_is_a_new_chain(ledger: Ledger) -> None:
    names = await written(ledger, *days(0, 5, 10, 11, 12, 45))
    rows = await ledger.database.rows("select chain, count(*) from audit group by 1")
    counts = {row[0]: row[1] for row in rows}
    assert [counts[name] for name in names] == [3, 2, 1]
    assert await ledger.audit.verify() == (6, [])


async def test_time_never_goes_back_within_a_chain(ledger: Ledger) -> None:
    await written(ledger, *days(3, 1, 2, 4))
    rows = await ledger.database.rows("select at from audit order by seq")
    assert [row[0] for row in rows] == days(3, 3, 3, 4)


async def test_what_is_old_goes_and_the_rest_is_provable(ledger: Ledger) -> None:
    [name] = await written(ledger, *days(0, 1, 2, 3, 4))
    await ledger.checkpoints.make()
    removed = await remove_before(days(2)[0], ledger.audit, ledger.checkpoints)
    assert (removed.records, removed.kept) == (2, [])
    verdict = await verdict_on(ledger)
    assert (verdict.records, verdict.signed, verdict.removed, verdict.broken) == (3, 3, 2, [])
    again = await remove_before(days(4)[0], ledger.audit, ledger.checkpoints, batch=1)
    assert again.records == 2
    verdict = await verdict_on(ledger)
    assert (verdict.records, verdict.removed, verdict.broken) == (1, 4, [])
    assert await count(ledger, "audit", "chain = $1 and seq = 5", name) == 1


async def test_months_that_are_over_are_dropped_whole(ledger: Ledger) -> None:
    for month in days(0, 30, 60):
        await ledger.database.run("select make_audit_month($1)", month)
    await written(ledger, *days(0, 1, 30, 31, 60))
    await written(ledger, *days(2, 3))
    removed = await remove_before(days(50)[0], ledger.audit, ledger.checkpoints)
    assert (removed.months, removed.records) == (["audit_202606", "audit_202607"], 0)
    verdict = await verdict_on(ledger)
    assert (verdict.records, verdict.removed, verdict.broken) == (1, 6, [])
    assert await ledger.database.row("select to_regclass('audit_202606')") == (None,)


async def test_nothing_goes_where_the_checkpoints_do_not_hold(ledger: Ledger) -> None:
    await written(ledger, *days(0, 1))
    await ledger.checkpoints.make()
    await ledger.database.run("update checkpoint set signature = body")
    with pytest.raises(StateConflict):
        await remove_before(days(9)[0], ledger.audit, ledger.checkpoints)
    assert await count(ledger, "audit") == 2


async def test_nothing_goes_that_cannot_be_signed_first(opened: Opened) -> None:
    keyless = await opened()
    await written(keyless, *days(0, 1))
    with pytest.raises(InternalFault, match="no audit key"):
        await remove_before(days(9)[0], keyless.audit, keyless.checkpoints)
    assert await count(keyless, "audit") == 2


async def test_what_came_before_its_partition_moves_into_it(ledger: Ledger) -> None:
    far = days(4000, 4001)
    await written(ledger, *far)
    assert await count(ledger, "audit_default") == 2
    await ledger.database.run("select make_audit_month($1)", far[0])
    assert await count(ledger, "audit_default") == 0
    assert await ledger.audit.verify() == (2, [])
    await ledger.database.run(f"drop table audit_{far[0]:%Y%m}")


async def test_a_chain_that_does_not_hold_stays_as_it_is(ledger: Ledger) -> None:
    [one] = await written(ledger, *days(0, 1, 2))
    [other] = await written(ledger, *days(0, 1))
    await ledger.database.run("update audit set actor = 'x' where chain = $1 and seq = 2", one)
    removed = await remove_before(days(9)[0], ledger.audit, ledger.checkpoints)
    assert [link.chain for link in removed.kept] == [one]
    assert await count(ledger, "audit", "chain = $1", one) == 3
    assert await count(ledger, "audit", "chain = $1", other) == 0


TAMPERED = {
    "more is gone than was signed": "delete from audit where chain = $1 and seq = 3",
    "a record below the floor": (
        "insert into audit select chain, 1, at, kind, transaction_id, actor, record, hash"
        " from audit where chain = $1 and seq = 3"
    ),
    "the checkpoint that says so": (
        "delete from checkpoint where number = 2 and $1::text is not null"
    ),
    "all of the chain": "delete from audit where chain = $1",
}


@pytest.mark.parametrize("case", TAMPERED)
async def test_a_floor_excuses_what_it_says_and_nothing_else(ledger: Ledger, case: str) -> None:
    [name] = await written(ledger, *days(0, 1, 2, 3, 4))
    await ledger.checkpoints.make()
    await remove_before(days(2)[0], ledger.audit, ledger.checkpoints)
    assert (await verdict_on(ledger)).broken == []
    await ledger.database.run(TAMPERED[case], name)
    assert name in [link.chain for link in (await verdict_on(ledger)).broken]
