"""No calls to an upstream that is down: it gets time to recover, and callers an answer at once.

Order: inside retry, outside timeout. One transport is one upstream, and has one circuit.
"""

import time
from collections.abc import Callable

import httpx
import msgspec

from canonical.errors import UpstreamUnavailable


class CircuitBreaker(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="circuit-breaker",
):
    """Open after `failures` in a row (no answer, or a 5xx) and refuse calls for `open_seconds`.

    Then one call goes through as a trial: the circuit closes when it succeeds and stays open when
    it fails.
    """

    failures: int = 5
    open_seconds: float = 15.0

    def __call__(
        self,
        transport: httpx.AsyncBaseTransport,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> "GuardedTransport":
        return GuardedTransport(transport, self, monotonic)


class GuardedTransport(httpx.AsyncBaseTransport):
    """A transport with its circuit."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        policy: CircuitBreaker,
        monotonic: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._policy = policy
        self._monotonic = monotonic
        self._in_a_row = 0
        self._open_until = 0.0
        self._trial = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused at the moment."""
        return self._in_a_row >= self._policy.failures

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_open = self.is_open
        if is_open:
            self._refuse_unless_trial()
        self._trial = is_open
        succeeded: bool | None = None  # a cancelled call proves nothing
        try:
            response = await self._transport.handle_async_request(request)
            succeeded = response.status_code < httpx.codes.INTERNAL_SERVER_ERROR
        except httpx.TransportError:
            succeeded = False
            raise
        finally:
            if is_open:
                self._trial = False
            self._count(succeeded=succeeded)
        return response

    def _refuse_unless_trial(self) -> None:
        left = self._open_until - self._monotonic()
        if left > 0 or self._trial:
            refused = UpstreamUnavailable(
                f"{self._policy.failures} calls in a row failed; no more are made for a while",
                retry_after=max(1.0, left),
            )
            refused.counts_as_a_try = False
            raise refused

    def _count(self, *, succeeded: bool | None) -> None:
        if succeeded:
            self._in_a_row = 0
        elif succeeded is False:
            self._in_a_row += 1
            if self._in_a_row >= self._policy.failures:
                self._open_until = self._monotonic() + self._policy.open_seconds

    async def aclose(self) -> None:
        await self._transport.aclose()
