"""The trail of who did what: complete, searchable, and loud when somebody touched it."""

import asyncio

import pytest

from canonical.errors import InvalidRequest
from ledger.arrival import Departure
from ledger.audit_trail import Evidence
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import Need, count, flow, install, used


def call(n: int, **changes: str) -> Evidence:
    told = {"kind": "call", "actor": "app", "action": f"GET /{n}", "outcome": "200"}
    return Evidence(**{**told, **changes})


@pytest.fixture
async def trail(ledger: Ledger, opened: Opened) -> str:
    """Two writers have written; the name of the first one's chain."""
    other = await opened()
    for n in range(6):
        await ledger.record(call(n, transaction="tx_1" if n == 3 else ""))
    await asyncio.gather(*(other.record(call(n)) for n in range(4)))
    row = await ledger.database.row("select chain from audit group by 1 having count(*) = 6")
    assert row is not None
    return str(row[0])


async def test_a_trail_that_nobody_touched_is_whole(ledger: Ledger, trail: str) -> None:
    assert await ledger.audit.verify() == (10, [])
    assert await count(ledger, "audit", "chain = $1", trail) == 6


@pytest.mark.parametrize(
    ("touched", "seq"),
    [
        (["update audit set record = '' where seq = 3"], 3),
        (["update audit set record = record || ' ' where seq = 3"], 3),
        (["update audit set kind = 'access' where seq = 3"], 3),
        (["update audit set transaction_id = 'tx_2' where seq = 4"], 4),
        (["update audit set hash = sha256(record) where seq = 3"], 3),
        (["delete from audit where seq = 1"], 2),
        (["delete from audit where seq = 3"], 4),
        (
            [
                "update audit set seq = -3 where seq = 3",
                "update audit set seq = 3 where seq = 4",
                "update audit set seq = 4 where seq = -3",
            ],
            3,
        ),
        (["update audit set seq = 9 where seq = 3"], 4),
        (
            [
                (
                    "insert into audit select chain, 7, at, kind, null, actor, record, hash"
                    " from audit where seq = 6"
                )
            ],
            7,
        ),
    ],
    ids=[
        "emptied",
        "longer",
        "kind",
        "transaction",
        "hash",
        "first gone",
        "gone",
        "swapped",
        "moved",
        "added",
    ],
)
async def test_a_record_that_was_touched_is_named(
    ledger: Ledger, trail: str, touched: list[str], seq: int
) -> None:
    for sql in touched:
        head, where, rest = sql.partition(" where ")
        await ledger.database.run(f"{head}{where}chain = '{trail}' and {rest}")
    _, broken = await ledger.audit.verify()
    assert [(link.chain, link.seq) for link in broken] == [(trail, seq)]


async def test_a_record_of_another_chain_does_not_fit(ledger: Ledger, trail: str) -> None:
    await ledger.database.run(
        "update audit set record = o.record, hash = o.hash from audit o"
        " where audit.chain = $1 and o.chain <> $1 and audit.seq = 2 and o.seq = 2",
        trail,
    )
    _, [broken] = await ledger.audit.verify()
    assert (broken.chain, broken.seq) == (trail, 2)


async def test_the_trail_is_searched_by_kind_actor_and_transaction(ledger: Ledger) -> None:
    await ledger.record(call(1))
    await ledger.record(call(2, actor='Zoë "Z"'))
    await ledger.record(call(3, kind="access", transaction="tx_9"))
    recent = await ledger.audit.recent(limit=2)
    assert [one.action for _, _, one in recent] == ["GET /3", "GET /2"]

    async def found(**filters: str) -> list[str]:
        return [one.action for _, _, one in await ledger.audit.recent(limit=9, **filters)]

    assert await found(actor='Zoë "Z"') == ["GET /2"]
    assert await found(kind="access") == await found(transaction="tx_9") == ["GET /3"]
    older = await ledger.audit.recent(limit=9, before=recent[-1][1])
    assert [one.action for _, _, one in older] == ["GET /1"]


async def test_a_hostile_path_in_the_trail_does_not_stop_the_search(ledger: Ledger) -> None:
    await ledger.record(call(1, object="/orders/a\0b"))
    await ledger.record(call(2))
    found = await ledger.audit.recent(limit=9, actor="app")
    assert [one.object for _, _, one in found] == ["", "/orders/a\0b"]
    assert await ledger.audit.verify() == (2, [])


async def test_pages_are_stable_where_many_records_have_one_time(ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.record(call(n)) for n in range(40)))
    seen, after = list[str](), ""
    while page := await ledger.audit.recent(limit=7, after=after):
        seen += [found.id for found in page]
        after = page[-1].place
        await ledger.record(call(99))
    assert len(seen) == len(set(seen)) == 40
    times = await ledger.database.rows("select distinct at from audit where seq <= 40")
    assert len(times) < 40
    with pytest.raises(InvalidRequest):
        await ledger.audit.recent(limit=7, after="nowhere:1")


async def test_all_evidence_of_a_transaction_is_linked_to_it(ledger: Ledger) -> None:
    """Messages in and out, who decided, who looked."""

    async def order(_story: object, _need: Need) -> None:
        return

    install(ledger, flow(order))
    accepted = await ledger.messages.receive(used("1"))
    [transaction] = accepted.transactions
    row = await ledger.database.row("select id from flow")
    assert row is not None
    key = f"{row['id']}/850"
    departure = Departure(
        channel="edi", kind="850", recipient="VENDOR", body=b"ISA*", key=key, references=()
    )
    await ledger.messages.sent(await ledger.messages.keep(departure), b"TA1", key=key)
    await ledger.record(call(1, kind="approval", transaction=transaction))
    await ledger.record(call(2, transaction=transaction))
    shown = await ledger.audit.of_transaction(transaction)
    assert {kind: [one.evidence.action for one in found] for kind, found in shown.items()} == {
        "message": ["mllp ORU^R01", "send 850"],
        "transformation": [],
        "approval": ["GET /1"],
        "access": ["GET /2"],
    }
    for kind in ("message", "approval", "access"):
        found = await ledger.audit.recent(limit=9, evidence=kind, transaction=transaction)
        assert {one.evidence.evidence for one in found} == {kind}
