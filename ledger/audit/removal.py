"""Removing what is older than a rule says, so that the rest stays provable.

Only records go that a checkpoint states and that hold, from a chain's beginning on. In the same
transaction a checkpoint signs where the chain begins from now on (its floor) and the hash before
it; whatever else is missing stays a break. A month whose chains all go is dropped as a partition.
"""

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from canonical.errors import StateConflict
from ledger.audit.checkpoint import Floor
from ledger.audit.verdict import CHECKPOINT, BrokenLink
from ledger.audit_trail import AuditTrail
from ledger.checkpoints import Checkpoints
from ledger.database import Connection

if TYPE_CHECKING:
    import asyncpg

    Session = Connection[asyncpg.Record]

_MONTHS = """
select c.relname as part, m.since, m.until from pg_inherits i
join pg_class c on c.oid = i.inhrelid
cross join lateral (select to_date(substr(c.relname, 7), 'YYYYMM')::timestamp as day) d
cross join lateral (select d.day at time zone 'UTC' as since,
                           (d.day + interval '1 month') at time zone 'UTC' as until) m
where i.inhparent = 'audit'::regclass and c.relname ~ '^audit_[0-9]{6}$' and m.until <= $1
order by m.since"""
_CHAINS_OF = """
with recursive name(chain) as (
    (select chain from $part order by chain limit 1) union all
    select (select a.chain from $part a where a.chain > name.chain order by a.chain limit 1)
    from name where name.chain is not null
) select n.chain, h.seq, encode(h.hash, 'hex') as hash,
         coalesce(c.covered = h.seq and c.since = $1 and c.until = $2, false) as whole
from name n
cross join lateral (select seq, hash from $part where chain = n.chain order by seq desc limit 1) h
left join audit_chain c on c.chain = n.chain
where n.chain is not null"""
_OLD = """
select c.chain, c.covered from audit_chain c
where c.covered > 0 and c.since < $1 and not (c.chain = any($2::text[])) and exists (
    select from audit a where a.chain = c.chain and a.at >= c.since and a.at < least(c.until, $1)
        and a.seq <= c.covered)
order by c.since, c.chain limit 200"""
_BEGINNING = """
select seq, at < $2 as goes, encode(hash, 'hex') as hash from audit
where chain = $1 and seq <= $3 order by seq limit $4"""


class Removed(msgspec.Struct, kw_only=True, rename="camel"):
    """What went: records (those of dropped months are not counted one by one), and what stays
    because it does not hold.
    """

    records: int = 0
    months: list[str] = []
    kept: list[BrokenLink] = []


async def remove_before(
    before: datetime, trail: AuditTrail, checkpoints: Checkpoints, *, batch: int = 20_000
) -> Removed:
    """Remove records older than `before`, `batch` at a time.

    Verifies everything first. Chains that do not hold stay as they are, as evidence; where the
    checkpoints do not hold, nothing is removed (`StateConflict`).
    """
    await checkpoints.make()
    verdict = await trail.examine()
    if any(link.chain == CHECKPOINT for link in verdict.broken):
        raise StateConflict("the audit checkpoints do not hold", fix="run: suture audit verify")
    stay = {link.chain for link in verdict.broken}
    removed = Removed(months=[], kept=verdict.broken)
    async with checkpoints.alone() as session:
        months = await session.fetch(_MONTHS, before)
    for row in months:
        async with checkpoints.alone() as session:
            if await _drop_month(session, row, checkpoints, stay):
                removed.months.append(row["part"])
    while True:
        async with checkpoints.alone() as session:
            count, floors = await _delete(session, before, stay, batch)
            if floors:
                await checkpoints.state(session, floors=tuple(floors))
        removed.records += count
        if not count:
            return removed


async def _drop_month(
    session: "Session", month: "asyncpg.Record", checkpoints: Checkpoints, stay: Collection[str]
) -> bool:
    """Drop a month if everything in it may go; say whether."""
    part = month["part"]
    sql = _CHAINS_OF.replace("$part", f'"{part}"')
    rows = await session.fetch(sql, month["since"], month["until"])
    if not all(row["whole"] and row["chain"] not in stay for row in rows):
        return False
    floors = tuple(Floor(row["chain"], row["seq"] + 1, row["hash"]) for row in rows)
    await session.execute(f'drop table "{part}"')
    if floors:
        await checkpoints.state(session, floors=floors)
    chains = [row["chain"] for row in rows]
    await session.execute("delete from audit_chain where chain = any($1::text[])", chains)
    return True


async def _delete(
    session: "Session", before: datetime, stay: Collection[str], batch: int
) -> tuple[int, list[Floor]]:
    """Delete the beginnings of chains, `batch` records at most; return how many, and the floors."""
    count, floors = 0, list[Floor]()
    for chain, covered in await session.fetch(_OLD, before, list(stay)):
        rows = await session.fetch(_BEGINNING, chain, before, covered, batch - count)
        gone = next((n for n, row in enumerate(rows) if not row["goes"]), len(rows))
        if gone:
            last = rows[gone - 1]
            floors.append(Floor(chain, last["seq"] + 1, last["hash"]))
            sql = "delete from audit where chain = $1 and seq <= $2"
            await session.execute(sql, chain, last["seq"])
            count += gone
        if count >= batch:
            break
    return count, floors
