"""Is this process alive, is it ready: readiness asks PostgreSQL and Valkey."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from redis.exceptions import RedisError

from canonical.errors import StoreUnavailable
from gateway.config import ConfigurationRefused

Ping = Callable[[], Awaitable[object]]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`status`, and each part that was asked."""

    status: Literal["ok", "degraded", "unavailable"]
    parts: dict[str, str] = {}


class Pings(msgspec.Struct, frozen=True, kw_only=True):
    """What must answer (`needed`), and what may be away for a while (`useful`)."""

    needed: dict[str, Ping]
    useful: dict[str, Ping]


@get("/live", operation_id="isAlive", public=True)
async def is_alive() -> Health:
    """Return ok as long as the process answers."""
    return Health(status="ok")


@get("/ready", operation_id="isReady", public=True)
async def is_ready(pings: NamedDependency[SkipValidation[Pings]]) -> Response[Health]:
    """Return 200 when work can be taken, 503 when not; `degraded` where only a cache is away."""
    needed = {name: await _state(ping) for name, ping in pings.needed.items()}
    useful = {name: await _state(ping) for name, ping in pings.useful.items()}
    parts = {**needed, **useful}
    if any(state != "ok" for state in needed.values()):
        return Response(Health(status="unavailable", parts=parts), status_code=503)
    degraded = any(state != "ok" for state in useful.values())
    return Response(Health(status="degraded" if degraded else "ok", parts=parts))


async def _state(ping: Ping) -> str:
    try:
        await asyncio.wait_for(ping(), 2)
    except (TimeoutError, OSError, StoreUnavailable, RedisError, ConfigurationRefused) as exc:
        return type(exc).__name__
    return "ok"


router = Router("/health", route_handlers=[is_alive, is_ready])
