"""The peer of the ledger: the same PostgreSQL by hand, one statement and one commit a record.

Its tables are copies of the ledger's, indexes included, foreign keys not. It has no group commit,
no chain, no lease and no replay; what it keeps is as durable (`synchronous_commit=on`).
"""

import asyncio
from itertools import count

import asyncpg

SESSIONS = 50
"""One for each caller in flight, so that none of them waits for another one's connection."""

_TABLES = ("message", "body", "flow", "step", "entry", "audit")
_MESSAGE = (
    "with kept as (insert into body (message_id, sealed) values ($1, $3))"
    " insert into message (id, direction, channel, kind, party, identity, digest, status)"
    " values ($1, 'in', 'mllp', 'DFT^P03', 'EHR', $1, $2, 'received')"
)
_STEP = "insert into step (flow_id, name, number, kind, output) values ($1, $2, $3, 'effect', $4)"
_AUDIT = "insert into audit (chain, seq, kind, record, hash) values ('naive', $1, 'call', $2, '')"
_FLOW = (
    "insert into flow (id, transaction_id, name, version, key, facts, owner, epoch)"
    " values ($1, $1, 'six-steps', '1', $1, '{}', 'naive', 1)"
)
_FULL_STEP = """
with held as (update flow set run_at = now() + interval '5 s'
              where id = $1 and owner = 'naive' and epoch = 1 returning id),
kept as (insert into step (flow_id, name, number, kind, output)
         select id, $2, $3, 'effect', $4 from held),
hop as (insert into entry (transaction_id, flow_id, hop, kind, system, input, output)
        select id, id, $2, 'effect', 'bench', $4, $4 from held)
insert into audit (chain, seq, kind, record, hash)
select 'naive', $5, 'transformation', $6, '' from held"""


class Naive:
    """Writes by hand what the ledger writes. `effect` is what a step calls."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool
        self._numbers = count(1)
        self._sequence = count(1)

    async def keep_message(self, digest: bytes, body: bytes) -> None:
        await self.pool.execute(_MESSAGE, f"msg-{next(self._numbers)}", digest, body)

    async def keep_record(self, record: bytes) -> None:
        await self.pool.execute(_AUDIT, next(self._sequence), record)

    async def run_flow(self, steps: int) -> None:
        """Record every step by one INSERT, and nothing else."""
        flow = f"bare-{next(self._numbers)}"
        for number in range(1, steps + 1):
            await asyncio.sleep(0)
            await self.pool.execute(_STEP, flow, f"step {number}", number, str(number))

    async def run_full_flow(self, steps: int, record: bytes) -> None:
        """Write the rows of the ledger for each step, in one statement: step, hop, audit, fence."""
        flow = f"full-{next(self._numbers)}"
        await self.pool.execute(_FLOW, flow)
        for number in range(1, steps + 1):
            await asyncio.sleep(0)
            name, output = f"step {number}", str(number)
            await self.pool.execute(
                _FULL_STEP, flow, name, number, output, next(self._sequence), record
            )
        await self.pool.execute("update flow set status = 'done' where id = $1", flow)


async def open_naive(dsn: str) -> Naive:
    """Connect to a database of its own that has the ledger's schema, and copy its tables."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("create schema naive")
    for table in _TABLES:
        await connection.execute(f"create table naive.{table} (like suture.{table} including all)")
    await connection.close()
    pool = await asyncpg.create_pool(
        dsn,
        min_size=SESSIONS,
        max_size=SESSIONS,
        server_settings={"search_path": "naive"},
    )
    return Naive(pool)
