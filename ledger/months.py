"""Tables by month: the months ahead are made in time, months that are over are dropped whole.

Both need the table for themselves for a moment. Whoever writes is made to wait for a fifth of a
second at most; if it was not to be had, the next turn tries again.
"""

from datetime import datetime
from typing import NamedTuple

import asyncpg

from ledger.database import Database
from ledger.removals import STAYING

MONTHLY = ("body", "entry")
AHEAD = 2
_PATIENCE = "set local lock_timeout = '200ms'"
_MOST_STAYING = 20_000

_PAST = """
select c.relname as name, m.until, greatest(c.reltuples, 0)::bigint as rows from pg_inherits i
join pg_class c on c.oid = i.inhrelid
cross join lateral (
    select (to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month')::timestamp
           at time zone 'UTC' as until) m
where i.inhparent = $1::regclass and c.relname ~ ('^' || $1 || '_[0-9]{6}$') and m.until <= $2
order by m.until"""


class Month(NamedTuple):
    """A month of a table; `rows` is what PostgreSQL thinks it has."""

    name: str
    until: datetime
    rows: int


class Months:
    """Makes and drops the months of the tables that have them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(self) -> None:
        """Have this month and the next ones of every table."""
        for table in MONTHLY:
            try:
                async with self._database.connection() as connection, connection.transaction():
                    await connection.execute(_PATIENCE)
                    await connection.fetchval("select make_months($1, $2)", table, AHEAD)
            except asyncpg.LockNotAvailableError:
                continue

    async def past(self, table: str, until: datetime) -> list[Month]:
        """Return the months of a table that were over by then, oldest first."""
        rows = await self._database.rows(_PAST, table, until)
        return [Month(*row) for row in rows]

    async def drop(self, table: str, month: Month) -> bool:
        """Drop a month; what belongs to unfinished stories moves to the default partition.

        Return False where it has to wait: the table is busy, or too much of it has to stay.
        """
        try:
            async with self._database.connection() as connection, connection.transaction():
                await connection.execute(_PATIENCE)
                await connection.execute(
                    f'create temp table staying on commit drop as select * from "{month.name}" r'
                    f" where {STAYING[table]} limit {_MOST_STAYING}"
                )
                if await connection.fetchval("select count(*) from staying") >= _MOST_STAYING:
                    return False
                await connection.execute(f'drop table "{month.name}"')
                await connection.execute(f"insert into {table} select * from staying")
        except asyncpg.LockNotAvailableError:
            return False
        return True
