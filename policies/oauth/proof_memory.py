"""Which proofs were seen, by all replicas together: in Valkey, for as long as a proof is taken.

What Valkey forgets, when it is restarted or emptied, could be sent again. So the memory has an
epoch: when it began, and a key that nonces are made with. Who remembers only from a moment ago asks
for a nonce of that epoch, which no older proof can carry.

All claims of one turn of the event loop travel in one pipeline.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from canonical.errors import StoreUnavailable

_log = logging.getLogger("suture.proofs")
_SCRIPT = """
local epoch = redis.call('GET', KEYS[2])
if not epoch then
  epoch = ARGV[2]
  redis.call('SET', KEYS[2], epoch)
end
local fresh = redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[1])
return {fresh and 1 or 0, epoch}
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_EPOCH = "suture:{proofs}:epoch"
_PAUSE = 0.2
"""Seconds for which nobody is sent to a server that just failed."""


class Epoch(NamedTuple):
    """Since when proofs are remembered (seconds), and the key of the nonces of that time."""

    since: float
    key: bytes


class Claim(NamedTuple):
    """Whether this was the first time, and the memory's epoch."""

    first: bool
    epoch: Epoch


_Waiting = tuple[str, float, float, "asyncio.Future[Claim]"]


class ProofMemory:
    """Remembers names for some seconds. Without Valkey nothing is claimed: `StoreUnavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Waiting] = []
        self._flushing: asyncio.Task[None] | None = None
        self._paused_until = 0.0

    async def claim(self, name: str, seconds: float, now: float) -> Claim:
        """Say whether `name` is claimed for the first time in so many seconds."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._paused_until:
            raise _unavailable()
        claim: asyncio.Future[Claim] = loop.create_future()
        self._waiting.append((name, seconds, now, claim))
        if self._flushing is None:
            self._flushing = loop.create_task(self._flush())
        return await claim

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

    async def _settle(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self._answers(batch)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # A restarted server has forgotten the script; nothing of this batch was claimed.
                await self._redis.script_load(_SCRIPT)  # pyright: ignore[reportUnknownMemberType]
                answers = await self._answers(batch)
        except (RedisError, OSError) as exc:
            _log.warning("proofs cannot be told from replays: %s", type(exc).__name__)
            self._paused_until = asyncio.get_running_loop().time() + _PAUSE
            answers = [exc] * len(batch)
        for (_, _, _, claim), answer in zip(batch, answers, strict=True):
            if claim.done():  # the caller has gone
                continue
            if isinstance(answer, Exception):
                claim.set_exception(_unavailable())
            else:
                claim.set_result(_claim(answer))

    async def _answers(self, batch: list[_Waiting]) -> Sequence[tuple[int, bytes] | Exception]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name, seconds, now, _ in batch:
                key = "suture:{proofs}:" + name
                offered = f"{now:.3f}:{secrets.token_hex(16)}"
                pipeline.evalsha(_SHA, 2, key, _EPOCH, int(seconds * 1000), offered)  # pyright: ignore[reportUnknownMemberType]
            answers: list[tuple[int, bytes] | Exception] = await pipeline.execute(
                raise_on_error=False
            )
        return answers


def proof_memory(url: str, timeout_seconds: float = 0.5) -> ProofMemory:
    """Return the memory at `url`. A server that is silent for longer is away."""
    redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 1),  # once: a restarted server closed our connection
    )
    return ProofMemory(redis)


def _claim(answer: tuple[int, bytes]) -> Claim:
    fresh, epoch = answer
    since, _, key = epoch.decode().partition(":")
    return Claim(fresh == 1, Epoch(float(since), bytes.fromhex(key)))


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable(
        "proofs of possession cannot be told from replays now",
        where="DPoP",
        fix="check Valkey; bound tokens are refused as long as it is away",
        retry_after=1,
    )
