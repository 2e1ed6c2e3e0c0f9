"""Events have one order, whatever order their commits became visible in."""

from datetime import UTC, datetime

import asyncpg
import msgspec

from canonical.events import TAXONOMY
from canonical.published import TaskRaised
from ledger.ledger import Ledger
from ledger.outbox import Event, Position, Wanted

ALL = Wanted(types=("org.suture.*",))
INSERT = (
    "insert into outbox (id, type, subject, body, facility, data_class)"
    " values ($1, $2, 's', '{}', $3, $4)"
)
START = Position(0, 0)


async def tell(
    session: asyncpg.Connection,
    name: str,
    kind: str = "org.suture.order.placed.v1",
    facility: str = "1710",
    data_class: str = "supply",
) -> None:
    await session.execute(INSERT, name, kind, facility, data_class)


async def read(ledger: Ledger, place: Position, wanted: Wanted = ALL) -> tuple[list[str], Position]:
    page = await ledger.outbox.after(place, wanted, limit=100)
    return [event.id for event in page.events], page.reached


async def test_what_is_committed_late_is_not_overtaken(ledger: Ledger, operator, dsn: str) -> None:
    slow = await asyncpg.connect(dsn, server_settings={"search_path": "suture"})
    transaction = slow.transaction()
    await transaction.start()
    await tell(slow, "first")
    await tell(operator, "second")

    assert (await read(ledger, START))[0] == []
    assert await ledger.outbox.is_unsettled()
    await transaction.commit()
    await slow.close()
    assert (await read(ledger, START))[0] == ["first", "second"]
    assert not await ledger.outbox.is_unsettled()


async def test_an_earlier_number_of_a_later_commit_is_still_read(
    ledger: Ledger, operator, dsn: str
) -> None:
    """The transaction that draws its row's number first is numbered second."""
    await operator.execute("begin; select pg_current_xact_id()")
    other = await asyncpg.connect(dsn, server_settings={"search_path": "suture"})
    await tell(other, "of the younger transaction")
    _, reached = await read(ledger, START)
    await tell(operator, "of the older transaction")
    await operator.execute("commit")
    await other.close()
    told, _ = await read(ledger, reached)
    assert told == ["of the older transaction", "of the younger transaction"]


async def test_what_is_taken_back_holds_back_nobody(ledger: Ledger, operator, dsn: str) -> None:
    other = await asyncpg.connect(dsn, server_settings={"search_path": "suture"})
    await other.execute("begin")
    await tell(other, "never")
    await tell(operator, "always")
    await other.close()
    while await ledger.outbox.is_unsettled():
        pass
    assert (await read(ledger, START))[0] == ["always"]


async def test_a_reader_of_few_types_does_not_walk_the_others_again(
    ledger: Ledger, operator
) -> None:
    for number in range(3):
        await tell(operator, f"e{number}")
    told, reached = await read(ledger, START, Wanted(types=("org.suture.case.scheduled.v1",)))
    assert told == []
    await tell(operator, "case", "org.suture.case.scheduled.v1")
    assert (await read(ledger, reached))[0] == ["case"]


async def test_type_facility_and_class_are_filters(ledger: Ledger, operator) -> None:
    await tell(operator, "placed")
    await tell(operator, "elsewhere", facility="1720")
    await tell(operator, "charge", "org.suture.charge.eligible.v1", data_class="financial")
    for wanted, told in (
        (Wanted(types=("org.suture.order.*",)), ["placed", "elsewhere"]),
        (Wanted(types=("org.suture.order",)), []),
        (Wanted(types=("org.suture.*",), facilities=("1710",)), ["placed", "charge"]),
        (Wanted(types=("org.suture.*",), data_classes=("supply",)), ["placed", "elsewhere"]),
    ):
        assert (await read(ledger, START, wanted))[0] == told


async def test_a_moment_is_a_place_in_the_order(ledger: Ledger, operator) -> None:
    await tell(operator, "old")
    await operator.execute("update outbox set at = '2026-01-01T00:00:00Z'")
    await tell(operator, "new")
    for moment, told in (
        (datetime(2025, 12, 31, tzinfo=UTC), ["old", "new"]),
        (datetime(2026, 1, 2, tzinfo=UTC), ["new"]),
        (datetime(2999, 1, 1, tzinfo=UTC), []),
    ):
        assert (await read(ledger, await ledger.outbox.before(moment)))[0] == told


async def test_every_raised_task_is_an_event_in_the_same_commit(ledger: Ledger, operator) -> None:
    types = {kind.type for kind in TAXONOMY if kind.payload is TaskRaised}
    for kind in ("stuck", "decision", "refused", "overdue"):
        await operator.execute(
            "insert into task (id, kind, reason, title, detail, owner, actions) values"
            " ($1, $1, 'unknown-item', 'Unknown item', 'no', 'supply-chain', '{retry}')",
            kind,
        )
    page = await ledger.outbox.after(START, ALL, limit=10)
    assert {event.type for event in page.events} == types
    events: list[Event] = page.events
    told = [msgspec.json.decode(event.body, type=TaskRaised) for event in events]
    assert [each.kind for each in told] == ["stuck", "decision", "refused", "overdue"]
    assert told[0].task == "stuck"
