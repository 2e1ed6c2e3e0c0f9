"""What is kept is sealed: it opens byte-exact in its own row, under its own key, or not at all."""

import pytest

from canonical.errors import InternalFault, MissingKey
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import flow, install, used


@pytest.fixture(autouse=True)
def supply(ledger: Ledger) -> None:
    async def run(story, need):
        return None

    install(ledger, flow(run))


async def test_a_body_cannot_be_read_in_the_table_and_opens_byte_exact(ledger: Ledger) -> None:
    body = b"PID|1||ZZ-TESTER^INVENTED\r" * 3
    accepted = await ledger.messages.receive(used("1", body=body))
    row = await ledger.database.row("select sealed from body")
    assert row is not None
    assert b"TESTER" not in row["sealed"]
    kept = await ledger.messages.kept(accepted.message)
    assert (kept.body, kept.kind, kept.party, kept.channel) == (body, "ORU^R01", "EHR", "mllp")


async def test_a_body_that_was_moved_to_another_row_does_not_open(ledger: Ledger) -> None:
    mine = await ledger.messages.receive(used("1"))
    other = await ledger.messages.receive(used("2"))
    await ledger.database.run(
        "update body set sealed = (select sealed from body where message_id = $2)"
        " where message_id = $1",
        mine.message,
        other.message,
    )
    with pytest.raises(InternalFault, match="does not open"):
        await ledger.messages.kept(mine.message)


@pytest.mark.parametrize("left", [0, 5, 20])
async def test_a_body_that_was_cut_off_does_not_open(ledger: Ledger, left: int) -> None:
    accepted = await ledger.messages.receive(used("1"))
    await ledger.database.run("update body set sealed = substring(sealed for $1)", left)
    with pytest.raises(InternalFault, match="does not open"):
        await ledger.messages.kept(accepted.message)


async def test_a_wrong_key_is_a_failure_that_names_the_missing_one(
    ledger: Ledger, opened: Opened
) -> None:
    accepted = await ledger.messages.receive(used("1"))
    stranger = await opened(secret=b"another key of these tests, 32 b")
    with pytest.raises(MissingKey) as failed:
        await stranger.messages.kept(accepted.message)
    mine = ledger.keys.ring.active.id
    assert failed.value.where == accepted.message
    assert f"put key {mine} back" in failed.value.fix
