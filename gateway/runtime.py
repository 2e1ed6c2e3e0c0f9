"""One running gateway: stores, ledger, systems, doors, worker, sockets; opened and closed in
order.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from pathlib import Path

import msgspec
import redis.asyncio as redis
from granian.constants import Interfaces
from granian.server.embed import Server as Granian

from canonical.clock import Clock, utc_now
from gateway.app import Parts, create_app
from gateway.authorization.opening import open_authorization
from gateway.config import ROLES, Config, Role, setting
from gateway.embedded.postgres import start_postgres
from gateway.embedded.valkey import start_valkey
from gateway.events import open_subscribers
from gateway.health import Pings
from gateway.keys import kept_audit_keys, ledger_keys
from gateway.metrics import Metrics
from gateway.rereading import Rereading
from gateway.upstreams import open_upstreams
from gateway.wiring import STARTS, connect, flows, open_doors
from ledger.database import named_database
from ledger.ledger import Ledger, open_ledger
from policies.rate_limit import Gcra
from system_apis.ehr.hl7v2_feed.listener import MllpListener

log = logging.getLogger("suture")


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running gateway is found; `url` is '' where no API is served."""

    parts: Parts
    url: str
    mllp_port: int | None
    notes: tuple[str, ...] = ()


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """Where PostgreSQL and Valkey are."""

    dsn: str
    valkey: str


@asynccontextmanager
async def open_stores(config: Config) -> AsyncGenerator[Stores]:
    """Use the servers that the environment names, or start our own."""
    home = state_folder(config)
    async with AsyncExitStack() as stack:
        dsn, valkey = setting("SUTURE_DATABASE_URL"), setting("SUTURE_REDIS_URL")
        if not dsn:
            postgres = await start_postgres(home)
            stack.push_async_callback(postgres.stop)
            dsn = named_database(postgres.dsn, config.database)
        if not valkey:
            server = await start_valkey(home)
            stack.push_async_callback(server.stop)
            valkey = server.url
        yield Stores(dsn=dsn, valkey=valkey)


@asynccontextmanager
async def open_parts(
    config: Config, clock: Clock = utc_now, stores: Stores | None = None
) -> AsyncGenerator[Parts]:
    """Open everything but sockets and workers; `stores` that are given stay the caller's."""
    async with AsyncExitStack() as stack:
        found = stores
        if found is None:
            found = await stack.enter_async_context(open_stores(config))
        ledger = await stack.enter_async_context(_opened_ledger(config, found, clock))
        cache = _valkey(found.valkey)
        stack.push_async_callback(cache.aclose)
        limiter = Gcra(cache)
        upstreams = await stack.enter_async_context(open_upstreams(config))
        systems = connect(config, ledger, upstreams, clock)
        ledger.catalogue.install(flows(config, systems), STARTS)
        ledger.retention.rules = config.retention
        ledger.replays.read_documents_by(Rereading(config, ledger, systems, clock).reread)
        authorization = await stack.enter_async_context(open_authorization(config, ledger, limiter))
        subscribers = await stack.enter_async_context(
            open_subscribers(config, ledger, cache, clock)
        )
        yield Parts(
            config=config,
            ledger=ledger,
            systems=systems,
            upstreams=upstreams,
            doors=open_doors(config, ledger, systems, clock),
            authorization=authorization,
            verify=authorization.verifier.verify,
            limiter=limiter,
            subscribers=subscribers,
            pings=Pings(
                needed={"postgresql": ledger.database.ping},
                useful={"valkey": partial(_ping, cache)},
            ),
            metrics=Metrics(),
            clock=clock,
        )


def _opened_ledger(
    config: Config, stores: Stores, clock: Clock
) -> AbstractAsyncContextManager[Ledger]:
    return open_ledger(
        stores.dsn,
        secret=ledger_keys(config),
        clock=clock,
        settings=config.ledger,
        audit_keys=partial(kept_audit_keys, config),
    )


def _valkey(url: str) -> redis.Redis:
    return redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped kwargs
        url, socket_timeout=1.0, socket_connect_timeout=1.0
    )


async def _ping(cache: redis.Redis) -> None:
    await cache.ping()  # pyright: ignore[reportUnknownMemberType] - untyped kwargs


@asynccontextmanager
async def running_gateway(
    config: Config,
    roles: Iterable[Role] = ROLES,
    clock: Clock = utc_now,
    stores: Stores | None = None,
) -> AsyncGenerator[Running]:
    """Run a gateway in these roles; on leaving, take no more, finish what is in hand, close."""
    wanted, notes = set(roles), list[str]()
    async with AsyncExitStack() as stack:
        if "api" in wanted:
            config = _with_port(config, notes)
        parts = await stack.enter_async_context(open_parts(config, clock, stores))
        if "worker" in wanted:
            parts.ledger.worker.start()
            stack.push_async_callback(parts.ledger.worker.stop)
            parts.ledger.deliveries.start()
            stack.push_async_callback(parts.ledger.deliveries.stop)
            parts.ledger.retention.start()
            stack.push_async_callback(parts.ledger.retention.stop)
        mllp, url = None, ""
        if "listener" in wanted:
            mllp = await stack.enter_async_context(_listening(parts, notes))
        if "api" in wanted:
            await stack.enter_async_context(_serving(parts))
            url = f"http://{config.server.host}:{config.server.port}"
        yield Running(parts=parts, url=url, mllp_port=mllp, notes=tuple(notes))


@asynccontextmanager
async def _listening(parts: Parts, notes: list[str]) -> AsyncGenerator[int]:
    mllp = parts.config.mllp
    port = free_port(mllp.host, mllp.port)
    if port != mllp.port:
        notes.append(f"port {mllp.port} is taken: MLLP listens on {port}")
    listener = MllpListener(
        parts.doors.hl7, mllp.host, port, mllp.max_frame_bytes, mllp.idle_seconds
    )
    bound = await listener.start()
    try:
        yield bound
    finally:
        await listener.stop()


@asynccontextmanager
async def _serving(parts: Parts) -> AsyncGenerator[None]:
    server = parts.config.server
    granian = Granian(
        create_app(parts),
        address=server.host,
        port=server.port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    serving = asyncio.create_task(granian.serve(), name="http")
    await _answering(server.host, server.port, serving)
    try:
        yield
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


def _with_port(config: Config, notes: list[str]) -> Config:
    """Replace a port that is taken by a free one, and say so."""
    server = config.server
    port = free_port(server.host, server.port)
    if port != server.port:
        notes.append(f"port {server.port} is taken: HTTP is served on {port}")
    return msgspec.structs.replace(config, server=msgspec.structs.replace(server, port=port))


def free_port(host: str, wanted: int) -> int:
    """Return `wanted`, or any free port where it is taken (0 asks for any)."""
    with held_port(host, wanted) as port:
        return port


@contextmanager
def held_port(host: str, wanted: int) -> Generator[int]:
    """Give a port as `free_port` does, and hold it: nobody gets it by chance any more.

    Who asks for it by number may listen there all the same, now or once more.
    """
    for port in (wanted, 0):
        with socket.socket() as holding:
            holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holding.bind((host, port))
            except OSError:
                continue
            yield int(holding.getsockname()[1])
            return
    raise OSError(f"no free port on {host}")


def state_folder(config: Config) -> Path:
    """Return where this installation keeps what it makes itself."""
    return Path(config.state_folder).resolve()
