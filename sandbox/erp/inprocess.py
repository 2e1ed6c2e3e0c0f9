"""Reach a simulated system without a socket, and still see a connection that breaks."""

import asyncio

import httpx
from starlette.types import ASGIApp, Message


class InProcess(httpx.AsyncBaseTransport):
    """An httpx transport onto an ASGI app; an unfinished answer is `RemoteProtocolError`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Run the app for one request."""
        body = await request.aread()
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            await asyncio.sleep(0)
            sent.append(message)

        await self._app(_scope(request), receive, send)
        if not sent or sent[-1].get("more_body", False):
            raise httpx.RemoteProtocolError("peer closed connection without a complete answer")
        return httpx.Response(
            sent[0]["status"],
            headers=sent[0]["headers"],
            content=b"".join(message.get("body", b"") for message in sent[1:]),
        )


def _scope(request: httpx.Request) -> dict[str, object]:
    raw_path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port or 80),
        "client": ("127.0.0.1", 50000),
    }


def client(app: ASGIApp, user: str = "GATEWAY", password: str = "sandbox") -> httpx.AsyncClient:  # noqa: S107  a test value of a system in memory
    """Return a client as the gateway would be given one: address, credentials, cookie jar."""
    return httpx.AsyncClient(transport=InProcess(app), base_url="http://erp", auth=(user, password))
