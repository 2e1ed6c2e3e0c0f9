"""The peer of the ledger: the same PostgreSQL by hand, one statement and one commit a record.

Its tables have the columns and indexes of the ledger's that such a writer needs, no foreign keys.
It has no group commit, no chain, no lease and no replay; what it keeps is as durable
(`synchronous_commit=on`).
"""

import asyncio
from itertools import count

import asyncpg

SESSIONS = 50
"""One for each caller in flight, so that none of them waits for another one's connection."""

_TABLES = """
create schema naive;
set search_path to naive;
create table message (
    id text primary key, direction text not null, channel text not null, kind text not null,
    party text not null, identity text unique, control_id text not null default '',
    digest bytea not null, body bytea not null, status text not null,
    at timestamptz not null default now());
create table flow (
    id text primary key, arrival bigint generated always as identity, transaction_id text not null,
    name text not null, version text not null, key text not null, facts json not null,
    status text not null default 'ready', owner text, epoch integer not null default 0,
    lease_until timestamptz, started_at timestamptz not null default now()) with (fillfactor = 70);
create index on flow (arrival) where status = 'ready';
create index on flow (name, key, arrival) where status = 'ready';
create index on flow (transaction_id);
create table step (
    flow_id text not null, name text not null, number integer not null, kind text not null,
    output json not null, at timestamptz not null default now(), primary key (flow_id, name));
create table entry (
    seq bigint generated always as identity primary key, transaction_id text not null,
    flow_id text, at timestamptz not null default clock_timestamp(), hop text not null,
    kind text not null, system text not null, input json, output json);
create index on entry (transaction_id, seq);
create table audit (
    chain text not null, seq bigint not null, at timestamptz not null default now(),
    kind text not null, record bytea not null, hash bytea not null, primary key (chain, seq));
create index on audit (at desc)
"""
_MESSAGE = (
    "insert into message (id, direction, channel, kind, party, identity, digest, body, status)"
    " values ($1, 'in', 'mllp', 'DFT^P03', 'EHR', $1, $2, $3, 'received')"
)
_STEP = "insert into step (flow_id, name, number, kind, output) values ($1, $2, $3, 'effect', $4)"
_AUDIT = "insert into audit (chain, seq, kind, record, hash) values ('naive', $1, 'call', $2, '')"
_FLOW = (
    "insert into flow (id, transaction_id, name, version, key, facts, owner, epoch)"
    " values ($1, $1, 'six-steps', '1', $1, '{}', 'naive', 1)"
)
_FULL_STEP = """
with held as (update flow set lease_until = now() + interval '5 s'
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
    """Connect to an empty database of its own, and make its tables."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(_TABLES)
    await connection.close()
    pool = await asyncpg.create_pool(
        dsn,
        min_size=SESSIONS,
        max_size=SESSIONS,
        server_settings={"search_path": "naive"},
    )
    return Naive(pool)
