"""A sender process: partners that send one document after the other until each is acknowledged.

What was acknowledged is written down here, too, on disk: that list is what is held against the
ledger in the end. A sender that was killed goes on after its last line.
"""

import asyncio
import os
import random
from pathlib import Path
from typing import BinaryIO

import msgspec
import uvloop

from bench.torture.arena import Arena, opened
from bench.torture.documents import drawn
from bench.torture.flows import STARTS, flows
from bench.torture.nursery import told_to_stop
from bench.torture.outside import reached
from canonical.errors import Failure, StateConflict, StoreUnavailable
from canonical.task import Resolution
from ledger.arrival import Accepted, Arrival
from ledger.cancelling import Cancellation
from ledger.ledger import Ledger

LANES = 4
_AGAIN = 0.05
"""The share of documents that partners send a second time although they were acknowledged."""
_LATEST_CANCEL_SECONDS = 0.4
_DELIVERY = "select id from flow where name = 'delivery' and key = $1"
_MOST_OPEN = 400
"""Unfinished flows from which partners wait: the load follows what the workers can bear."""
_OPEN = "select count(*) from flow where ended_at is null"


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a sender's list. `last` says that its place in the lane is over with it."""

    place: int
    identity: str
    message: str
    duplicate: bool
    last: bool


_line = msgspec.json.Decoder(Acknowledged)


def acknowledged(folder: Path) -> dict[str, list[Acknowledged]]:
    """Return what every lane was acknowledged, in order. A torn last line was never heard."""
    return {
        file.stem: [_line.decode(line) for line in file.read_bytes().split(b"\n")[:-1]]
        for file in sorted(folder.glob("*.acknowledged"))
    }


def send(arena: Arena, name: str) -> None:
    """Send until told to stop."""
    uvloop.run(_send(arena, name))


async def _send(arena: Arena, name: str) -> None:
    stopped = told_to_stop(arena.folder, name)
    while True:
        try:
            async with (
                reached(arena.outside, name) as outside,
                opened(arena) as ledger,
                asyncio.TaskGroup() as group,
            ):
                ledger.catalogue.install(flows(outside), STARTS)
                free = asyncio.Event()
                watch = group.create_task(_watch(ledger, free))
                lanes = [
                    group.create_task(_Lane(arena, f"{name}.{n}", ledger).run(stopped, free))
                    for n in range(LANES)
                ]
                clerk = group.create_task(_decide(ledger))
                await asyncio.wait(lanes)
                watch.cancel()
                clerk.cancel()
        except StoreUnavailable:
            await asyncio.sleep(0.1)
            continue
        return


class _Lane:
    """One partner."""

    def __init__(self, arena: Arena, lane: str, ledger: Ledger) -> None:
        self._arena = arena
        self._lane = lane
        self._ledger = ledger
        self._file = arena.folder / f"{lane}.acknowledged"

    async def run(self, stopped: asyncio.Event, free: asyncio.Event) -> None:
        place = self._next_place()
        with self._file.open("ab") as kept:
            while not stopped.is_set():
                await free.wait()
                await self._at(place, kept)
                place += 1

    def _next_place(self) -> int:
        known = self._file.read_bytes() if self._file.exists() else b""
        whole, _, torn = known.rpartition(b"\n")
        if torn:
            os.truncate(self._file, len(known) - len(torn))
        over = [line.place for line in map(_line.decode, whole.splitlines()) if line.last]
        return max(over, default=-1) + 1

    async def _at(self, place: int, kept: BinaryIO) -> None:
        arrivals, _, undone = drawn(self._arena.seed, self._lane, place)
        for each in arrivals:
            is_last = each is arrivals[-1]
            accepted = await self._deliver(each)
            if is_last and undone:
                await self._cancel(f"{self._lane}-{place}")
            self._keep(kept, place, each, accepted, last=is_last)
            if random.Random(f"again {each.identity}").random() < _AGAIN:
                self._keep(kept, place, each, await self._deliver(each), last=is_last)

    async def _deliver(self, arrival: Arrival) -> Accepted:
        """Send until it is acknowledged, as a partner does."""
        while True:
            try:
                return await self._ledger.messages.receive(arrival)
            except Failure as failure:
                if not failure.retryable:
                    raise
                await asyncio.sleep(0.05)

    async def _cancel(self, number: str) -> None:
        """Have a delivery cancelled, sooner or later: it may run, wait, or be over by then."""
        await asyncio.sleep(random.Random(f"cancel {number}").uniform(0.0, _LATEST_CANCEL_SECONDS))
        because = Cancellation(by="partner", reason="not wanted any more")
        while True:
            try:
                row = await self._ledger.database.row(_DELIVERY, number)
                if row is None:
                    raise LookupError(f"delivery {number} was acknowledged, and there is no flow")
                return await self._ledger.cancel(str(row[0]), because)
            except Failure as failure:
                if not failure.retryable:
                    raise
                await asyncio.sleep(0.05)

    def _keep(
        self, kept: BinaryIO, place: int, arrival: Arrival, accepted: Accepted, *, last: bool
    ) -> None:
        told = Acknowledged(
            place=place,
            identity=arrival.identity,
            message=accepted.message,
            duplicate=accepted.duplicate,
            last=last,
        )
        kept.write(msgspec.json.encode(told) + b"\n")
        kept.flush()
        os.fsync(kept.fileno())


async def _watch(ledger: Ledger, free: asyncio.Event) -> None:
    """Hold the partners back while there is too much unfinished."""
    while True:
        try:
            row = await ledger.database.row(_OPEN)
            if row is not None and int(row[0]) < _MOST_OPEN:
                free.set()
            else:
                free.clear()
        except StoreUnavailable:
            free.set()  # so that they meet the outage, too
        await asyncio.sleep(0.2)


async def _decide(ledger: Ledger) -> None:
    """Be the person who approves: every question is answered, by whoever comes first."""
    answer = Resolution(action="approve", by="clerk")
    while True:
        try:
            for task in await ledger.tasks.listed(limit=50):
                if task.kind == "decision":
                    await ledger.tasks.resolve(task.id, answer)
        except (StateConflict, StoreUnavailable):
            pass
        await asyncio.sleep(0.1)


def decide(arena: Arena) -> None:
    """Answer questions, and send nothing."""
    uvloop.run(_decide_alone(arena))


async def _decide_alone(arena: Arena) -> None:
    async with opened(arena) as ledger:
        await _decide(ledger)
