"""A ledger with a past: what one flow really leaves behind, many times over.

The columns are asked from PostgreSQL, so that this follows the migrations. Every identifier is its
sample's with another time in front (a ULID begins with one), wherever it is named; times go back
with it, as far as this month goes; sequences count on. What is sealed or hashed stays as it was.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from bench.hl7v2 import SAMPLES
from bench.ledger.ours import SECRET
from bench.ledger.six_steps import Flows
from ledger.database import fresh_database, named_database
from ledger.ledger import open_ledger

_FILLED = "filled"
_KEPT = "select shobj_description(oid, 'pg_database') from pg_database where datname = $1"
_ASLEEP = "select 1 from flow where status = 'waiting'"
_SLEEPS_WITHIN = 20.0
_CHUNK = 20_000
_SESSIONS = 2
_MARK = "~~~~~~~~~~"
"""Stands for the first ten characters of a ULID, which are its time."""

_TABLES = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'suture' and c.relkind in ('r', 'p') and not c.relispartition
  and c.relname <> 'migration' order by 1"""

_COLUMNS = """
select column_name, data_type from information_schema.columns
where table_schema = 'suture' and table_name = $1 and is_generated = 'NEVER'
  and is_identity = 'NO' and coalesce(column_default, '') not like 'nextval%'
order by ordinal_position"""

# The times of the copies: each its own millisecond, the newest of them now.
_AGED = f"""
create table sample.aged as
with span as (
    select extract(epoch from now()) * 1000 as until,
           greatest(1, extract(epoch from now() - date_trunc('month', now())) * 900 / $1) as pace)
select n, ({
    "||".join(
        f"substr('0123456789abcdefghjkmnpqrstvwxyz', (((ms >> {shift}) & 31) + 1)::int, 1)"
        for shift in range(45, -5, -5)
    )
}) as time, make_interval(secs => (until - ms) / 1000) as ago
from span, generate_series(1, $1) n, lateral (select (until - ($1 - n) * pace)::bigint as ms) at"""

_TEXTS = ("text", "json", "jsonb")


class Copied(NamedTuple):
    """One table: how a chunk of its copies is inserted."""

    table: str
    insert: str


async def kept_past(dsn: str, copies: int) -> str:
    """Return the database with so many finished transactions that is there, or ''."""
    connection = await asyncpg.connect(dsn)
    try:
        name = _name_of_past(copies)
        is_whole = await connection.fetchval(_KEPT, name) == _FILLED
    finally:
        await connection.close()
    return named_database(dsn, name) if is_whole else ""


async def made_past(dsn: str, copies: int) -> str:
    """Make a database with so many finished transactions; any other past is dropped."""
    name = _name_of_past(copies)
    past = await fresh_database(dsn, name, drop_like="past_%")
    async with open_ledger(past, secret=SECRET) as ledger:
        flows = Flows(ledger)
        ledger.worker.start()
        await flows.run_one(SAMPLES[1].body)
        await ledger.worker.stop()
    await multiply(past, copies)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"comment on database {name} is '{_FILLED}'")
    finally:
        await connection.close()
    return past


async def fill_with_waits(dsn: str, copies: int) -> None:
    """Let so many flows wait in an empty database, each for a fact of its own."""
    async with open_ledger(dsn, secret=SECRET) as ledger:
        flows = Flows(ledger)
        ledger.worker.start()
        await flows.begin("order-placed", SAMPLES[1].body)
        async with asyncio.timeout(_SLEEPS_WITHIN):
            while await ledger.database.row(_ASLEEP) is None:  # noqa: ASYNC110 - another process's
                await asyncio.sleep(0.01)
        await ledger.worker.stop()
    await multiply(dsn, copies, has_aged=False)


def _name_of_past(copies: int) -> str:
    return f"past_{_fingerprint()}_{copies}"


def _fingerprint() -> str:
    """Name what a kept past depends on: the migrations, the flow, and how it is multiplied."""
    here = Path(__file__).resolve().parent
    files = [*sorted((here.parent.parent / "ledger/migrations").iterdir()), Path(__file__)]
    digest = hashlib.sha256()
    for file in (*files, here / "six_steps.py"):
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:10]


async def multiply(dsn: str, copies: int, *, has_aged: bool = True) -> None:
    """Let there be so many of everything that is in the ledger; without `has_aged` all of now."""
    first = await asyncpg.connect(dsn)
    try:
        async with _roomy(first):
            await first.execute("create schema sample")
            await first.execute(_AGED.replace("$1", f"{copies}::bigint"))
            await first.execute("create unique index on sample.aged (n); analyze sample.aged")
            tables = [
                await _copied(first, str(row[0]), has_aged=has_aged)
                for row in await first.fetch(_TABLES)
                if await first.fetchval(f'select exists (select from suture."{row[0]}")')
            ]
            names = ", ".join(f'suture."{each.table}"' for each in tables)
            await first.execute(f"truncate {names} cascade")
            work = [
                (each.insert, since) for since in range(1, copies + 1, _CHUNK) for each in tables
            ]
            await asyncio.gather(*(_insert(dsn, work) for _ in range(_SESSIONS)))
            await first.execute("drop schema sample cascade")
            await first.execute("vacuum (freeze, analyze)")
    finally:
        await first.close()


async def _copied(connection: asyncpg.Connection, table: str, *, has_aged: bool) -> Copied:
    """Keep the sample rows with marks in their identifiers, and say how they are copied."""
    columns = [(str(row[0]), str(row[1])) for row in await connection.fetch(_COLUMNS, table)]
    marked = ", ".join(_marked(table, name, kind) for name, kind in columns)
    await connection.execute(
        f'create table sample."{table}" as select {marked} from suture."{table}"'
    )
    texts = [name for name, kind in columns if kind in _TEXTS]
    has_ids: dict[str, bool] = {}
    for name in texts:
        sql = f'select coalesce(bool_or("{name}" like \'%{_MARK}%\'), false) from sample."{table}"'
        has_ids[name] = await connection.fetchval(sql)
    rows = await connection.fetchval(f'select count(*) from sample."{table}"')
    values = ", ".join(
        _value(name, kind, has_id=has_ids.get(name, False), rows=rows, has_aged=has_aged)
        for name, kind in columns
    )
    names = ", ".join(f'"{name}"' for name, _ in columns)
    return Copied(
        table,
        f'insert into suture."{table}" ({names}) select {values} from sample.aged a'
        f' cross join sample."{table}" s where a.n >= $1 and a.n < $1 + {_CHUNK} order by a.n',
    )


def _marked(table: str, name: str, kind: str) -> str:
    if kind not in _TEXTS or (table == "audit" and name == "chain"):
        return f'"{name}"'
    pattern = r"_[0-9a-z]{10}([0-9a-z]{16})(?![0-9a-z])"
    return f"regexp_replace(\"{name}\"::text, '{pattern}', '_{_MARK}\\1', 'g') as \"{name}\""


def _value(name: str, kind: str, *, has_id: bool, rows: int, has_aged: bool) -> str:
    column = f's."{name}"'
    if kind in _TEXTS:
        text = f"replace({column}, '{_MARK}', a.time)" if has_id else column
        return text if kind == "text" else f"({text})::{kind}"
    if kind == "timestamp with time zone" and has_aged:
        return f"{column} - a.ago"
    if name == "seq":  # the audit's chain goes on
        return f"{column} + a.n * {rows}"
    return column


async def _insert(dsn: str, work: list[tuple[str, int]]) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "set search_path to suture; set session_replication_role = replica;"
            " set synchronous_commit = off; set work_mem = '256MB'"
        )
        while work:
            insert, since = work.pop(0)
            await connection.execute(insert, since, timeout=600)
    finally:
        await connection.close()


@asynccontextmanager
async def _roomy(connection: asyncpg.Connection) -> AsyncGenerator[None]:
    """Let PostgreSQL write without a checkpoint a minute while it is filled."""
    for setting in ("max_wal_size = '4GB'", "checkpoint_timeout = '30min'"):
        await connection.execute(f"alter system set {setting}")
    await connection.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        for setting in ("max_wal_size", "checkpoint_timeout"):
            await connection.execute(f"alter system reset {setting}")
        await connection.execute("select pg_reload_conf()")
        await connection.execute("checkpoint", timeout=600)
