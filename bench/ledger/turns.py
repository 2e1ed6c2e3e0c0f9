"""How the bench tells an engine in another process to run flows, and hears what came of it.

One JSON object a line, orders on standard input, a `Tally` on standard output for each of them. The
engine ends when its standard input is closed, so that it never outlives the bench. Nothing here
needs more than msgspec: engines of others import it from environments of their own.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: where the engine works. It travels by pipe, since it holds a password.

    `latency` is the seconds that the outside takes for a step.
    """

    dsn: str
    name: str = ""
    latency: float = 0.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Forget what was before and go on for `seconds`; begin `callers` flows; or only tell.

    `keys` are waits whose event is to come now.
    """

    seconds: float | None = None
    callers: int = 0
    keys: tuple[str, ...] = ()


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the last order so far. `last` is when a flow ended (CLOCK_MONOTONIC)."""

    started: int = 0
    ended: int = 0
    last: float = 0.0
    fault: str = ""


class Turn:
    """A closed loop: each flow that ends here begins the next one, until the time is up.

    It does not matter which of several processes ends a flow: there are always as many in flight.
    """

    def __init__(self, begin: Callable[[], Awaitable[object]]) -> None:
        self._begin = begin
        self._until = 0.0
        self._tasks = set[asyncio.Future[object]]()
        self._started = self._ended = 0
        self._last = 0.0
        self._fault = ""

    def forget(self, seconds: float) -> None:
        """Count anew; until so many seconds from now, each flow that ends begins another one."""
        self._started = self._ended = 0
        self._last, self._fault = 0.0, ""
        self._until = time.monotonic() + seconds

    def begin(self, callers: int) -> None:
        for _ in range(callers):
            self.start(self._begin())

    def start(self, work: Awaitable[object]) -> None:
        """Count one flow that begins."""
        self._started += 1
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._begun)

    def _begun(self, task: "asyncio.Future[object]") -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._fault = self._fault or f"a flow failed: {type(failure).__name__}"

    def ended(self) -> None:
        """Count one flow whose end is on disk."""
        self._ended += 1
        self._last = time.monotonic()
        if self._last < self._until and not self._fault:
            self.start(self._begin())

    def tally(self) -> Tally:
        return Tally(started=self._started, ended=self._ended, last=self._last, fault=self._fault)


async def orders() -> AsyncIterator[bytes]:
    """Yield the lines of standard input until it is closed."""
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line


async def opened(lines: AsyncIterator[bytes]) -> Opening:
    return msgspec.json.decode(await anext(lines), type=Opening)


def answer(tally: Tally) -> None:
    print(msgspec.json.encode(tally).decode(), flush=True)


async def obey(
    lines: AsyncIterator[bytes], turn: Turn, wake: Callable[[str], Awaitable[object]] | None = None
) -> None:
    """Say that the engine is ready, then carry out orders until there are no more."""
    answer(turn.tally())
    async for line in lines:
        order = msgspec.json.decode(line, type=Order)
        if order.seconds is not None:
            turn.forget(order.seconds)
        turn.begin(order.callers)
        if wake is not None:
            for key in order.keys:
                turn.start(wake(key))
        answer(turn.tally())
