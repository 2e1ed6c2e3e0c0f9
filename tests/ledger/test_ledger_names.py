"""Names that count once, and names that count no more, for several processes on one database."""

import asyncio
import time

import pytest

from canonical.errors import StoreUnavailable
from tests.ledger.outside import eventually

NOW = 1_800_000_000.0


async def test_a_name_is_taken_by_one_of_many_and_is_free_again_when_its_time_is_over(opened):
    ledgers = [await opened(), await opened()]
    tries = [each.once.take("jti:1", NOW + 60, NOW) for each in ledgers * 5]
    assert sorted(await asyncio.gather(*tries)) == [False] * 9 + [True]
    assert not await ledgers[0].once.take("jti:1", NOW + 120, NOW + 59)
    assert await ledgers[0].once.take("jti:2", NOW + 60, NOW)
    assert await ledgers[0].once.take("jti:1", NOW + 120, NOW + 60)
    assert not await ledgers[1].once.take("jti:1", NOW + 180, NOW + 100)
    await ledgers[0].once.forget(NOW + 110)
    rows = await ledgers[0].database.rows("select name from used_once")
    assert [row["name"] for row in rows] == ["jti:1"]


@pytest.fixture
async def started(opened):
    ledgers = [await opened(), await opened()]
    for each in ledgers:
        await each.withdrawals.start()
    yield ledgers
    for each in ledgers:
        await each.withdrawals.stop()


async def test_what_one_process_withdraws_no_other_takes(started):
    first, second = started
    await first.withdrawals.withdraw("token:1", until=time.time() + 60)
    assert first.withdrawals.any_of(["token:0", "token:1"], NOW)

    async def heard():
        return second.withdrawals.any_of(["token:1"], NOW)

    await eventually(heard)
    assert not second.withdrawals.any_of(["token:2"], NOW)


async def test_what_is_given_out_afterwards_counts(started):
    first, second = started
    await first.withdrawals.withdraw("party:a", until=time.time() + 60)

    async def gone():
        return second.withdrawals.any_of(["party:a"], NOW + 1e6)

    await eventually(gone)
    await first.withdrawals.withdraw("party:a", until=time.time() + 60, given_before=NOW)

    async def back():
        return not second.withdrawals.any_of(["party:a"], NOW)

    await eventually(back)
    assert second.withdrawals.any_of(["party:a"], NOW - 1)


async def test_a_process_that_starts_later_knows_what_was_withdrawn_long_ago(started, opened):
    first, _ = started
    await first.withdrawals.withdraw("token:1", until=time.time() + 60)
    await first.database.run("update withdrawn set at = at - interval '1 day'")
    late = await opened()
    await late.withdrawals.start()
    assert late.withdrawals.any_of(["token:1"], NOW)
    await late.withdrawals.stop()


async def test_a_withdrawal_that_nobody_needs_any_more_is_forgotten(started):
    first, _ = started
    await first.withdrawals.withdraw("token:old", until=time.time() - 1)
    first.withdrawals._tended = 0.0

    async def forgotten():
        return not await first.database.rows("select 1 from withdrawn")

    await eventually(forgotten)


async def test_a_process_that_cannot_read_says_that_it_does_not_know(started, opened):
    first, _ = started
    first.withdrawals._read_at -= 3600
    with pytest.raises(StoreUnavailable):
        first.withdrawals.any_of(["token:1"], NOW)
    with pytest.raises(StoreUnavailable):
        (await opened()).withdrawals.any_of(["token:1"], NOW)
