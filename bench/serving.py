"""`python -m bench.serving gateway|bare …`: one of the two servers, as a process of its own.

It says where it is in one JSON line on standard output, and ends when its standard input is closed,
so that it never outlives the bench.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server as Granian
from litestar import Litestar, get

from gateway.config import Config, Observability, load
from gateway.runtime import running_gateway
from policies.oauth.clients import new_client
from policies.rate_limit import RateLimit

_HOST = "127.0.0.1"
_ROOMY = 1_000_000_000
_SCOPES = ("experience.operations:read",)
_TRACED = 0.1


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is, and a token for it."""

    port: int
    token: str = ""


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What the bare server answers under a path."""

    path: str
    body: msgspec.Raw


def configuration(home: Path, port: int) -> Config:
    """Return the committed configuration with all its policies, which here refuse nobody.

    A tenth of the calls is traced and exported, to a standard output that nobody reads.
    """
    told = load(Path(__file__).resolve().parent.parent / "gateway.toml")
    return msgspec.structs.replace(
        told,
        state_folder=str(home),
        server=msgspec.structs.replace(told.server, port=port, token_seconds=3600),
        observability=Observability(sample_ratio=_TRACED, spans="console"),
        pipeline=tuple(
            msgspec.structs.replace(policy, limit=_ROOMY, burst=_ROOMY)
            if isinstance(policy, RateLimit)
            else policy
            for policy in told.pipeline
        ),
    )


@asynccontextmanager
async def _gateway(home: Path, port: int) -> AsyncGenerator[Announced]:
    async with running_gateway(configuration(home, port), ["api"]) as running:
        authorization = running.parts.authorization
        client, _ = new_client("bench", _SCOPES)
        token = authorization.issuer.issue(client, _SCOPES, authorization.clock().timestamp())
        yield Announced(port=running.parts.config.server.port, token=token)


def _bare_app(payloads: list[Payload]) -> Litestar:
    """Return an application that encodes the same payloads on every request, and does no more."""

    def route(payload: Payload) -> Any:
        told: dict[str, Any] = msgspec.json.decode(payload.body)

        @get(payload.path)
        async def answer() -> dict[str, Any]:
            return told

        return answer

    return Litestar([route(each) for each in payloads], openapi_config=None, logging_config=None)


@asynccontextmanager
async def _bare(payloads: list[Payload], port: int) -> AsyncGenerator[Announced]:
    server = Granian(
        _bare_app(payloads),
        address=_HOST,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(_HOST, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        break
    else:
        await serving
    yield Announced(port=port)
    server.stop()  # type: ignore[no-untyped-call]
    await asyncio.wait({serving}, timeout=5)


async def _serve(given: argparse.Namespace) -> None:
    if given.server == "gateway":
        served = _gateway(given.home, given.port)
    else:
        payloads = msgspec.json.decode(sys.stdin.readline(), type=list[Payload])
        served = _bare(payloads, given.port)
    async with served as announced:
        print(msgspec.json.encode(announced).decode(), flush=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="bench.serving")
    parser.add_argument("server", choices=["gateway", "bare"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--home", type=Path, default=Path.cwd())
    uvloop.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
