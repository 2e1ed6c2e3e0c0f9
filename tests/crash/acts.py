"""What worker processes play in these tests. Each target is imported by its process."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.torture.arena import Arena, opened
from bench.torture.documents import Answer, Link, Need
from bench.torture.nursery import told_to_stop
from bench.torture.outside import Outside, reached
from bench.torture.outside_server import Done
from canonical.clock import utc_now
from canonical.errors import StoreUnavailable, UnknownItem, UpstreamUnavailable
from ledger.catalogue import FlowDefinition
from ledger.ledger import Ledger

EVENTS: dict[Any, str] = {
    "item-used": "two-steps",
    "case-scheduled": "chain",
    "requisition-raised": "waiting",
    "nothing-used": "odd",
    "goods-received": "undoable",
}


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is to behave; the tests' other way to speak to it are files in the folder."""

    identity: str = ""
    version: str = "1"
    clock_ahead: float = 0.0
    within: float = 86400.0
    pool: int = 0


class Actor:
    """The port of these flows: it writes down each beginning, and does what the folder says."""

    system = "outside"
    mapping_version = "crash/1"

    def __init__(self, arena: Arena, name: str, outside: Outside) -> None:
        self.folder = arena.folder
        self._name = name
        self._outside = outside

    async def first(self, need: Need, /, *, key: str) -> Done:
        return await self._outside.reserve(need, key=key)

    async def second(self, need: Need, /, *, key: str) -> Done:
        """Do it; die at the moment that is written in the folder, once."""
        begun(self.folder, need.number)
        if need.number == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        die_once(self.folder, "before the effect")
        if is_told(self.folder, "inside the effect"):
            asyncio.get_running_loop().call_soon(die_once, self.folder, "inside the effect")
        done = await self._outside.ship(need, key=key)
        die_once(self.folder, "after the effect")
        while is_told(self.folder, f"hold {self._name}"):
            await asyncio.sleep(0.02)
        return done

    async def ready_to_go(self, need: Need, /, *, key: str) -> Done:
        """Stand for a while where everything is said, and nothing is sent yet."""
        begun(self.folder, need.number)
        while is_told(self.folder, f"hold {self._name}"):
            await asyncio.sleep(0.02)
        return await self._outside.deliver(need, key=key)

    async def take_back(self, need: Need, done: Done | None, /, *, key: str) -> Done:
        return await self._outside.undeliver(need, done, key=key)

    async def flaky(self, need: Need, /, *, key: str) -> Done:
        """Fail as long as the folder says so; the caller is to come again in a second."""
        begun(self.folder, need.number)
        if is_told(self.folder, "fail"):
            raise UpstreamUnavailable("not now", retry_after=1.0)
        return await self._outside.book(need, key=key)

    async def append(self, link: Link, /, *, key: str) -> Done:
        begun(self.folder, link.place)
        if is_told(self.folder, f"refuse {link.place}"):
            raise UnknownItem(link.place)
        return await self._outside.append(link, key=key)


def begun(folder: Path, what: str) -> None:
    """Write down that a body began; what is written stays when the process dies."""
    with (folder / "begun").open("a") as file:
        file.write(f"{what}\n")


def is_told(folder: Path, what: str) -> bool:
    return (folder / what).exists()


def die_once(folder: Path, moment: str) -> None:
    """Kill this process if the folder says so, and only the first time."""
    if is_told(folder, moment):
        (folder / moment).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def two_steps(actor: Actor) -> Callable[..., Awaitable[Any]]:
    async def run(story: Any, need: Need) -> Done:
        await story.step("first", actor.first, need)
        done: Done = await story.step("second", actor.second, need)
        die_once(actor.folder, "after the record")
        return done

    return run


def undoable(actor: Actor) -> Callable[..., Awaitable[Any]]:
    async def run(story: Any, need: Need) -> Any:
        return await story.step("deliver", actor.ready_to_go, need, compensate=actor.take_back)

    return run


def chain(actor: Actor) -> Callable[..., Awaitable[Any]]:
    async def run(story: Any, link: Link) -> Any:
        return await story.step("append", actor.append, link)

    return run


def waiting(actor: Actor, play: Play) -> Callable[..., Awaitable[Any]]:
    async def run(story: Any, need: Need) -> Any:
        within = timedelta(seconds=play.within)
        event = "order-acknowledged"
        answer = await story.wait("answer", Answer, event=event, key=need.number, within=within)
        die_once(actor.folder, "after the wait")
        await story.step("first", actor.first, need)
        return answer

    return run


class Unwritable(msgspec.Struct):
    what: Any


def odd(actor: Actor) -> Callable[..., Awaitable[Any]]:
    """Do something unusual, by the number: «flaky» tries again, «no json» tells what is none."""

    async def tell(need: Need) -> Unwritable:
        return Unwritable(what=object())

    async def run(story: Any, need: Need) -> Any:
        if need.number.startswith("no json"):
            await story.ask("what is no json", tell, need)
        return await story.step("flaky", actor.flaky, need)

    return run


def play_flows(actor: Actor, play: Play) -> list[FlowDefinition]:
    runs = {
        "two-steps": (two_steps(actor), Need),
        "chain": (chain(actor), Link),
        "waiting": (waiting(actor, play), Need),
        "odd": (odd(actor), Need),
        "undoable": (undoable(actor), Need),
    }
    return [
        FlowDefinition(name=name, version=play.version, facts=facts, run=run, owner="supply-chain")
        for name, (run, facts) in runs.items()
    ]


def install(ledger: Ledger, version: str = "1") -> None:
    """Install the flows where nothing works on them: documents start them."""
    nobody: Any = None
    ledger.catalogue.install(play_flows(nobody, Play(version=version)), EVENTS)


def work(arena: Arena, name: str, play: Play | None = None) -> None:
    """Work on these flows until told to stop."""
    logging.basicConfig(level=logging.INFO)
    uvloop.run(_work(arena, name, play or Play()))


async def _work(arena: Arena, name: str, play: Play) -> None:
    ahead = timedelta(seconds=play.clock_ahead)
    while True:
        try:
            async with (
                opened(arena, clock=lambda: utc_now() + ahead) as ledger,
                reached(arena.outside, name) as outside,
            ):
                ledger.catalogue.install(play_flows(Actor(arena, name, outside), play), EVENTS)
                if play.identity:
                    ledger.worker.identity = play.identity
                ledger.worker.start()
                (arena.folder / f"{name}.identity").write_text(ledger.worker.identity)
                stopped = told_to_stop(arena.folder, name)
                await stopped.wait()
                await ledger.worker.stop()
                return
        except StoreUnavailable:
            await asyncio.sleep(0.1)
