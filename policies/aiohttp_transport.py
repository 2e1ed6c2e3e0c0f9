"""The httpx interface over aiohttp's connections: flat cost under concurrency, where httpx's own
pool grows with the square of its size (measured; see the bench).

aiohttp keeps no cookies here: one caller's would be replayed to the next. A Cookie header that the
caller sets itself is sent.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
from yarl import URL

_OWN_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""aiohttp would add these; httpx has decided about them already."""

_MEANING: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ClientSSLError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientOSError, httpx.ReadError),
    (aiohttp.ClientError, httpx.NetworkError),
)
"""First match wins: the special before the general."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends each request over one pool of `connections`; answers are read whole. `sockets` makes
    the socket of an address, or refuses it.
    """

    def __init__(
        self,
        *,
        connections: int = 64,
        tls: ssl.SSLContext | None = None,
        longest_body: int = 67_108_864,
        sockets: Callable[[Any], socket.socket] | None = None,
    ) -> None:
        self._connections = connections
        self._tls = tls
        self._longest_body = longest_body
        self._sockets = sockets
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._exchanged(request)
        except (aiohttp.ClientError, TimeoutError) as exc:
            meaning = next(meaning for kind, meaning in _MEANING if isinstance(exc, kind))
            raise meaning(type(exc).__name__, request=request) from exc

    async def _exchanged(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in request.headers.raw
            if name.lower() != b"transfer-encoding"  # the body is whole: aiohttp sends its length
        ]
        async with self._opened().request(
            request.method,
            URL(str(request.url), encoded=True),
            headers=headers,
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=_OWN_HEADERS,
            timeout=_timeout(request),
        ) as answer:
            content = await self._whole(answer, request)
            return httpx.Response(
                answer.status,
                headers=list(answer.raw_headers),
                stream=httpx.ByteStream(content),
                request=request,
                extensions={
                    "http_version": b"HTTP/1.1",
                    "reason_phrase": (answer.reason or "").encode("latin-1", "replace"),
                },
            )

    async def _whole(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> bytes:
        parts: list[bytes] = []
        length = 0
        async for part in answer.content.iter_any():
            length += len(part)
            if length > self._longest_body:
                raise httpx.RemoteProtocolError(
                    f"the answer is longer than {self._longest_body} bytes", request=request
                )
            parts.append(part)
        return b"".join(parts)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:  # made on first use: it belongs to the running loop
            connector = aiohttp.TCPConnector(
                limit=self._connections,
                ssl=True if self._tls is None else self._tls,
                socket_factory=self._sockets,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _timeout(request: httpx.Request) -> aiohttp.ClientTimeout:
    given: dict[str, float | None] = request.extensions.get("timeout", {})
    connect, pool = given.get("connect"), given.get("pool")
    waiting = None if connect is None or pool is None else connect + pool
    return aiohttp.ClientTimeout(
        total=None, connect=waiting, sock_connect=connect, sock_read=given.get("read")
    )
