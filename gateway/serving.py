"""The HTTP sockets of a gateway: granian, behind our own TLS door where callers show theirs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server as Granian
from litestar.types import ASGIApp

from gateway.app import Parts, create_app
from gateway.config import Server, Tls
from gateway.ports import free_port
from gateway.tls import watched
from gateway.tls_door import INNER_HOST, PROTOCOLS, TlsDoor


@asynccontextmanager
async def serving(parts: Parts) -> AsyncGenerator[None]:
    """Serve HTTP, or HTTPS where there is a certificate, until leaving."""
    server, app = parts.config.server, create_app(parts)
    async with watched(server.tls, PROTOCOLS) as files:
        if files is None or not files.asks_callers:
            async with _http(app, server, server.host, server.port, server.tls) as granian:
                if files is not None:
                    files.when_changed = granian.reload
                yield
            return
        inner = free_port(INNER_HOST, 0)
        door = TlsDoor(files, inner)
        async with _http(door.around(app), server, INNER_HOST, inner):
            await door.start(server.host, server.port)
            try:
                yield
            finally:
                door.close()
        await door.stop()


@asynccontextmanager
async def _http(
    app: ASGIApp, server: Server, host: str, port: int, tls: Tls | None = None
) -> AsyncGenerator[Granian]:
    granian = Granian(
        app,
        address=host,
        port=port,
        # With TLS it begins again with each new certificate; the application does not.
        interface=Interfaces.ASGINL if tls else Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
        ssl_cert=Path(tls.certificate) if tls else None,
        ssl_key=Path(tls.key) if tls else None,
        ssl_protocol_min=SSLProtocols.tls13 if tls and tls.minimum == "1.3" else SSLProtocols.tls12,
        http=HTTPModes.http1,  # who may also speak HTTP/2 has no time limit for the first bytes
        http1_settings=HTTP1Settings(
            header_read_timeout=round(server.header_seconds * 1000),
            max_buffer_size=server.header_bytes,
        ),
    )
    serving = asyncio.create_task(granian.serve(), name="http")
    await _answering(host, port, serving)
    try:
        yield granian
    finally:
        granian.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait({serving}, timeout=10)


async def _answering(host: str, port: int, serving: "asyncio.Task[None]") -> None:
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return
    await serving
