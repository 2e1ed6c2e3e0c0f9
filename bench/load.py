"""A small HTTP/1.1 client that only asks for load: keep-alive, one request after the other.

It believes nothing: every answer must be a 200 with exactly the body that is expected, or the whole
measurement has a fault. It is sans-library so that the client is not what is measured.
"""

import asyncio
import re
import time
from typing import NamedTuple, cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 "


class Target(NamedTuple):
    """What is asked, and what must be answered."""

    host: str
    port: int
    path: str
    token: str
    body: bytes

    def request(self) -> bytes:
        who = f"authorization: Bearer {self.token}\r\n" if self.token else ""
        head = f"GET {self.path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n{who}"
        return f"{head}accept: application/json\r\n\r\n".encode()


class Load(NamedTuple):
    """What came of it."""

    answers: int
    seconds: float
    fault: str


class _Caller(asyncio.Protocol):
    """One connection: asks again as soon as it has its answer, until time is up."""

    def __init__(self, target: Target, until: float) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers = 0
        self.fault = ""
        self._request = target.request()
        self._body = target.body
        self._until = until
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has another parent
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(_HEAD_END)
        if not mark:
            return
        declared = _LENGTH.search(head + b"\r\n")
        if not head.startswith(_OK) or declared is None:
            self._end(f"answered {head[9:12].decode('latin-1')} instead of 200")
        elif len(rest) >= int(declared[1]):
            self._answered(rest)

    def _answered(self, body: bytes) -> None:
        if body != self._body:
            self._end("answered with another body")
            return
        self._buffer = b""
        self.answers += 1
        if time.perf_counter() >= self._until:
            self._end("")
        elif self._transport is not None:
            self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self._end(f"the connection was {'lost' if exc else 'closed'}")

    def _end(self, fault: str) -> None:
        self.fault = fault
        if not self.over.done():
            self.over.set_result(None)
        self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def load(target: Target, connections: int, seconds: float) -> Load:
    """Keep so many connections busy for so long."""
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    callers: list[_Caller] = []
    try:
        for _ in range(connections):
            _, caller = await loop.create_connection(
                lambda: _Caller(target, began + seconds), target.host, target.port
            )
            callers.append(caller)
        async with asyncio.timeout(seconds + 10):
            await asyncio.gather(*(caller.over for caller in callers))
    except TimeoutError:
        return Load(0, 0, "the server stopped answering")
    except OSError as exc:
        return Load(0, 0, f"the server cannot be reached: {type(exc).__name__}")
    finally:
        for caller in callers:
            caller.close()
    fault = next((caller.fault for caller in callers if caller.fault), "")
    return Load(sum(caller.answers for caller in callers), time.perf_counter() - began, fault)
