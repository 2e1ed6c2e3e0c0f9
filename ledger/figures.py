"""The ledger in numbers, for metrics: cheap counts, no names.

What grows with the history is estimated once it is large: nobody counts millions of rows to answer
a scrape.
"""

from ledger.database import Database
from ledger.outbox import wanted_by
from ledger.writer import Writer

_COUNTS = """
select 'flows', status, count(*) from flow
    where status in ('queued', 'ready', 'waiting', 'stuck') group by 2
union all select 'tasks', reason, count(*) from task where status = 'open' group by 2
union all select 'subscriptions', status, count(*) from subscription group by 2
union all select 'messages', 'pending', count(*) from message where status = 'pending'
union all select 'messages', 'all', (select about('message'))
union all select 'transactions', 'all', (select about('transaction'))"""

# One series a subscription, by its id, of the first ten thousand events behind its position.
_BACKLOGS = f"""
with waiting as (
    select s.id, b.backlog, b.seconds, s.attempts from subscription s cross join lateral (
        select count(*) backlog, coalesce(extract(epoch from now() - min(at)), 0)::int seconds
        from (select * from outbox later
              where (later.committed_in, later.position) > (s.committed_in, s.position)
              order by later.committed_in, later.position limit 10000) e
        where {wanted_by("s.types", "s.facilities", "s.data_classes")}) b
    where s.status <> 'disabled')
select 'subscription-backlog', id, backlog from waiting
union all select 'subscription-oldest-seconds', id, seconds from waiting
union all select 'subscription-failed-attempts', id, attempts from waiting"""


class Figures:
    """Counts what there is."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def counts(self) -> list[tuple[str, str, int]]:
        """Return (what, of which kind, how many)."""
        rows = [*await self._database.rows(_COUNTS), *await self._database.rows(_BACKLOGS)]
        return [
            *((str(row[0]), str(row[1]), int(row[2])) for row in rows),
            ("writer", "batches", self._writer.batches),
            ("writer", "records", self._writer.records),
        ]
