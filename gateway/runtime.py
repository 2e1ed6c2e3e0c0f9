"""One running gateway: stores, ledger, systems, doors, worker, sockets; opened and closed in
order.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import (
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from pathlib import Path

import msgspec
import redis.asyncio as redis
from granian.constants import Interfaces, SSLProtocols
from granian.server.embed import Server as Granian
from litestar.types import ASGIApp

from canonical.clock import Clock, utc_now
from gateway.admission import open_admission
from gateway.app import Parts, create_app
from gateway.config import ROLES, Config, Role, Tls, policy_version, setting
from gateway.embedded.postgres import start_postgres
from gateway.embedded.valkey import start_valkey
from gateway.events import open_subscribers
from gateway.health import Pings
from gateway.keys import kept_audit_keys, ledger_keys
from gateway.masking import Masking
from gateway.metrics import Metrics
from gateway.rereading import Rereading
from gateway.tls import watched
from gateway.tls_door import INNER_HOST, PROTOCOLS, TlsDoor
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
    Masking(config.observability.mask).install()
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
        ledger.replays.read_documents_by(Rereading(config, ledger, systems, clock).reread)
        admission = await stack.enter_async_context(
            open_admission(config, ledger, found.valkey, clock)
        )
        subscribers = await stack.enter_async_context(
            open_subscribers(config, ledger, cache, clock)
        )
        yield Parts(
            config=config,
            ledger=ledger,
            systems=systems,
            upstreams=upstreams,
            doors=open_doors(config, ledger, systems, clock),
            authorization=admission.authorization,
            admission=admission,
            limiter=limiter,
            subscribers=subscribers,
            pings=Pings(
                needed={"postgresql": ledger.database.ping},
                useful={"valkey": partial(_ping, cache)},
            ),
            metrics=Metrics(),
            clock=clock,
        )


@asynccontextmanager
async def _opened_ledger(config: Config, stores: Stores, clock: Clock) -> AsyncGenerator[Ledger]:
    """Open the ledger with the rules of this installation."""
    async with open_ledger(
        stores.dsn,
        secret=ledger_keys(config),
        clock=clock,
        settings=config.ledger,
        audit_keys=partial(kept_audit_keys, config),
    ) as ledger:
        ledger.retention.rules = config.retention
        ledger.watch.rules = config.alerts
        ledger.watch.zones = {facility.id: facility.zone for facility in config.facilities}
        yield ledger


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
            for each in (parts.ledger.watch, parts.ledger.audit_checks):
                each.start()
                stack.push_async_callback(each.stop)
        mllp, url = None, ""
        if "listener" in wanted:
            mllp = await stack.enter_async_context(_listening(parts, notes))
        if "api" in wanted:
            await stack.enter_async_context(_serving(parts))
            scheme = "https" if config.server.tls else "http"
            url = f"{scheme}://{config.server.host}:{config.server.port}"
        yield Running(parts=parts, url=url, mllp_port=mllp, notes=tuple(notes))


@asynccontextmanager
async def _listening(parts: Parts, notes: list[str]) -> AsyncGenerator[int]:
    mllp = parts.config.mllp
    port = free_port(mllp.host, mllp.port)
    if port != mllp.port:
        notes.append(f"port {mllp.port} is taken: MLLP listens on {port}")
    async with watched(mllp.tls) as files:
        listener = MllpListener(
            parts.doors.hl7,
            mllp.host,
            port,
            mllp.max_frame_bytes,
            mllp.idle_seconds,
            files.context if files else None,
        )
        listener.policy = policy_version(parts.config)
        bound = await listener.start()
        try:
            yield bound
        finally:
            await listener.stop()


@asynccontextmanager
async def _serving(parts: Parts) -> AsyncGenerator[None]:
    server, app = parts.config.server, create_app(parts)
    async with watched(server.tls, PROTOCOLS) as files:
        if files is None or not files.asks_callers:
            async with _http(app, server.host, server.port, server.tls) as granian:
                if files is not None:
                    files.when_changed = granian.reload
                yield
            return
        inner = free_port(INNER_HOST, 0)
        door = TlsDoor(files, inner)
        async with _http(door.around(app), INNER_HOST, inner):
            await door.start(server.host, server.port)
            try:
                yield
            finally:
                door.close()
        await door.stop()


@asynccontextmanager
async def _http(
    app: ASGIApp, host: str, port: int, tls: Tls | None = None
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
