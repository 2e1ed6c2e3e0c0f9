"""One running gateway: stores, ledger, systems, doors, worker, sockets; opened and closed in
order.
"""

import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import (
    AsyncExitStack,
    asynccontextmanager,
)
from functools import partial
from pathlib import Path

import msgspec
import redis.asyncio as redis

from canonical.clock import Clock, utc_now
from gateway.admission import open_admission
from gateway.app import Parts
from gateway.config import ROLES, Config, Role, policy_version, setting
from gateway.embedded.postgres import start_postgres
from gateway.embedded.valkey import start_valkey
from gateway.events import open_subscribers
from gateway.health import Pings
from gateway.keys import kept_audit_keys, ledger_keys
from gateway.masking import Masking
from gateway.metrics import Metrics
from gateway.policies_in_force import PoliciesInForce
from gateway.ports import free_port
from gateway.reload import Reload, following
from gateway.rereading import Rereading
from gateway.serving import serving
from gateway.tls import watched
from gateway.upstreams import open_upstreams
from gateway.wiring import connect, open_doors, prepared_processes
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
    reload: Reload | None = None


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
        in_force = PoliciesInForce(config)
        in_force.follow(partial(prepared_processes, ledger, systems))
        in_force.change(config)
        ledger.replays.read_documents_by(Rereading(config, ledger, systems, clock).reread)
        admission = await stack.enter_async_context(
            open_admission(config, ledger, found.valkey, limiter)
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
            pings=_pings(ledger, cache),
            metrics=Metrics(),
            clock=clock,
            in_force=in_force,
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


def _pings(ledger: Ledger, cache: redis.Redis) -> Pings:
    return Pings(
        needed={"postgresql": ledger.database.ping}, useful={"valkey": partial(_ping, cache)}
    )


async def _ping(cache: redis.Redis) -> None:
    await cache.ping()  # pyright: ignore[reportUnknownMemberType] - untyped kwargs


@asynccontextmanager
async def running_gateway(
    config: Config,
    roles: Iterable[Role] = ROLES,
    clock: Clock = utc_now,
    stores: Stores | None = None,
    file: Path | None = None,
) -> AsyncGenerator[Running]:
    """Run a gateway in these roles; on leaving, take no more, finish what is in hand, close.

    With the `file` that `config` was read from, its policies are followed while it runs.
    """
    wanted, notes = set(roles), list[str]()
    async with AsyncExitStack() as stack:
        if "api" in wanted:
            config = _with_port(config, notes)
        parts = await stack.enter_async_context(open_parts(config, clock, stores))
        reload = await stack.enter_async_context(following(parts, file)) if file else None
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
            await stack.enter_async_context(serving(parts))
            scheme = "https" if config.server.tls else "http"
            url = f"{scheme}://{config.server.host}:{config.server.port}"
        yield Running(parts=parts, url=url, mllp_port=mllp, notes=tuple(notes), reload=reload)


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


def _with_port(config: Config, notes: list[str]) -> Config:
    """Replace a port that is taken by a free one, and say so."""
    server = config.server
    port = free_port(server.host, server.port)
    if port != server.port:
        notes.append(f"port {server.port} is taken: HTTP is served on {port}")
    return msgspec.structs.replace(config, server=msgspec.structs.replace(server, port=port))


def state_folder(config: Config) -> Path:
    """Return where this installation keeps what it makes itself."""
    return Path(config.state_folder).resolve()
