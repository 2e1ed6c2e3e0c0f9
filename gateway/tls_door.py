"""HTTPS with the caller's certificate, which our HTTP server does not pass on (decision 0033).

TLS ends here, in the same process, and the bytes go on unread to the HTTP server, by a connection
of our own for each one that comes in. So the address that the HTTP server reports of a call, our
end of that connection, says which caller it is. Whoever reaches that server by another way is
refused: nobody but this door knows who they are.

An entry lives until the HTTP server has closed its end, so that no call can meet the entry of
another connection.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.tls import TlsFiles
from policies.oauth.certificates import SHOWN

INNER_HOST = "127.0.0.1"
PROTOCOLS = ("http/1.1",)
_HANDSHAKE = 10.0
_PARTING = 30.0
"""Seconds that the HTTP server has to end its side when the caller has gone."""

Address = tuple[str, int]


class Peer(NamedTuple):
    """Who is at the other end: address, and certificate (DER), checked in the handshake."""

    address: Address
    certificate: bytes | None


class TlsDoor:
    """Listens for callers, and knows who they are."""

    def __init__(self, files: TlsFiles, inner_port: int) -> None:
        self._files = files
        self._inner_port = inner_port
        self._peers: dict[Address, Peer] = {}
        self._open: set[_Outside] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Begin to listen; a port that is taken raises `OSError`."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Outside(self),
            host,
            port,
            ssl=self._files.context,
            ssl_handshake_timeout=_HANDSHAKE,
            backlog=1024,
        )

    def close(self) -> None:
        """Take no more callers."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """Part from whoever is still there."""
        for outside in tuple(self._open):
            outside.abort()
        if self._server is not None:
            self.close()
            await self._server.wait_closed()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Tell the application who really calls."""

        async def behind_the_door(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            found = scope["client"]
            # The HTTP server says the port as text.
            peer = self._peers.get((found[0], int(found[1]))) if found else None
            if peer is None:
                await _refuse(send)
                return
            scope["client"], scope["scheme"] = peer.address, "https"
            scope["state"][SHOWN] = peer.certificate
            await app(scope, receive, send)

        return behind_the_door

    async def joined(self, outside: "_Outside", peer: Peer) -> "_Inside":
        """Connect to the HTTP server, and know the caller by that connection."""
        _, inside = await asyncio.get_running_loop().create_connection(
            lambda: _Inside(outside), INNER_HOST, self._inner_port
        )
        address = inside.address()
        self._peers[address] = peer
        self._open.add(outside)
        inside.when_lost = lambda: self._forget(address, outside)
        return inside

    def _forget(self, address: Address, outside: "_Outside") -> None:
        self._peers.pop(address, None)
        self._open.discard(outside)


class _Side(asyncio.Protocol):
    """One end of a caller's way; what it cannot take, the other end does not read."""

    def __init__(self) -> None:
        self.other: _Side | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise ConnectionError("not connected")
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class _Outside(_Side):
    """The caller's end."""

    def __init__(self, door: TlsDoor) -> None:
        super().__init__()
        self._door = door
        self._joining: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self._joining = asyncio.get_running_loop().create_task(self._join())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if isinstance(self.other, _Inside):
            self.other.part()

    def abort(self) -> None:
        self.transport.abort()
        if self.other is not None:
            self.other.transport.abort()

    async def _join(self) -> None:
        told = self.transport.get_extra_info("peername")
        shown = self.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        try:
            inside = await self._door.joined(self, Peer((str(told[0]), int(told[1])), shown))
        except OSError:
            self.transport.abort()
            return
        self.other = inside
        if self.transport.is_closing():
            inside.part()
        else:
            self.transport.resume_reading()


class _Inside(_Side):
    """The end of the HTTP server."""

    def __init__(self, outside: _Outside) -> None:
        super().__init__()
        self.other = outside
        self.when_lost: Callable[[], None] = _nothing
        self._parting: asyncio.TimerHandle | None = None

    def address(self) -> Address:
        host, port = self.transport.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def part(self) -> None:
        """Say that the caller has gone, and wait for the HTTP server to end its side."""
        if self.transport.is_closing() or self._parting is not None:
            return
        self.transport.resume_reading()
        self.transport.write_eof()
        loop = asyncio.get_running_loop()
        self._parting = loop.call_later(_PARTING, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if self._parting is not None:
            self._parting.cancel()
        self.when_lost()
        if self.other is not None:
            self.other.transport.close()


def _nothing() -> None:
    """Not joined yet."""


async def _refuse(send: Send) -> None:
    """Answer who came round the door: with nothing, as there is nobody to record."""
    await send(
        {
            "type": "http.response.start",
            "status": HTTPStatus.MISDIRECTED_REQUEST,
            "headers": [(b"content-length", b"0")],
        }
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})
