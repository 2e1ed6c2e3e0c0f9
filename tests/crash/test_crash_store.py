"""PostgreSQL is full, out of slots, or cut off in the middle of commits: work resumes by itself."""

import asyncio
import contextlib
import random
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import msgspec
import pytest

from bench.torture.arena import Arena
from canonical.errors import StoreUnavailable
from ledger.arrival import Arrival
from ledger.ledger import Ledger
from tests.crash.acts import work
from tests.crash.conftest import Start
from tests.crash.full_disk import Told, fill
from tests.crash.seen import PATIENCE, done, effects, needed
from tests.ledger.outside import count


async def until_kept(ledger: Ledger, arrival: Arrival) -> None:
    """Send until it is acknowledged, as partners do."""
    while True:
        try:
            await ledger.messages.receive(arrival)
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return


class Line:
    """A line to PostgreSQL that now and then breaks when a commit was sent and before it is told.

    Whoever commits there does not know what came of it.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._chance = random.Random(4)
        self.share = 0.0
        self.cuts = 0

    async def connected(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, out = await asyncio.open_unix_connection(self._target)
        cut = asyncio.Event()
        answers = asyncio.create_task(self._answers(server, back, cut))
        with contextlib.suppress(ConnectionError):
            while chunk := await client.read(65536):
                writes = b"COMMIT;" in chunk or b'"document"' in chunk
                if writes and self._chance.random() < self.share:
                    self.cuts += 1
                    cut.set()
                out.write(chunk)
                await out.drain()
        answers.cancel()
        out.close()
        back.close()

    async def _answers(
        self, server: asyncio.StreamReader, back: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while (chunk := await server.read(65536)) and not cut.is_set():
                back.write(chunk)
                await back.drain()
        back.close()


@pytest.fixture
async def line(arena: Arena) -> AsyncGenerator[tuple[Line, Arena]]:
    folder = arena.dsn.partition("host=")[2].partition("&")[0]
    broken = Line(f"{folder.replace('%2F', '/')}/.s.PGSQL.5432")
    with tempfile.TemporaryDirectory(prefix="line") as short:
        server = await asyncio.start_unix_server(broken.connected, Path(short) / ".s.PGSQL.5432")
        there = arena.dsn.replace(folder, quote(short, safe=""))
        yield broken, msgspec.structs.replace(arena, dsn=there)
        server.close()


async def test_commits_whose_end_nobody_heard_are_done_once(
    arena: Arena, ledger: Ledger, start: Start, line: tuple[Line, Arena]
) -> None:
    broken, far = line
    for name in ("a", "b"):
        start(_work_far, name, far)
    for n in range(5):
        await ledger.messages.receive(needed(f"first {n}"))
    await done(ledger, 5)
    broken.share = 0.1
    for n in range(60):
        await ledger.messages.receive(needed(str(n)))
    await done(ledger, 65)
    assert broken.cuts > 3
    assert set(effects(arena, "ship").values()) == {1}
    assert await count(ledger, "step") == 2 * 65
    assert await count(ledger, "entry", "kind = 'end'") == 65
    assert (await ledger.audit.verify())[1] == []


def _work_far(_arena: Arena, name: str, far: Arena) -> None:
    work(far, name)


async def test_when_all_slots_of_the_server_are_taken_work_waits_and_resumes(
    arena: Arena, ledger: Ledger, start: Start
) -> None:
    worker = start(work, "a")
    await ledger.messages.receive(needed("before"))
    await done(ledger, 1)
    chief = await asyncpg.connect(arena.dsn)
    await chief.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    taken = await _all_slots(arena)
    with pytest.raises(StoreUnavailable):
        await _until_refused(ledger)
    for connection in (*taken, chief):
        await connection.close()
    await until_kept(ledger, needed("after"))
    await done(ledger, await count(ledger, "flow"))
    assert set(effects(arena, "ship").values()) == {1}
    assert worker.is_alive


async def _all_slots(arena: Arena) -> list[Any]:
    taken = list[Any]()
    try:
        while True:
            taken.append(await asyncpg.connect(arena.dsn))
    except asyncpg.TooManyConnectionsError:
        return taken


async def _until_refused(ledger: Ledger) -> None:
    """A session that was not closed yet may take a few."""
    for n in range(100):
        await ledger.messages.receive(needed(f"meanwhile {n}"))


async def test_a_full_disk_is_said_and_work_resumes_when_there_is_room(
    arena: Arena, start: Start
) -> None:
    child = start(fill, "full")
    assert await child.ended(4 * PATIENCE) == 0, child.said()
    told = msgspec.json.decode((arena.folder / "told").read_bytes(), type=Told)
    if told.skipped:
        pytest.skip(told.skipped)
    assert told.refused > 0
    assert told.kept_before + told.kept_after == told.messages == told.done
    assert told.shipped == told.messages
    assert told.broken == 0
