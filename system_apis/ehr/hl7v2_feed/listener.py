"""The MLLP server: frames in, acknowledgements out, in the order of the frames, per connection.

Per connection one task reads and one answers. Each frame begins at once and in order, so that the
ledger can commit the frames of a pipelining sender together; at most `in_hand` frames are begun and
unanswered, then reading pauses and TCP holds the sender back. A connection ends when the peer
closes, falls silent, or breaks the framing; the server itself never stops over what comes in.
"""

import asyncio
import secrets
import ssl
from collections import deque
from contextlib import suppress

from canonical.errors import BodyTooLarge, Failure, MalformedMessage
from canonical.request import CALL, RequestFacts
from standards.hl7v2.frames import MAX_FRAME, Framer, frame
from system_apis.ehr.hl7v2_feed.intake import Hl7Intake

_CHUNK = 1 << 16
_IN_HAND = 64
_GRACE = 10.0


class MllpListener:
    """Listens on one port and gives every message to the intake.

    `policy` is the version of the configuration in force, for the record.
    """

    def __init__(
        self,
        intake: Hl7Intake,
        host: str,
        port: int,
        max_frame: int = MAX_FRAME,
        idle_timeout: float = 300.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._intake = intake
        self.policy = ""
        self._address = (host, port)
        self._max_frame = max_frame
        self._idle_timeout = idle_timeout
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    async def start(self) -> int:
        """Begin to listen and return the port; a port that is taken raises `OSError`."""
        host, port = self._address
        self._server = await asyncio.start_server(self._serve, host, port, ssl=self._tls)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self, grace: float = _GRACE) -> None:
        """Take no more frames, answer those in hand, and close; after `grace` seconds at once."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections.values():
            connection.read_no_more()
        open_tasks = list(self._connections)
        if open_tasks:
            _, late = await asyncio.wait(open_tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        connection = _Connection(self._intake, reader, writer, Framer(self._max_frame), self.policy)
        if task is not None:
            self._connections[task] = connection
            task.add_done_callback(self._forget)
        await connection.converse(self._idle_timeout)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._connections.pop(task, None)


class _Connection:
    """One peer: what it sends, what is in hand, what goes back."""

    def __init__(
        self,
        intake: Hl7Intake,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        framer: Framer,
        policy: str = "",
    ) -> None:
        self._intake = intake
        self._policy = policy
        self._reader = reader
        self._writer = writer
        self._framer = framer
        self._room = asyncio.Semaphore(_IN_HAND)
        self._in_hand: deque[asyncio.Task[bytes | None]] = deque()
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._stopping = False
        self._junk_before = 0
        self._heard = False

    def read_no_more(self) -> None:
        """Stop between two frames; a frame half received stays with its sender, unacknowledged."""
        self._stopping = True
        if self._reading is not None:
            self._reading.cancel()

    async def converse(self, idle_timeout: float) -> None:
        self._reading = asyncio.create_task(self._read(idle_timeout))
        self._reading.add_done_callback(lambda _: self._changed.set())
        if self._stopping:
            self._reading.cancel()
        try:
            await self._answer_in_order(self._reading)
        finally:
            self._reading.cancel()
            self._writer.close()
            with suppress(ConnectionError, ssl.SSLError, TimeoutError):
                await self._writer.wait_closed()

    async def _read(self, idle_timeout: float) -> None:
        try:
            while chunk := await self._chunk(idle_timeout):
                await self._take(chunk)
                if self._framer.junk - self._junk_before > _CHUNK:
                    await self._broken(_no_frames())
                    return
        except BodyTooLarge as failure:
            await self._broken(failure)
            return
        if self._framer.pending:
            await self._broken(_cut_short())
        elif self._framer.junk and not self._heard:
            await self._broken(_no_frames())

    async def _broken(self, failure: Failure) -> None:
        peer = self._writer.get_extra_info("peername") or ("",)
        await self._intake.broken(failure, self._framer.partial, str(peer[0]))

    async def _chunk(self, idle_timeout: float) -> bytes:
        """Return what has arrived; b'' when the peer is gone, or silent with nothing owed to it."""
        while True:
            try:
                async with asyncio.timeout(idle_timeout):
                    return await self._reader.read(_CHUNK)
            except TimeoutError:
                if not self._in_hand:
                    return b""
            except OSError:  # reset by the peer, or a broken TLS record: the end of the stream
                return b""

    async def _take(self, chunk: bytes) -> None:
        while messages := self._framer.feed(chunk):
            chunk = b""
            self._heard = True
            self._junk_before = self._framer.junk
            for message in messages:
                await self._room.acquire()
                self._in_hand.append(asyncio.create_task(self._accepted(message)))
                self._changed.set()

    async def _accepted(self, message: bytes) -> bytes | None:
        """Take one message as a call of its own: what is recorded and logged of it has one id."""
        CALL.set(RequestFacts(correlation_id=secrets.token_hex(16), policy=self._policy))
        return await self._intake.accept(message, "mllp")

    async def _answer_in_order(self, reading: "asyncio.Task[None]") -> None:
        while True:
            while self._in_hand:
                answer = await self._in_hand[0]
                if answer is not None:
                    await self._send(frame(answer))
                self._in_hand.popleft()
                self._room.release()
            if reading.done():
                if not reading.cancelled():
                    reading.result()
                return
            self._changed.clear()
            await self._changed.wait()

    async def _send(self, answer: bytes) -> None:
        """Write an answer; a peer that is gone will send again and get the kept one."""
        with suppress(ConnectionError):
            self._writer.write(answer)
            await self._writer.drain()


def _no_frames() -> MalformedMessage:
    return MalformedMessage(
        "no MLLP frame in what the peer sends",
        expected="0x0B and a message",
        fix="set the sender to MLLP framing; nothing else speaks at this port",
    )


def _cut_short() -> MalformedMessage:
    return MalformedMessage(
        "the connection ended or fell silent inside a frame",
        expected="0x1C 0x0D after the message",
        fix="none: nothing was acknowledged, so the sender sends the message again",
    )
