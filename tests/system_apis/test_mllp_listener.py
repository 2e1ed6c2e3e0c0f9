"""The MLLP listener over real sockets: order, back-pressure, broken peers, graceful stop."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager

import pytest

from canonical.errors import Failure
from standards.hl7v2.frames import Framer, frame
from system_apis.ehr.hl7v2_feed.listener import MllpListener


class Echo:
    """An intake that answers with the message itself, as slowly as told."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.ended: list[bytes] = []
        self.reported: list[tuple[str, bytes]] = []
        self.delay: Callable[[bytes], float] = lambda _: 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def accept(self, raw: bytes, channel: str) -> bytes | None:
        assert channel == "mllp"
        self.begun.append(raw)
        await self.gate.wait()
        await asyncio.sleep(self.delay(raw))
        self.ended.append(raw)
        return None if raw == b"silent" else b"re:" + raw

    async def broken(self, failure: Failure, partial: bytes, peer: str) -> None:
        assert peer == "127.0.0.1"
        self.reported.append((failure.slug, partial))


@asynccontextmanager
async def listening(echo: Echo, **settings):
    listener = MllpListener(echo, "127.0.0.1", 0, **settings)
    port = await listener.start()
    try:
        yield listener, port
    finally:
        await listener.stop(grace=2)


@asynccontextmanager
async def connected(port: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answers(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    framer, found = Framer(), []
    async with asyncio.timeout(5):
        while len(found) < count:
            chunk = await reader.read(65536)
            assert chunk, f"closed after {len(found)} answers"
            found += framer.feed(chunk)
    return found


async def closed(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(5):
        while await reader.read(65536):
            pass


async def settled(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_messages_on_one_connection_are_answered_one_by_one():
    async with listening(Echo()) as (_, port), connected(port) as (reader, writer):
        for number in range(3):
            writer.write(frame(b"m%d" % number))
            assert await answers(reader, 1) == [b"re:m%d" % number]


async def test_answers_keep_the_order_of_the_frames():
    echo = Echo()
    echo.delay = lambda raw: 0.05 if raw == b"m0" else 0
    messages = [b"m%d" % number for number in range(50)]
    async with listening(echo) as (_, port), connected(port) as (reader, writer):
        writer.write(b"".join(map(frame, messages)))
        assert await answers(reader, 50) == [b"re:" + one for one in messages]
    assert echo.begun == messages


async def test_one_byte_at_a_time_is_one_message():
    async with listening(Echo()) as (_, port), connected(port) as (reader, writer):
        for byte in b"junk" + frame("Grüße".encode("latin-1")):
            writer.write(bytes([byte]))
            await writer.drain()
        assert await answers(reader, 1) == [b"re:" + "Grüße".encode("latin-1")]


async def test_a_message_that_wants_no_answer_does_not_hold_up_the_next():
    async with listening(Echo()) as (_, port), connected(port) as (reader, writer):
        writer.write(frame(b"silent") + frame(b"loud"))
        assert await answers(reader, 1) == [b"re:loud"]


async def test_a_flood_is_begun_only_as_far_as_there_is_room():
    echo = Echo()
    echo.gate.clear()
    async with listening(echo) as (_, port), connected(port) as (reader, writer):
        writer.write(frame(b"x") * 500)
        await settled(lambda: len(echo.begun) >= 64)
        await asyncio.sleep(0.05)
        assert len(echo.begun) == 64
        echo.gate.set()
        assert len(await answers(reader, 500)) == 500


async def test_a_slow_peer_does_not_hold_up_another():
    echo = Echo()
    echo.delay = lambda raw: 5 if raw == b"slow" else 0
    async with listening(echo) as (_, port), connected(port) as (_, slow):
        slow.write(frame(b"slow"))
        async with connected(port) as (reader, writer):
            writer.write(frame(b"fast"))
            assert await answers(reader, 1) == [b"re:fast"]


async def test_a_frame_cut_off_by_the_peer_is_reported():
    echo = Echo()
    async with listening(echo) as (_, port):
        async with connected(port) as (reader, writer):
            writer.write(frame(b"whole") + b"\x0bhalf a mess")
            writer.write_eof()
            assert await answers(reader, 1) == [b"re:whole"]
            await closed(reader)
        await settled(lambda: echo.reported)
    assert echo.reported == [("malformed-message", b"half a mess")]


async def test_an_oversize_frame_ends_the_connection_after_the_answers_due():
    echo = Echo()
    async with listening(echo, max_frame=1000) as (_, port), connected(port) as (reader, writer):
        writer.write(frame(b"small") + b"\x0b" + b"x" * 2000)
        assert await answers(reader, 1) == [b"re:small"]
        await closed(reader)
        assert echo.reported == [("body-too-large", b"x" * 2000)]
        async with connected(port) as (again, other):
            other.write(frame(b"still here"))
            assert await answers(again, 1) == [b"re:still here"]


async def test_endless_junk_ends_the_connection():
    echo = Echo()
    async with listening(echo) as (_, port), connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" * 8000)
        await closed(reader)
    assert echo.reported == [("malformed-message", b"")]


async def test_a_silent_peer_is_let_go_and_one_that_waits_is_not():
    echo = Echo()
    echo.delay = lambda _: 0.3
    async with listening(echo, idle_timeout=0.1) as (_, port):
        async with connected(port) as (reader, _):
            await closed(reader)
        async with connected(port) as (reader, writer):
            writer.write(frame(b"patience"))
            assert await answers(reader, 1) == [b"re:patience"]
            await closed(reader)
        async with connected(port) as (reader, writer):
            writer.write(b"\x0bhalf")
            await closed(reader)
    assert echo.reported == [("malformed-message", b"half")]


async def test_a_peer_that_leaves_before_its_answer_does_no_harm():
    echo = Echo()
    echo.delay = lambda _: 0.05
    async with listening(echo) as (_, port):
        async with connected(port) as (_, writer):
            writer.write(frame(b"a") + frame(b"b"))
            await settled(lambda: echo.begun)
            writer.transport.abort()
        await settled(lambda: len(echo.ended) == 2)
        async with connected(port) as (reader, writer):
            writer.write(frame(b"next"))
            assert await answers(reader, 1) == [b"re:next"]


async def test_stopping_answers_what_is_in_hand_and_takes_no_more():
    echo = Echo()
    echo.gate.clear()
    async with listening(echo) as (listener, port), connected(port) as (reader, writer):
        writer.write(frame(b"in hand") + b"\x0bhalf")
        await settled(lambda: echo.begun)
        stopping = asyncio.create_task(listener.stop())
        await asyncio.sleep(0.02)
        writer.write(b" more\x1c\r")
        echo.gate.set()
        assert await answers(reader, 1) == [b"re:in hand"]
        await closed(reader)
        await stopping
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection("127.0.0.1", port)
    assert echo.ended == [b"in hand"]
    assert echo.reported == []


async def test_stopping_does_not_wait_for_ever():
    echo = Echo()
    echo.gate.clear()
    async with listening(echo) as (listener, port), connected(port) as (reader, writer):
        writer.write(frame(b"stuck"))
        await settled(lambda: echo.begun)
        await listener.stop(grace=0.05)
        await closed(reader)


async def test_a_port_that_is_taken_is_an_error():
    async with listening(Echo()) as (_, port):
        with pytest.raises(OSError, match=r"."):
            await MllpListener(Echo(), "127.0.0.1", port).start()


async def test_stopping_twice_or_before_starting_is_harmless():
    listener = MllpListener(Echo(), "127.0.0.1", 0)
    await listener.stop()
    await listener.start()
    await listener.stop()
    await listener.stop()
