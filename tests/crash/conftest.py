"""A PostgreSQL that may be hurt, an outside that keeps account, processes that may be killed."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from bench.torture import outside_server
from bench.torture.arena import Arena, opened
from bench.torture.nursery import Child
from bench.torture.store import Store
from gateway.embedded.sharing import until
from ledger.database import fresh_database
from ledger.ledger import Ledger
from tests.crash.acts import install

Start = Callable[..., Child]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory):
    """The server of these tests; each test has a database of its own on it."""
    hurt = Store(tmp_path_factory.mktemp("crash"))
    with asyncio.Runner() as runner:
        runner.run(hurt.start())
    yield hurt
    with asyncio.Runner() as runner:
        runner.run(hurt.leave())


@pytest.fixture
async def arena(store: Store, tmp_path: Path) -> AsyncGenerator[Arena]:
    dsn = await fresh_database(store.dsn, f"crash_{uuid.uuid4().hex[:12]}")
    planned = Arena(folder=tmp_path, dsn=dsn, lease=0.5)
    outside = Child("outside", tmp_path, outside_server.serve, planned)
    outside.start()
    assert await until((tmp_path / "outside.url").exists, 30), outside.said()
    yield msgspec.structs.replace(planned, outside=outside_server.address(tmp_path))
    await outside.kill()


@pytest.fixture
async def start(arena: Arena) -> AsyncGenerator[Start]:
    """Start a process under a name: the target gets the arena, the name, and the rest."""
    async with AsyncExitStack() as stack:

        def started(target: Callable[..., None], name: str, *told: object) -> Child:
            child = Child(name, arena.folder, target, arena, name, *told)
            child.start()
            stack.push_async_callback(child.kill)
            return child

        yield started


@pytest.fixture
async def ledger(arena: Arena) -> AsyncGenerator[Ledger]:
    """The ledger as a door has it: it receives, and never works."""
    async with opened(arena) as door:
        install(door)
        yield door
