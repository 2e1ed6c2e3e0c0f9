"""Reads key sets at addresses that others named: https, public, small, soon."""

import asyncio
from http import HTTPStatus

import httpx

from canonical.errors import UpstreamRefused, UpstreamUnavailable


class KeyAddresses:
    """Reads one address at a time; `http` decides which addresses may be connected to."""

    def __init__(self, http: httpx.AsyncClient, seconds: float) -> None:
        self._http = http
        self._seconds = seconds

    async def read(self, address: str) -> bytes:
        """Return what is there; raises an `UpstreamFailure` where nothing can be had."""
        if not address.startswith("https://"):
            raise UpstreamRefused("keys are read over https only")
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._http.get(address, headers={"accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, PermissionError) as exc:
            raise UpstreamUnavailable(f"the key set cannot be read: {type(exc).__name__}") from exc
        if answer.status_code != HTTPStatus.OK:
            raise UpstreamRefused(f"the key set is answered with {answer.status_code}")
        return answer.content
