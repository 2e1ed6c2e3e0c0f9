"""How often one may call: GCRA (ITU-T I.371, annex A) in Valkey, exact across all processes.

A key holds one number, the theoretical arrival time, in microseconds of the server's own clock. One
script reads, decides and writes it atomically. All calls of one turn of the event loop travel in
one pipeline.

Order: twice, if wanted. With `counts = "refused-tokens"` outside bearer-token, so that guessing
tokens is limited by address; with `counts = "calls"` inside it, so that calls count by client.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Sequence
from typing import Literal

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from canonical.errors import LimiterUnavailable, TooManyRequests, Unauthenticated
from policies.edge import Edge, Header, Pace, Verdict, facts_of, response_headers

_log = logging.getLogger("suture.limiter")
_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local arrival = tonumber(redis.call('GET', KEYS[1]) or '0')
if arrival < now then arrival = now end
local next_arrival = arrival + cost * interval
local early = next_arrival - burst * interval - now
if early > 0 then
  return {0, math.floor((burst * interval - (arrival - now)) / interval), early, arrival - now}
end
redis.call('SET', KEYS[1], string.format('%.0f', next_arrival),
  'PX', math.ceil((next_arrival - now) / 1000) + 1)
return {1, math.floor(-early / interval), 0, next_arrival - now}
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_PAUSE = 0.2
"""Seconds for which nobody is sent to a server that just failed."""

_Hit = tuple[str, Pace, int, "asyncio.Future[Verdict]"]


class Gcra:
    """The limiter. Calling it spends `cost` from `key` at `pace`, if that much is left."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Hit] = []
        self._flushing: asyncio.Task[None] | None = None
        self._paused_until = 0.0

    async def __call__(self, key: str, pace: Pace, cost: int = 1) -> Verdict:
        loop = asyncio.get_running_loop()
        if loop.time() < self._paused_until:
            raise _unavailable()
        verdict: asyncio.Future[Verdict] = loop.create_future()
        self._waiting.append((key, pace, cost, verdict))
        if self._flushing is None:
            self._flushing = loop.create_task(self._flush())
        return await verdict

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _flush(self) -> None:
        await asyncio.sleep(0)  # let the other calls of this turn queue up
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._settle(batch)
        finally:
            self._flushing = None

    async def _settle(self, batch: list[_Hit]) -> None:
        try:
            answers = await self._answers(batch)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # A restarted or flushed server has forgotten the script; nothing was spent.
                await self._redis.script_load(_SCRIPT)  # pyright: ignore[reportUnknownMemberType]
                answers = await self._answers(batch)
        except (RedisError, OSError) as exc:
            _log.warning("the rate limiter is unavailable: %s", type(exc).__name__)
            self._paused_until = asyncio.get_running_loop().time() + _PAUSE
            answers = [exc] * len(batch)
        for (_, _, _, verdict), answer in zip(batch, answers, strict=True):
            if verdict.done():  # the caller has gone
                continue
            if isinstance(answer, Exception):
                verdict.set_exception(_unavailable())
            else:
                verdict.set_result(_verdict(answer))

    async def _answers(self, batch: list[_Hit]) -> Sequence[list[int] | Exception]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key, pace, cost, _ in batch:
                interval = max(1, int(pace.seconds * 1_000_000) // pace.limit)
                pipeline.evalsha(_SHA, 1, key, interval, pace.burst, cost)  # pyright: ignore[reportUnknownMemberType]
            answers: list[list[int] | Exception] = await pipeline.execute(raise_on_error=False)
        return answers


def gcra(url: str, timeout_seconds: float = 0.25) -> Gcra:
    """Return a limiter on the server at `url`. One that is silent for longer is unavailable."""
    redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 1),  # once: a restarted server closed our connection
    )
    return Gcra(redis)


def _verdict(answer: list[int]) -> Verdict:
    allowed, remaining, early, full = answer
    return Verdict(
        allowed=allowed == 1,
        remaining=max(0, remaining),
        retry_after=early / 1_000_000,
        full_after=full / 1_000_000,
    )


def _unavailable() -> LimiterUnavailable:
    return LimiterUnavailable("the rate limiter does not answer", retry_after=1)


class RateLimit(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
    tag_field="policy",
    tag="rate-limit",
):
    """Admit `limit` calls per `seconds` and client, at most `burst` at once (0: `limit` of them).

    A caller without a principal counts by address; `trusted_proxies` says how many proxies of our
    own stand in front, each of which adds an entry to X-Forwarded-For. When the limiter does not
    answer, calls are let through or refused, as `when_unavailable` says.
    """

    name: str
    limit: int
    seconds: float = 60.0
    burst: int = 0
    cost: int = 1
    counts: Literal["calls", "refused-tokens"] = "calls"
    when_unavailable: Literal["allow", "refuse"] = "allow"
    trusted_proxies: int = 0

    def __post_init__(self) -> None:
        if self.limit < 1 or self.seconds <= 0 or self.burst < 0:
            raise ValueError("limit and seconds are positive, burst is not negative")
        if not 1 <= self.cost <= (self.burst or self.limit):
            raise ValueError("cost is at least 1 and fits into the burst")
        if not self.name.isascii() or not self.name.replace("-", "").isalnum():
            raise ValueError("name has letters, digits and hyphens only")

    def __call__(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        if self.counts == "calls":
            return self._limit_calls(app, edge)
        return self._limit_refused_tokens(app, edge)

    def _limit_calls(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        async def rate_limit(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP:
                principal = facts_of(scope).principal
                who = f"client:{principal.client}" if principal else self._address(scope)
                await self._spend(scope, edge, who)
            await app(scope, receive, send)

        return rate_limit

    def _limit_refused_tokens(self, app: ASGIApp, edge: Edge) -> ASGIApp:
        async def rate_limit(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except Unauthenticated:
                if scope["type"] == ScopeType.HTTP:
                    await self._spend(scope, edge, self._address(scope))
                raise

        return rate_limit

    async def _spend(self, scope: Scope, edge: Edge, who: str) -> None:
        pace = Pace(limit=self.limit, seconds=self.seconds, burst=self.burst or self.limit)
        try:
            verdict = await edge.limiter(f"rate:{self.name}:{who}", pace, self.cost)
        except LimiterUnavailable:
            if self.when_unavailable == "refuse":
                raise
            return
        response_headers(scope).extend(self._headers(verdict))
        if not verdict.allowed:
            raise TooManyRequests(
                f"more than {self.limit} calls in {self.seconds:g} s",
                fix="wait as long as Retry-After says",
                retry_after=math.ceil(verdict.retry_after),
            )

    def _headers(self, verdict: Verdict) -> list[Header]:
        """Write the fields of draft-ietf-httpapi-ratelimit-headers-10."""
        left = f'"{self.name}";r={verdict.remaining};t={math.ceil(verdict.full_after)}'
        policy = f'"{self.name}";q={self.limit};w={math.ceil(self.seconds)}'
        return [(b"ratelimit", left.encode()), (b"ratelimit-policy", policy.encode())]

    def _address(self, scope: Scope) -> str:
        hops = self.trusted_proxies
        if hops:
            told = b",".join(v for name, v in scope["headers"] if name == b"x-forwarded-for")
            entries = [entry.strip() for entry in told.decode("latin-1").split(",")]
            if len(entries) >= hops and entries[-hops]:
                return f"address:{entries[-hops][:64]}"
        client = scope["client"]
        return f"address:{client[0] if client else 'unknown'}"
