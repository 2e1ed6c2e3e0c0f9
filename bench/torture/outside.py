"""The world outside as flows see it: effects over HTTP, each once for one key."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from bench.torture.documents import Link, Need
from bench.torture.outside_server import Done, Order
from canonical.context import PatientContext
from canonical.errors import UpstreamFailed, UpstreamRefused, UpstreamTimeout, UpstreamUnavailable

_SECONDS = aiohttp.ClientTimeout(total=5.0)
_done = msgspec.json.Decoder(Done)
_SERVER_ERROR = 500


class Outside:
    """The port of all flows here. `by` is who calls."""

    system = "outside"
    mapping_version = "torture/1"

    def __init__(self, http: aiohttp.ClientSession, by: str) -> None:
        self._http = http
        self._by = by

    async def stock(self, number: str) -> int:
        return int(await self._call("GET", f"/stock/{number}", b""))

    async def reserve(self, need: Need, /, *, key: str) -> Done:
        return await self._act("reserve", need.number, key)

    async def ship(self, need: Need, /, *, key: str) -> Done:
        return await self._act("ship", need.number, key)

    async def book(self, need: Need, /, *, key: str) -> Done:
        return await self._act("book", need.number, key)

    async def bill(self, need: Need, /, *, key: str) -> Done:
        return await self._act("bill", need.number, key)

    async def order(self, need: Need, /, *, key: str) -> Done:
        return await self._act("order", need.number, key)

    async def append(self, link: Link, /, *, key: str) -> Done:
        return await self._act("append", link.place, key)

    async def deliver(self, need: Need, /, *, key: str) -> Done:
        return await self._act("deliver", need.number, key)

    async def undeliver(self, need: Need, done: Done | None, /, *, key: str) -> Done:
        return await self._undo("deliver", need.number, key, done)

    async def account(self, need: Need, /, *, key: str) -> Done:
        return await self._act("account", need.number, key)

    async def unaccount(self, need: Need, done: Done | None, /, *, key: str) -> Done:
        return await self._undo("account", need.number, key, done)

    async def charge(self, need: Need, /, *, key: str, patient: PatientContext) -> Done:
        return await self._act(f"charge {patient.case_number}", need.number, key)

    async def _act(self, kind: str, number: str, key: str) -> Done:
        order = Order(key=key, kind=kind, number=number, by=self._by)
        return _done.decode(await self._call("POST", "/act", msgspec.json.encode(order)))

    async def _undo(self, kind: str, number: str, key: str, done: Done | None) -> Done:
        """Take back what was done under this key, if it was; nobody needs to know the document."""
        del done
        order = Order(key=key, kind=kind, number=number, by=self._by, undo=True)
        return _done.decode(await self._call("POST", "/act", msgspec.json.encode(order)))

    async def _call(self, method: str, path: str, body: bytes) -> bytes:
        try:
            async with self._http.request(method, path, data=body) as answer:
                told = await answer.read()
        except TimeoutError as exc:
            raise UpstreamTimeout(path) from exc
        except aiohttp.ClientError as exc:
            raise UpstreamUnavailable(f"{type(exc).__name__} at {path}") from exc
        if answer.status >= _SERVER_ERROR:
            raise UpstreamFailed(told.decode())
        if not answer.ok:
            raise UpstreamRefused(told.decode())
        return told


@asynccontextmanager
async def reached(url: str, by: str) -> AsyncGenerator[Outside]:
    """Open the line to the outside."""
    async with aiohttp.ClientSession(url, timeout=_SECONDS) as http:
        yield Outside(http, by)
