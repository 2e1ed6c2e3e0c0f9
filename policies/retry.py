"""A second try where it can do no harm.

A call that may have been carried out is only repeated when its method says that repeating is the
same as calling once (RFC 9110 9.2.2). Any call is repeated when it never left: no connection was
made. A flow that posts reads before it posts again; that decision is not taken here.

Order: outermost, around circuit-breaker and timeout.
"""

import asyncio
import email.utils
from secrets import SystemRandom

import httpx
import msgspec

from canonical.clock import Clock, utc_now

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_WORTH_REPEATING = frozenset({429, 502, 503, 504})
_random = SystemRandom()


class Retry(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="retry",
):
    """Try up to `attempts` times, waiting longer each time, with full jitter.

    A Retry-After of the upstream is obeyed up to `longest_delay_seconds`; when it asks for more,
    its answer is passed on and the caller decides. `methods` are those that may be repeated.
    """

    attempts: int = 3
    first_delay_seconds: float = 0.1
    longest_delay_seconds: float = 5.0
    methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS")

    def __call__(
        self, transport: httpx.AsyncBaseTransport, clock: Clock = utc_now
    ) -> httpx.AsyncBaseTransport:
        return transport if self.attempts <= 1 else _RetryingTransport(transport, self, clock)


class _RetryingTransport(httpx.AsyncBaseTransport):
    def __init__(self, transport: httpx.AsyncBaseTransport, policy: Retry, clock: Clock) -> None:
        self._transport = transport
        self._policy = policy
        self._clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()  # a body that is read once can be sent twice
        attempts = self._policy.attempts
        for attempt in range(1, attempts):
            delay = await self._tried(request, attempt)
            if isinstance(delay, httpx.Response):
                return delay
            await asyncio.sleep(delay)
        return await self._transport.handle_async_request(request)

    async def _tried(self, request: httpx.Request, attempt: int) -> httpx.Response | float:
        """Return the answer, or the seconds to wait before the next try."""
        repeatable = request.method in self._policy.methods
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError as exc:
            if repeatable or isinstance(exc, _NEVER_SENT):
                return self._jitter(attempt)
            raise
        if not repeatable or response.status_code not in _WORTH_REPEATING:
            return response
        asked = _retry_after(response, self._clock)
        if asked is not None and asked > self._policy.longest_delay_seconds:
            return response
        await response.aclose()
        return self._jitter(attempt) if asked is None else asked

    def _jitter(self, attempt: int) -> float:
        most = self._policy.first_delay_seconds * 2 ** (attempt - 1)
        return _random.uniform(0, min(most, self._policy.longest_delay_seconds))

    async def aclose(self) -> None:
        await self._transport.aclose()


def _retry_after(response: httpx.Response, clock: Clock) -> float | None:
    """Read Retry-After (RFC 9110 10.2.3): seconds or a date; None when there is none to read."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        until = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return None
    if until.tzinfo is None:
        return None
    return max(0.0, (until - clock()).total_seconds())
