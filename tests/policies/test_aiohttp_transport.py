import asyncio
import gzip
import socket
from contextlib import asynccontextmanager

import httpx
import pytest

from policies.aiohttp_transport import AiohttpTransport


@asynccontextmanager
async def upstream(answer):
    """Serve raw HTTP: `answer` takes the request's bytes and returns bytes, or None to hang up."""
    requests = []

    async def serve(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line[15:])
                    for line in head.lower().split(b"\r\n")
                    if b"content-length" in line
                ),
                0,
            )
            request = head + await reader.readexactly(length)
            requests.append(request)
            said = answer(request)
            if asyncio.iscoroutine(said):
                said = await said
            writer.write(said or b"")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", requests
    finally:
        server.close()
        await server.wait_closed()


def http(body=b"", status=b"200 OK", **headers):
    lines = b"".join(b"%b: %b\r\n" % (k.encode(), v.encode()) for k, v in headers.items())
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + lines + length + b"\r\n" + body


@asynccontextmanager
async def client(**settings):
    async with httpx.AsyncClient(transport=AiohttpTransport(**settings)) as opened:
        yield opened


async def test_a_call_arrives_and_its_answer_comes_back_as_httpx_knows_them():
    def answer(_):
        return http(
            b'{"ok":true}', b"201 Made", **{"Content-Type": "application/json", "ETag": "1"}
        )

    async with upstream(answer) as (url, requests), client() as http_client:
        response = await http_client.post(
            f"{url}/a%2Fb?q=x%20y", content=b"order", headers={"Idempotency-Key": "k1"}
        )
    assert response.status_code == 201
    assert response.reason_phrase == "Made"
    assert response.json() == {"ok": True}
    assert response.headers["etag"] == "1"
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a%2Fb?q=x%20y HTTP/1.1")
    assert b"Idempotency-Key: k1" in head
    assert body == b"order"
    names = [line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert len(names) == len(set(names))


async def test_cookies_of_one_caller_never_reach_the_next_and_explicit_ones_are_sent():
    def answer(_):
        return http(**{"Set-Cookie": "session=someone; Path=/"})

    transport = AiohttpTransport()
    first, second = (httpx.AsyncClient(transport=transport) for _ in range(2))
    async with upstream(answer) as (url, requests), first:
        assert (await first.get(url)).cookies["session"] == "someone"
        await second.get(url)
        second.cookies.clear()
        await second.get(url, headers={"Cookie": "session=mine"})
    assert b"cookie" not in requests[1].lower()
    assert b"cookie: session=mine" in requests[2].lower()


async def test_a_redirect_is_left_to_the_caller():
    def answer(_):
        return http(b"", b"302 Found", Location="/x")

    async with upstream(answer) as (url, requests), client() as http_client:
        assert (await http_client.get(url)).status_code == 302
    assert len(requests) == 1


async def test_a_compressed_answer_is_unpacked_once():
    def answer(_):
        return http(gzip.compress(b"stock"), **{"Content-Encoding": "gzip"})

    async with upstream(answer) as (url, _), client() as http_client:
        assert (await http_client.get(url)).text == "stock"


async def test_a_streamed_body_arrives_with_its_length():
    async def body():
        yield b"one "
        yield b"order"

    async with upstream(lambda _: http(b"ok")) as (url, requests), client() as http_client:
        assert (await http_client.post(url, content=body())).text == "ok"
    assert requests[0].endswith(b"\r\n\r\none order")
    assert b"chunked" not in requests[0].lower()


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def too_slow():
    await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (lambda _: None, httpx.RemoteProtocolError),
        (lambda _: b"garbage\r\n\r\n", httpx.RemoteProtocolError),
        (lambda _: http(b"whole")[:-3], httpx.RemoteProtocolError),
        (lambda _: too_slow(), httpx.ReadTimeout),
    ],
    ids=["hangs up", "no HTTP", "ends early", "too slow"],
)
async def test_what_goes_wrong_on_the_way_is_said_in_httpx_words(answer, failure):
    async with upstream(answer) as (url, _), client() as http_client:
        with pytest.raises(failure) as failed:
            await http_client.post(url, timeout=0.1)
    assert failed.value.request.method == "POST"


async def test_nobody_there_is_a_connect_error():
    async with client() as http_client:
        with pytest.raises(httpx.ConnectError):
            await http_client.get(f"http://127.0.0.1:{closed_port()}/")


async def test_a_full_pool_is_a_call_that_never_left():
    async with upstream(lambda _: too_slow()) as (url, requests), client(connections=1) as narrow:
        first = asyncio.create_task(narrow.post(url, timeout=2))
        await asyncio.sleep(0.05)
        with pytest.raises(httpx.ConnectTimeout):
            await narrow.post(url, timeout=0.05)
        with pytest.raises(httpx.RemoteProtocolError):
            await first
    assert len(requests) == 1


async def test_an_answer_without_end_is_cut_off():
    def answer(_):
        return http(b"x" * 5000)

    async with upstream(answer) as (url, _), client(longest_body=1000) as careful:
        with pytest.raises(httpx.RemoteProtocolError, match="longer"):
            await careful.get(url)


async def test_the_pool_is_opened_by_the_first_call_and_closing_it_twice_is_once():
    transport = AiohttpTransport()
    await transport.aclose()
    first = httpx.AsyncClient(transport=transport)
    async with upstream(lambda _: http(b"ok")) as (url, _), first:
        assert (await first.get(url)).text == "ok"
    await transport.aclose()
