"""`edge`: what a request costs with every inbound policy, beside a bare Litestar on granian.

Two processes, one port each, the same answers byte for byte. CPU is of the server's own process,
all its threads; that of PostgreSQL and Valkey, which are processes of their own, is not in it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec

from bench.conditions import conditions
from bench.load import Target, load
from bench.meter import cpu_of
from bench.report import Comparison, Row, Trial
from bench.rounds import Bench, Contender, Measured, Settings, in_turn
from bench.serving import Announced, Payload
from gateway.embedded.postgres import start_postgres
from gateway.embedded.valkey import start_valkey
from gateway.ports import free_port

_ROOT = Path(__file__).resolve().parent.parent
_HOST = "127.0.0.1"
_STARTS_WITHIN = 60.0
_ENDS_WITHIN = 15.0
_SECONDS, _QUICK_SECONDS = 1.0, 0.2
_CONNECTIONS = 50

_KEYS = "/oauth/jwks"
_STORIES = "/experience/v1/operations/transactions"


class ServerFailed(Exception):
    """A server did not start; the text says why."""


class _Server(NamedTuple):
    name: str
    pid: int
    announced: Announced

    def cpu(self) -> float:
        """Return the CPU seconds of all its threads so far."""
        return cpu_of(self.pid)


class _Case(NamedTuple):
    """One row of each server. `bare` is the row of the bare server it is compared with."""

    name: str
    path: str
    has_token: bool
    contains: str
    target: float | None = None


_CASES = (
    _Case(
        name="public",
        path=_KEYS,
        has_token=False,
        contains="correlation, tracing, headers, durable audit, problems, body limit, rate limits",
    ),
    _Case(
        name="token",
        path=_KEYS,
        has_token=True,
        contains="the same, and a cached JWT with its scopes",
        target=0.25,
    ),
    _Case(
        name="database",
        path=_STORIES,
        has_token=True,
        contains="the same, the route's scope, and one query the bare server does not make",
    ),
)

COMPARISONS = tuple(
    Comparison(
        name=f"{each.name}: gateway / bare Litestar",
        of=f"{each.name} gateway",
        against=f"bare {each.path}",
        by="cpu",
        target=each.target,
    )
    for each in _CASES
)


async def measure(settings: Settings) -> Measured:
    """Measure both servers; where one does not start, every row is void."""
    try:
        async with AsyncExitStack() as stack:
            # Held by us too: a server that dies does not leave the stores running.
            for start in (start_postgres, start_valkey):
                stack.push_async_callback((await start(settings.home)).stop)
            gateway = await stack.enter_async_context(
                _started("gateway", "--home", str(settings.home))
            )
            bodies = {each.path: await _body(gateway, each.path) for each in _CASES}
            payloads = [Payload(path=path, body=msgspec.Raw(body)) for path, body in bodies.items()]
            bare = await stack.enter_async_context(_started("bare", payloads=payloads))
            contenders = _contenders(gateway, bare, bodies, settings)
            rows = await in_turn(contenders, settings)
    except (ServerFailed, aiohttp.ClientError) as exc:
        rows = [msgspec.structs.replace(row, state="void", why=str(exc)) for row in _rows()]
    told = conditions(
        *("litestar", "granian", "uvloop", "msgspec"),
        client=f"{_CONNECTIONS} connections with keep-alive, closed loop, every answer compared",
        policies="gateway.toml as committed; limits that nobody reaches, 10 % of calls traced",
        measured="CPU of the server process; PostgreSQL's, Valkey's and the client's are not in it",
    )
    return Measured(rows, told)


def _rows() -> list[Row]:
    bare = [
        Row(
            name=f"bare {path}",
            what=f"GET {path}",
            by="bare Litestar",
            unit="requests",
            contains="the payload, encoded on every request; no policy",
            state="measured",
        )
        for path in (_KEYS, _STORIES)
    ]
    ours = [
        Row(
            name=f"{each.name} gateway",
            what=f"GET {each.path}",
            by=f"gateway, {'token' if each.has_token else 'no token'}",
            unit="requests",
            contains=each.contains,
            state="measured",
        )
        for each in _CASES
    ]
    return [bare[0], *ours[:2], bare[1], ours[2]]


def _contenders(
    gateway: _Server, bare: _Server, bodies: dict[str, bytes], settings: Settings
) -> list[Contender]:
    seconds = _QUICK_SECONDS if settings.quick else _SECONDS
    tokens = {f"{each.name} gateway": each.has_token for each in _CASES}

    def contender(row: Row) -> Contender:
        server = gateway if row.name in tokens else bare
        told = server.announced
        path = row.what.removeprefix("GET ")
        token = told.token if tokens.get(row.name) else ""
        target = Target(_HOST, told.port, path, token, bodies[path])

        async def measured() -> Trial:
            return await _trial(server, target, seconds)

        return Contender(row, measured)

    return [contender(row) for row in _rows()]


async def _trial(server: _Server, target: Target, seconds: float) -> Trial:
    try:
        before = server.cpu()
        told = await load(target, _CONNECTIONS, seconds)
        spent = server.cpu() - before
    except OSError:
        return Trial(0, 0, 0, f"the {server.name} server died")
    return Trial(told.answers, told.seconds, spent, told.fault)


@asynccontextmanager
async def _started(
    name: str, *options: str, payloads: list[Payload] | None = None
) -> AsyncGenerator[_Server]:
    """Start a server on a port on which nobody answers; end it on leaving.

    Settings of the environment stay outside: a database they name is somebody's.
    """
    port = free_port(_HOST, 0)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.serving", name, "--port", str(port), *options),
        cwd=_ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("SUTURE_")},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        if process.stdin is not None and payloads is not None:
            process.stdin.write(msgspec.json.encode(payloads) + b"\n")
        async with asyncio.timeout(_STARTS_WITHIN):
            announced = await _announced(name, process)
        if announced.port != port:
            raise ServerFailed(f"port {port} was busy when the {name} server started")
        yield _Server(name, process.pid, announced)
    except TimeoutError as exc:
        raise ServerFailed(f"the {name} server did not start in time") from exc
    finally:
        await _ended(process)


async def _announced(name: str, process: asyncio.subprocess.Process) -> Announced:
    assert process.stdout is not None
    assert process.stderr is not None
    line = await process.stdout.readline()
    if line:
        return msgspec.json.decode(line, type=Announced)
    said = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
    raise ServerFailed(f"the {name} server did not start: {said[-1] if said else 'no word'}")


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _ENDS_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _body(server: _Server, path: str) -> bytes:
    """Return what the gateway answers: the bare server gives the same."""
    headers = {"authorization": f"Bearer {server.announced.token}"}
    url = f"http://{_HOST}:{server.announced.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        if answer.status != 200:
            raise ServerFailed(f"GET {path} answers {answer.status}")
        return await answer.read()


BENCH = Bench("edge", "A request through every policy", COMPARISONS, measure)
