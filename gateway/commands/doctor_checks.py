"""What the doctor looks at, each with the next step where something is wrong."""

import asyncio
import shutil
import ssl
import stat
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import redis.asyncio as redis
from redis.exceptions import RedisError

from canonical.clock import utc_now
from gateway.config import Config, setting
from gateway.runtime import state_folder
from ledger.ledger import Ledger

Finding = tuple[str, bool, str]

_MOST_DRIFT = timedelta(seconds=2)
_LEAST_FREE = 2 * 1024**3
_SOON = timedelta(days=30)
_OLD = timedelta(minutes=5)

_NOW = "select clock_timestamp() as now"
_BACKLOG = """
select count(*) as flows, coalesce(extract(epoch from now() - min(run_at)), 0) as seconds from flow
where status = 'ready' and run_at <= now()"""
_TASKS = """
select count(*) as tasks, count(*) filter (where kind = 'alert') as alerts from task
where status = 'open'"""
_UNSIGNED = """
select count(*) as chains from audit_chain c where exists (
    select 1 from audit a where a.chain = c.chain and a.seq > c.covered
        and a.at < now() - interval '5 minutes')"""


async def ledger_findings(ledger: Ledger) -> AsyncGenerator[Finding]:
    """Look at the clock of the database, the trail and what waits."""
    row = await ledger.database.row(_NOW)
    yield drift("clock of PostgreSQL", row["now"] if row else utc_now(), utc_now())
    verdict = await ledger.audit.examine()
    said = f"{verdict.records} records in {verdict.chains} chains, {len(verdict.broken)} broken"
    fix = "run: suture audit verify, and keep the database as it is"
    yield ("audit trail", not verdict.broken, said if not verdict.broken else f"{said}; {fix}")
    row = await ledger.database.row(_UNSIGNED)
    late = row["chains"] if row else 0
    said = f"{verdict.signed} of {verdict.records} records are signed"
    fix = "run a worker where the audit key is, or: suture audit checkpoint"
    yield ("audit checkpoints", not late, said if not late else f"{said}; {fix}")
    row = await ledger.database.row(_BACKLOG)
    flows, seconds = (row["flows"], float(row["seconds"])) if row else (0, 0.0)
    waits = seconds < _OLD.total_seconds()
    said = f"{flows} flows may run; the first has waited {seconds:.0f} s"
    yield ("backlog", waits, said if waits else f"{said}; start more workers: suture worker")
    row = await ledger.database.row(_TASKS)
    alerts = row["alerts"] if row else 0
    said = f"{row['tasks'] if row else 0} wait for a person, {alerts} of them for security"
    yield ("tasks", not alerts, said if not alerts else f"{said}; look at /console/audit")


async def valkey_finding(url: str) -> list[Finding]:
    """Ask Valkey for its time: it answers, and it is right."""
    cache = redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped kwargs
        url, socket_timeout=2.0, socket_connect_timeout=2.0
    )
    try:
        seconds, micros = await cache.time()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportGeneralTypeIssues]
    except (RedisError, OSError) as exc:
        fix = "start it, or correct SUTURE_REDIS_URL; meanwhile limits are not counted"
        return [("Valkey", False, f"{type(exc).__name__}; {fix}")]
    finally:
        await cache.aclose()
    told = datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, UTC)  # pyright: ignore[reportUnknownArgumentType]
    return [("Valkey", True, "answers"), drift("clock of Valkey", told, utc_now())]


def drift(name: str, told: datetime, here: datetime) -> Finding:
    """Compare two clocks: tokens, deadlines and the trail go by them."""
    apart = abs(told - here)
    said = f"{apart.total_seconds():.3f} s from this machine's"
    if apart <= _MOST_DRIFT:
        return (name, True, said)
    return (name, False, f"{said}; set both by NTP (chrony), then look again")


def disk(folder: Path) -> Finding:
    """Look for room where this installation keeps what it makes itself."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(place).free
    said = f"{free / 1024**3:.1f} GB free at {place}"
    if free >= _LEAST_FREE:
        return ("disk", True, said)
    return ("disk", False, f"{said}; make room, or set rules in [retention]")


def key_files(config: Config) -> Iterator[Finding]:
    """Look whether others may read what signs: tokens and checkpoints."""
    folder = state_folder(config) / "keys"
    signing = setting("SUTURE_SIGNING_KEY_FILE")
    files = {
        "signing keys": Path(signing) if signing else folder / "signing.jwks",
        "audit keys": Path(setting("SUTURE_AUDIT_KEY_FILE") or folder / "audit.jwks"),
    }
    for name, file in files.items():
        if not file.exists():
            named = name == "signing keys" and bool(signing)
            said = "is named and not there" if named else "is made at the first start"
            yield (name, not named, f"{file} {said}")
        elif file.stat().st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            yield (name, False, f"{file} is open to others; chmod 600 {file}")
        else:
            yield (name, True, str(file))


async def certificates(config: Config) -> AsyncGenerator[Finding]:
    """Look how long the certificates of upstreams over https are still good."""
    for name, upstream in config.upstreams.items():
        address = urlsplit(upstream.url)
        if address.scheme == "https" and address.hostname:
            yield await _certificate(name, address.hostname, address.port or 443)


async def _certificate(name: str, host: str, port: int) -> Finding:
    what = f"certificate of {name}"
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except ssl.SSLCertVerificationError as exc:
        return (what, False, f"{exc.verify_message}; ask the owner of {host} for a new one")
    except (OSError, TimeoutError) as exc:
        return (what, False, f"{host}:{port}: {type(exc).__name__}; check the address")
    shown: dict[str, str] = writer.get_extra_info("peercert") or {}
    writer.close()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    left = ends - utc_now()
    said = f"good until {ends:%Y-%m-%d}"
    if left > _SOON:
        return (what, True, said)
    return (what, False, f"{said}, {left.days} days; have it renewed")
