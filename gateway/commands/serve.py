"""`suture serve`: run the gateway until it is told to stop."""

import argparse
import asyncio
import signal
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from gateway.commands.opening import configuration, configured
from gateway.config import ROLES, Config, ConfigurationRefused, Role
from gateway.runtime import running_gateway

NAME = "serve"
HELP = "serve the APIs, listen for HL7 and run the flows"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("--roles", default=",".join(ROLES), help="of api, listener, worker")
    parser.add_argument("--port", type=int, help="HTTP port, instead of the configured one")
    parser.add_argument("--mllp-port", type=int, help="MLLP port, instead of the configured one")


def run(given: argparse.Namespace) -> int:
    config = _with_ports(configured(given), given.port, given.mllp_port)
    return uvloop.run(serve(config, _roles(given.roles), given.config))


def _roles(text: str) -> list[Role]:
    named = [role.strip() for role in text.split(",") if role.strip()]
    unknown = [role for role in named if role not in ROLES]
    if unknown or not named:
        wrong = ", ".join(unknown) or "none"
        raise ConfigurationRefused(f"--roles: {wrong} is not of {', '.join(ROLES)}")
    return cast("list[Role]", named)


def _with_ports(config: Config, http: int | None, mllp: int | None) -> Config:
    if http is not None:
        server = msgspec.structs.replace(config.server, port=http)
        config = msgspec.structs.replace(config, server=server)
    if mllp is not None:
        listener = msgspec.structs.replace(config.mllp, port=mllp)
        config = msgspec.structs.replace(config, mllp=listener)
    return config


def ready(roles: list[Role], url: str, mllp_port: int | None) -> str:
    """Say what runs here, and where it can be reached if it can."""
    http = f" on {url}" if url else ""
    mllp = f", MLLP on {mllp_port}" if mllp_port else ""
    return f"suture ready: {', '.join(roles)}{http}{mllp}"


async def serve(config: Config, roles: list[Role], file: Path | None = None) -> int:
    """Run in these roles until SIGTERM or SIGINT; then finish what is in hand.

    The policies of `file` are followed; SIGHUP has it looked at again.
    """
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running_gateway(config, roles, file=file) as running:
        if running.reload is not None:
            loop.add_signal_handler(signal.SIGHUP, running.reload.look_again)
        for note in running.notes:
            print(f"suture: {note}", flush=True)
        print(ready(roles, running.url, running.mllp_port), flush=True)
        await stopped.wait()
        print("suture stops: finishing what is in hand", flush=True)
    return 0
