"""A worker process of a run: it claims flows and runs them until it is killed, or told to stop."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import uvloop

from bench.torture.arena import Arena, opened
from bench.torture.flows import STARTS, flows
from bench.torture.nursery import told_to_stop
from bench.torture.outside import Outside, reached
from canonical.errors import StoreUnavailable
from ledger.catalogue import FlowDefinition
from ledger.ledger import Ledger

Flows = Callable[[Outside], Sequence[FlowDefinition]]


def work(arena: Arena, name: str) -> None:
    """Run the small flows."""
    uvloop.run(_work(arena, name, flows))


async def _work(arena: Arena, name: str, of: Flows) -> None:
    stopped = told_to_stop(arena.folder, name)
    while not stopped.is_set():
        try:
            async with opened(arena) as ledger, reached(arena.outside, name) as outside:
                ledger.catalogue.install(of(outside), STARTS)
                async with at_work(arena, name, ledger):
                    await stopped.wait()
        except StoreUnavailable:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def at_work(arena: Arena, name: str, ledger: Ledger) -> AsyncGenerator[None]:
    """Start the worker of an open ledger, and say who it is; stop it on leaving."""
    ledger.worker.start()
    (arena.folder / f"{name}.identity").write_text(ledger.worker.identity)
    try:
        yield
    finally:
        await ledger.worker.stop()


def identity(arena: Arena, name: str) -> str:
    """Return who the latest worker of that name is; '' where none has started yet."""
    file = arena.folder / f"{name}.identity"
    return file.read_text() if file.exists() else ""
