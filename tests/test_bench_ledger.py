"""The bench of the ledger measures what it says: a past like any other, engines that work."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import msgspec
import pytest

from bench.ledger.contest import measure
from bench.ledger.engines import Kind, Lengths, Plan, round_of
from bench.ledger.history import fill_with_waits, kept_past, made_past
from bench.ledger.ours import SECRET
from bench.ledger.turns import Tally
from bench.meter import PostgresMeter, cpu_of, memory_of
from bench.report import Trial
from bench.rounds import Settings
from canonical.errors import StoreUnavailable
from gateway.runtime import Stores
from ledger.ledger import open_ledger

SHORT = Lengths(measured=0.05, warming=0.0)
COPIES = 30


async def test_each_story_of_a_past_that_was_made_can_be_told(stores: Stores) -> None:
    past = await made_past(stores.dsn, COPIES)
    async with open_ledger(past, secret=SECRET) as ledger:
        rows = await ledger.database.rows("select value, transaction_id from reference")
        assert len({row["value"] for row in rows}) == len(rows) == COPIES
        for row in rows:
            transaction = await ledger.traces.find(row["value"])
            assert transaction == row["transaction_id"]
            hops = await ledger.traces.hops(transaction)
            assert [hop.kind for hop in hops].count("effect") == 6
    assert await kept_past(stores.dsn, COPIES) == past
    assert await kept_past(stores.dsn, COPIES + 1) == ""


async def test_many_waits_wait_for_facts_of_their_own(stores: Stores) -> None:
    await fill_with_waits(stores.dsn, COPIES)
    connection = await asyncpg.connect(stores.dsn)
    try:
        waiting = await connection.fetchval(
            "select count(distinct awaited.key) from suture.awaited join suture.flow"
            " on flow.id = awaited.flow_id and flow.key = awaited.key where status = 'waiting'"
        )
    finally:
        await connection.close()
    assert waiting == COPIES


def engine(*lines: Tally, then: str = "") -> Kind:
    """An engine that says these lines whatever it is told, then ends."""
    said = "\n".join(msgspec.json.encode(line).decode() for line in lines)
    program = f"import sys; {said!r} and print({said!r}, flush=True); sys.stdin.readline(); {then}"

    async def kept(_connection: asyncpg.Connection, _mark: str) -> int:
        return 0

    return Kind("somebody", (sys.executable, "-c", program), kept)


async def tried(stores: Stores, kind: Kind) -> Trial:
    plan = Plan(kind, stores.dsn, callers=1, workers=1)
    return await round_of(plan, SHORT, PostgresMeter(1))


async def test_an_engine_that_dies_has_a_fault(stores: Stores) -> None:
    told = await tried(stores, engine(Tally(), Tally(started=1), then="sys.exit('out of breath')"))
    assert told.fault.startswith("somebody died")
    unborn = engine(then="sys.exit('out of breath')")
    assert (await tried(stores, unborn)).fault == "somebody died: out of breath"


async def test_flows_that_are_in_no_database_are_a_fault(stores: Stores) -> None:
    lies = Tally(started=3, ended=3, last=1e12)
    told = await tried(stores, engine(*[lies] * 9, then="sys.stdin.read()"))
    assert told.fault == "3 flows ended, 0 are in the database with all their steps"


async def test_a_dead_postgresql_is_a_fault() -> None:
    plan = Plan(engine(Tally()), "postgresql://nobody@/nothing?host=/nowhere", 1, 1)
    told = await round_of(plan, SHORT, PostgresMeter(1))
    assert told.fault == "PostgreSQL: FileNotFoundError"


async def test_two_benches_do_not_measure_each_other(tmp_path: Path) -> None:
    settings = Settings(rounds=1, quick=True, home=tmp_path, say=lambda _: None)
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable, match="another bench"):
            await measure(settings)


def test_memory_and_cpu_of_a_process_are_read_from_outside() -> None:
    hungry = "import sys; held = bytearray(64 << 20); print(flush=True); sys.stdin.readline()"
    process = subprocess.Popen(
        [sys.executable, "-c", hungry], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        assert memory_of(process.pid) > 64
        assert cpu_of(process.pid) > 0
        assert PostgresMeter(os.getpid()).memory() >= memory_of(os.getpid()) + 64
        assert process.stdin is not None
        process.stdin.close()
