"""How long an upstream may take, from the first attempt to connect to the last byte.

Order: innermost, right around the transport, so that each try of `retry` has its own time.
"""

import asyncio

import httpx
import msgspec


class Timeout(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="timeout",
):
    """Give up after `seconds` in all, or `connect_seconds` without a connection.

    The answer is read to its end within that time: a body that trickles is as late as one that
    never starts.
    """

    seconds: float = 10.0
    connect_seconds: float = 3.0

    def __call__(self, transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        return _TimedTransport(transport, self)


class _TimedTransport(httpx.AsyncBaseTransport):
    def __init__(self, transport: httpx.AsyncBaseTransport, policy: Timeout) -> None:
        self._transport = transport
        self._seconds = policy.seconds
        limits = httpx.Timeout(policy.seconds, connect=policy.connect_seconds)
        self._extension = limits.as_dict()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "timeout": self._extension}
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._transport.handle_async_request(request)
                await response.aread()
        except TimeoutError as exc:
            raise httpx.ReadTimeout(f"no answer in {self._seconds:g} s", request=request) from exc
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()
