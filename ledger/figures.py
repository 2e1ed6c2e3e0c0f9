"""The ledger in numbers, for metrics: cheap counts, no names."""

from ledger.database import Database
from ledger.writer import Writer

_COUNTS = """
select 'flows', status, count(*) from flow
    where status in ('queued', 'ready', 'waiting', 'stuck') group by 2
union all select 'tasks', reason, count(*) from task where status = 'open' group by 2
union all select 'messages', status, count(*) from message group by 2
union all select 'transactions', 'all', count(*) from transaction"""


class Figures:
    """Counts what there is."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def counts(self) -> list[tuple[str, str, int]]:
        """Return (what, of which kind, how many)."""
        rows = await self._database.rows(_COUNTS)
        return [
            *((str(row[0]), str(row[1]), int(row[2])) for row in rows),
            ("writer", "batches", self._writer.batches),
            ("writer", "records", self._writer.records),
        ]
