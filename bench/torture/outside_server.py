"""The world outside, as a server of its own: it does what it is told and keeps account on disk.

It forgives nothing: a repeated key is written down as a repetition and answered as before, another
key for the same business number is done again, and shows as a doubled effect. Seeded faults make
callers try again: 5xx before and after the deed, lost answers, delays.
"""

import asyncio
import os
import random
import time
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
from aiohttp import web

from bench.torture.arena import Arena

Fault = Literal["", "failed before", "failed after", "lost answer", "late"]

_FAULTS: tuple[tuple[Fault, float], ...] = (
    ("failed before", 0.02),
    ("failed after", 0.02),
    ("lost answer", 0.02),
    ("late", 0.04),
)
_FAULTY_TRIES = 3
"""From then on a key is served: the outside is bad, not dead."""
_LATE_SECONDS = 0.4


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the outside is told to do, or to undo (then `key` is the key of the deed)."""

    key: str
    kind: str
    number: str
    by: str = ""
    undo: bool = False


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One line of its account. `repeated` changed nothing: the key had been here."""

    order: Order
    document: str
    repeated: bool
    at: float = 0.0


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The answer; `document` is '' where there was nothing to undo."""

    document: str


_line = msgspec.json.Decoder(Deed)
_order = msgspec.json.Decoder(Order)
_encode = msgspec.json.Encoder().encode


def account(folder: Path) -> list[Deed]:
    """Return everything the outside has done, in order."""
    file = folder / "outside.jsonl"
    return [_line.decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def address(folder: Path) -> str:
    """Return where it is served."""
    return (folder / "outside.url").read_text()


class World:
    """Its state: a file of deeds, and what is in it."""

    def __init__(self, seed: int, file: BinaryIO, known: list[Deed]) -> None:
        self._seed = seed
        self._file = file
        self._tries: dict[str, int] = {}
        self._documents: dict[str, str] = {}
        self._undone: dict[str, str] = {}
        self._count = len(known)
        for deed in known:
            self._remember(deed)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Do or undo, after or before a fault."""
        order = _order.decode(await request.read())
        fault = self._fault(order)
        if fault == "failed before":
            return web.Response(status=500, text="nothing was done")
        done = self._done(order)
        if fault == "failed after":
            return web.Response(status=500, text="it was done, but this was said")
        if fault == "lost answer" and request.transport is not None:
            request.transport.close()
        if fault == "late":
            await asyncio.sleep(_LATE_SECONDS)
        return web.Response(body=_encode(done), content_type="application/json")

    async def stock(self, request: web.Request) -> web.Response:
        """Say how much there is: it depends on the item's name alone."""
        number = request.match_info["number"]
        return web.Response(body=_encode(len(number)), content_type="application/json")

    def _fault(self, order: Order) -> Fault:
        name = f"{order.key} undo" if order.undo else order.key
        tries = self._tries[name] = self._tries.get(name, 0) + 1
        if not self._seed or tries > _FAULTY_TRIES:
            return ""
        drawn = random.Random(f"{self._seed} {name} {tries}").random()
        for fault, share in _FAULTS:
            if drawn < share:
                return fault
            drawn -= share
        return ""

    def _done(self, order: Order) -> Done:
        book = self._undone if order.undo else self._documents
        known = book.get(order.key)
        if known is None:
            self._count += 1
            is_void = order.undo and order.key not in self._documents
            known = "" if is_void else f"D{self._count}"
            deed = Deed(order=order, document=known, repeated=False, at=time.time())
        else:
            deed = Deed(order=order, document=known, repeated=True, at=time.time())
        self._file.write(_encode(deed) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._remember(deed)
        return Done(document=known)

    def _remember(self, deed: Deed) -> None:
        book = self._undone if deed.order.undo else self._documents
        book.setdefault(deed.order.key, deed.document)


def serve(arena: Arena) -> None:
    """Serve until killed; the address is in the file `outside.url`."""
    asyncio.run(_serve(arena))


async def _serve(arena: Arena) -> None:
    known = account(arena.folder)
    with (arena.folder / "outside.jsonl").open("ab") as file:
        world = World(arena.seed, file, known)
        app = web.Application()
        app.add_routes([web.post("/act", world.act), web.get("/stock/{number}", world.stock)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        draft = arena.folder / "outside.draft"
        draft.write_text(f"http://{host}:{port}")
        draft.rename(arena.folder / "outside.url")
        await asyncio.Event().wait()
