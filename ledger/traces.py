"""The read side: transactions found by any name people know, and told hop by hop."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from canonical.errors import NotFound
from ledger.database import Database

if TYPE_CHECKING:
    from asyncpg import Record


class Hop(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of a transaction: what happened, where, with which versions, in and out."""

    seq: int
    at: datetime
    name: str
    kind: str
    system: str
    outcome: str
    versions: dict[str, str]
    actor: str
    why: str
    milliseconds: float
    flow: str | None = None
    message: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"null")
    output: msgspec.Raw = msgspec.Raw(b"null")


class FlowState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where one flow of a transaction stands."""

    id: str
    name: str
    version: str
    status: str
    attempts: int
    started_at: datetime
    waits_for: str = ""
    ended_at: datetime | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")


class TransactionRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of the list. `status` is open, attention (a task is open) or done."""

    id: str
    title: str
    status: str
    opened_at: datetime
    changed_at: datetime
    hops: int
    open_tasks: int


class TransactionTrace(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A transaction, whole."""

    id: str
    title: str
    status: str
    opened_at: datetime
    changed_at: datetime
    references: tuple[tuple[str, str], ...]
    flows: tuple[FlowState, ...]
    hops: tuple[Hop, ...]


_STATUS = """
case when exists (select 1 from task k where k.transaction_id = t.id and k.status = 'open')
     then 'attention'
     when exists (select 1 from flow f where f.transaction_id = t.id
                  and f.status in ('queued', 'ready', 'waiting', 'stuck')) then 'open'
     else 'done' end"""

_CHANGED = """
coalesce((select e.at from entry e where e.transaction_id = t.id order by e.seq desc limit 1),
         t.opened_at) as changed_at"""

_LIST = f"""
select t.id, t.title, t.opened_at, {_CHANGED}, {_STATUS} as status,
       (select count(*) from entry e where e.transaction_id = t.id) as hops,
       (select count(*) from task k
        where k.transaction_id = t.id and k.status = 'open') as open_tasks
from transaction t where ($1 = '' or t.id < $1) order by t.id desc limit $2"""


_NAMED = f"""
select r.value, r.transaction_id as transaction, {_CHANGED},
       (select count(*) from task k
        where k.transaction_id = t.id and k.status = 'open') as open_tasks
from reference r join transaction t on t.id = r.transaction_id
where r.kind = $1 and ($3 = '' or (r.at, r.transaction_id, r.value) < (
    select at, transaction_id, value from reference where kind = $1
    and transaction_id = split_part($3, '/', 1) and value = substr($3, strpos($3, '/') + 1)))
order by r.at desc, r.transaction_id desc, r.value desc limit $2"""


_REMOVED = """
select 'flows' as what, removed_at as at, removed_by as rule from transaction
where id = $1 and removed_at is not null
union all (
    select 'hops', r.day::timestamptz, r.days || ' days' from removal r join transaction t
        on t.id = $1 and t.opened_at < r.until
    where r.what = 'hops' and not exists (
        select 1 from entry e where e.transaction_id = $1 and e.at < r.until)
    order by r.day limit 1)"""


class NamedTransaction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A transaction under one of its names."""

    value: str
    transaction: str
    changed_at: datetime
    open_tasks: int

    @property
    def place(self) -> str:
        """Where it stands in the list: what the next page begins after."""
        return f"{self.transaction}/{self.value}"


class Traces:
    """Finds and tells transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self, *, limit: int = 50, before: str = "") -> list[TransactionRow]:
        """Return transactions, newest first; `before` is the last id of the page before."""
        rows = await self._database.rows(_LIST, before, limit)
        return [TransactionRow(**dict(row)) for row in rows]

    async def find(self, name: str) -> str:
        """Return the transaction of an id, order number, MSH-10, ISA13, … or raise `NotFound`."""
        row = await self._database.row(
            "select id from transaction where id = $1"
            " union all select transaction_id from task where id = $1"
            " union all (select transaction_id from reference where value = $1"
            "            order by at desc limit 1)"
            " limit 1",
            name,
        )
        if row is None or row["id"] is None:
            raise NotFound(
                "no transaction goes by this name",
                where=name,
                expected="a transaction id, order number, MSH-10, ISA13, invoice number …",
            )
        return str(row["id"])

    async def named(
        self, kind: str, *, limit: int = 100, after: str = ""
    ) -> list[NamedTransaction]:
        """Return the newest names of a kind (such as order), each with its transaction; `after`
        is the place of the last one of the page before.
        """
        rows = await self._database.rows(_NAMED, kind, limit, after)
        return [NamedTransaction(**dict(row)) for row in rows]

    async def trace(self, transaction: str) -> TransactionTrace:
        """Return everything about one transaction, hops in the order they were written."""
        head = await self._database.row(
            f"select id, title, opened_at, {_CHANGED}, {_STATUS} as status"
            " from transaction t where id = $1",
            transaction,
        )
        if head is None:
            raise NotFound("no such transaction", where=transaction)
        return TransactionTrace(
            **dict(head),
            references=tuple(
                (row["kind"], row["value"])
                for row in await self._database.rows(
                    "select kind, value from reference where transaction_id = $1"
                    " and kind <> 'context' order by at, kind",
                    transaction,
                )
            ),
            flows=await self._flows(transaction),
            hops=(*await self._removed(transaction), *await self.hops(transaction)),
        )

    async def _removed(self, transaction: str) -> tuple[Hop, ...]:
        """Return what there was to tell of a transaction and is no longer kept, as hops."""
        rows = await self._database.rows(_REMOVED, transaction)
        return tuple(
            Hop(
                seq=0,
                at=row["at"],
                name=f"{row['what']} removed",
                kind="retention",
                system="ledger",
                outcome="removed",
                versions={},
                actor="suture",
                why=f"by rule: {row['rule']}",
                milliseconds=0.0,
            )
            for row in rows
        )

    async def facts_of(self, flow: str) -> bytes:
        """Return what a flow began with, as JSON."""
        row = await self._database.row("select facts from flow where id = $1", flow)
        if row is None:
            raise NotFound("no such flow", where=flow)
        return str(row["facts"]).encode()

    async def _flows(self, transaction: str) -> tuple[FlowState, ...]:
        rows = await self._database.rows(
            "select f.*, coalesce("
            "(select a.name from awaited a where a.flow_id = f.id limit 1), '')"
            " as waits_for from flow f where transaction_id = $1 order by arrival",
            transaction,
        )
        return tuple(
            FlowState(
                id=row["id"],
                name=row["name"],
                version=row["version"],
                status=row["status"],
                attempts=row["attempts"],
                started_at=row["started_at"],
                waits_for=row["waits_for"],
                ended_at=row["ended_at"],
                result=_raw(row["result"]),
            )
            for row in rows
        )

    async def hops(self, transaction: str, *, after: int = 0) -> tuple[Hop, ...]:
        """Return the hops written after `after`."""
        rows = await self._database.rows(
            "select * from entry where transaction_id = $1 and seq > $2 order by seq",
            transaction,
            after,
        )
        return _hops(rows)


def _hops(rows: "Sequence[Record]") -> tuple[Hop, ...]:
    return tuple(
        Hop(
            seq=row["seq"],
            at=row["at"],
            name=row["hop"],
            kind=row["kind"],
            system=row["system"],
            outcome=row["outcome"],
            versions=msgspec.json.decode(row["versions"], type=dict[str, str]),
            actor=row["actor"],
            why=row["why"],
            milliseconds=round(row["milliseconds"], 2),
            flow=row["flow_id"],
            message=row["message_id"],
            input=_raw(row["input"]),
            output=_raw(row["output"]),
        )
        for row in rows
    )


def _raw(text: str | None) -> msgspec.Raw:
    return msgspec.Raw((text or "null").encode())
