"""Who sends slowly gets no place for long: header fields, bodies, connections that say nothing."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.config import Config
from gateway.runtime import Stores, running_gateway
from policies.body_time import BodyTime

HEAD = (
    b"POST /oauth/token HTTP/1.1\r\nHost: gateway\r\nContent-Length: 29\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
)
FORM = b"grant_type=client_credentials"


@pytest.fixture
async def port(config: Config, stores: Stores) -> AsyncIterator[int]:
    """A gateway that waits for half a second."""
    hasty = msgspec.structs.replace(
        config,
        server=msgspec.structs.replace(config.server, header_seconds=0.5),
        pipeline=tuple(
            BodyTime(seconds=0.5) if isinstance(policy, BodyTime) else policy
            for policy in config.pipeline
        ),
    )
    async with running_gateway(hasty, ["api"], stores=stores) as running:
        yield int(running.url.rpartition(":")[2])


async def told(port: int, *parts: bytes) -> bytes:
    """Send these parts, wait between them, and read until the gateway closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def test_a_connection_on_which_nothing_comes_is_closed(port: int):
    assert await told(port) == b""


@pytest.mark.parametrize("head", [b"G", b"GET /health/live HTTP/1.1\r\nHo", HEAD[:-2]])
async def test_header_fields_that_do_not_end_are_not_waited_for(port: int, head: bytes):
    assert await told(port, head) == b""


async def test_a_connection_that_is_kept_open_for_nothing_is_closed(port: int):
    answer = await told(port, b"GET /health/live HTTP/1.1\r\nHost: gateway\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("arrived", [b"", FORM[:5], FORM[:-1]])
async def test_a_body_that_does_not_end_is_refused_and_its_connection_closed(
    port: int, arrived: bytes
):
    answer = await told(port, HEAD, arrived)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"slow-request" in answer
    assert b"connection: close" in answer.lower()


async def test_chunks_that_do_not_end_are_refused(port: int):
    head = HEAD.replace(b"Content-Length: 29", b"Transfer-Encoding: chunked")
    assert (await told(port, head, b"5\r\ngrant\r\n")).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_is_there_in_time_is_taken(port: int):
    answer = await told(port, HEAD.replace(b"Host", b"Connection: close\r\nHost"), FORM)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"invalid_client" in answer


async def test_who_hangs_up_in_the_middle_of_a_body_holds_up_nobody(port: int):
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + FORM[:5])
    await writer.drain()
    writer.close()
    answer = await told(port, HEAD.replace(b"Host", b"Connection: close\r\nHost"), FORM)
    assert answer.startswith(b"HTTP/1.1 401 ")
