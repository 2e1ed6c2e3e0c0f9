"""In a process of its own: a PostgreSQL on a disk of 160 MB that is filled, and cleared again."""

import asyncio
import ctypes
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.torture.arena import Arena, opened
from bench.torture.outside import reached
from bench.torture.store import Store
from canonical.errors import StoreUnavailable
from gateway.embedded.place import place_of
from ledger.arrival import Arrival
from tests.crash.acts import EVENTS, Actor, Play, play_flows
from tests.crash.seen import done, effects, needed
from tests.ledger.outside import count

_NEW_MOUNTS = 0x00020000
"""unshare(2): CLONE_NEWNS, mounts that nobody else sees."""
_PRIVATE = 0x4000 | 0x40000
"""mount(2): MS_REC | MS_PRIVATE."""
_SIZE = "160m"


class Told(msgspec.Struct, kw_only=True):
    """What the process met. `skipped` says why this machine cannot do it."""

    skipped: str = ""
    refused: int = 0
    kept_before: int = 0
    kept_after: int = 0
    messages: int = 0
    done: int = 0
    shipped: int = 0
    broken: int = 0


def fill(arena: Arena, _name: str) -> None:
    """Mount, start, fill, clear, and write down what happened."""
    home = arena.folder / "full"
    place = place_of("postgres", home, "")
    why = _mounted(place.folder, place.uid, place.gid)
    told = Told(skipped=why) if why else uvloop.run(_filled(arena, home, place.folder))
    (arena.folder / "told").write_bytes(msgspec.json.encode(told))


def _mounted(folder: Path, uid: int | None, gid: int | None) -> str:
    """Put a small disk there, for this process and its children only; or say why not."""
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={_SIZE},mode=0700"
    if uid is not None:
        options += f",uid={uid},gid={gid}"
    calls: tuple[Callable[[], Any], ...] = (
        lambda: libc.unshare(_NEW_MOUNTS),
        lambda: libc.mount(b"none", b"/", None, _PRIVATE, None),
        lambda: libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options.encode()),
    )
    for call in calls:
        if call() != 0:
            return f"no disk of one's own may be mounted here: {os.strerror(ctypes.get_errno())}"
    return ""


async def _filled(arena: Arena, home: Path, disk: Path) -> Told:
    told, store = Told(), Store(home)
    await store.start()
    small = msgspec.structs.replace(arena, dsn=store.dsn)
    try:
        async with opened(small) as ledger, reached(arena.outside, "full") as outside:
            ledger.catalogue.install(play_flows(Actor(arena, "full", outside), Play()), EVENTS)
            ledger.worker.start()
            told.kept_before = await _sent(ledger, "before", 20, told)
            filler = disk / "filler"
            _fill(filler)
            told.kept_before += await _sent(ledger, "meanwhile", 60, told)
            filler.unlink()
            await store.start()  # it may have ended: then it must come back
            told.kept_after = await _until_all_kept(ledger, "after", 20)
            told.kept_before += await _until_all_kept(ledger, "meanwhile", 60, again=True)
            told.messages = await count(ledger, "message")
            await done(ledger, told.messages)
            told.done = await count(ledger, "flow", "status = 'done'")
            told.shipped = sum(effects(arena, "ship").values())
            told.broken = len((await ledger.audit.verify())[1])
            await ledger.worker.stop()
    finally:
        await store.leave()
    return told


def _large(number: str) -> Arrival:
    """A document that needs room: noise, the same for the same number."""
    return msgspec.structs.replace(needed(number), body=random.Random(number).randbytes(20_000))


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        block = b"\0" * 65536
        try:
            while True:
                file.write(block)
        except OSError:
            return


async def _sent(ledger: Any, what: str, many: int, told: Told) -> int:
    """Send each once, large enough to need room; return how many were kept."""
    kept = 0
    for n in range(many):
        try:
            await asyncio.wait_for(ledger.messages.receive(_large(f"{what} {n}")), 30)
        except StoreUnavailable:
            told.refused += 1
        else:
            kept += 1
    return kept


async def _until_all_kept(ledger: Any, what: str, many: int, *, again: bool = False) -> int:
    """Send until each is kept; return how many are kept that were not `again`."""
    kept = 0
    for n in range(many):
        while True:
            try:
                accepted = await ledger.messages.receive(_large(f"{what} {n}"))
            except StoreUnavailable:
                await asyncio.sleep(0.1)
                continue
            kept += not (again and accepted.duplicate)
            break
    return kept
