"""The stage: vendor systems, gateway, master data and the clients of everybody who takes part."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from gateway.authorization import ClientBook
from gateway.config import Config, Upstream, provide, setting
from gateway.demo.hospital import pack
from gateway.demo.people import SCOPES, Person
from gateway.demo.servers import vendor_system
from gateway.ports import held_port
from gateway.runtime import Running, Stores, open_stores, running_gateway, state_folder
from ledger.database import fresh_database
from policies.oauth.clients import OAuthClient, new_client

_SERIAL_SKU = "2142-1-3422"
"""The tibial insert as its supplier calls it: it carries serial numbers."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a story needs."""

    running: Running
    erp: httpx.AsyncClient
    ehr: httpx.AsyncClient
    supplier: httpx.AsyncClient
    people: dict[str, Person]


@asynccontextmanager
async def open_stage(
    config: Config, *, pace: float, say: Callable[[str], None]
) -> AsyncGenerator[Stage]:
    """Set everything up on an empty ledger; take it down on leaving."""
    folder = state_folder(config) / "sandbox"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    clients = {name: new_client(f"demo-{name}", scopes) for name, scopes in SCOPES.items()}
    async with AsyncExitStack() as stack:
        host = config.server.host
        # The vendors are told where we shall be before we are there.
        ports = (
            stack.enter_context(held_port(host, config.server.port)),
            stack.enter_context(held_port(host, config.mllp.port)),
        )
        say(_ports(config, *ports))
        vendors = _Vendors(folder, f"http://{host}:{ports[0]}", str(ports[1]), clients)
        erp, ehr, supplier = await vendors.start(stack, pace)
        say("Vendor systems: ERP (S/4HANA), EHR, supplier — each its own server")
        stores = await stack.enter_async_context(_empty_stores(config, folder))
        set_up = _pointed(config, ports, {"erp": erp, "ehr": f"{ehr}/fhir", "edi": supplier})
        running = await stack.enter_async_context(running_gateway(set_up, stores=stores))
        people = await _introduced(running, clients)
        for person in people.values():
            stack.push_async_callback(person.close)
        yield Stage(
            running=running,
            erp=await stack.enter_async_context(_plain(erp)),
            ehr=await stack.enter_async_context(_plain(ehr)),
            supplier=await stack.enter_async_context(_plain(supplier)),
            people=people,
        )


@asynccontextmanager
async def _empty_stores(config: Config, folder: Path) -> AsyncGenerator[Stores]:
    """Give a fresh database; the one of the last demonstration goes."""
    async with open_stores(config) as stores:
        name = f"demo_{secrets.token_hex(4)}"
        dsn = await fresh_database(stores.dsn, name, drop_like="demo\\_%")
        _kept(folder, "database", name)
        yield Stores(dsn=dsn, valkey=stores.valkey)


async def _introduced(
    running: Running, clients: dict[str, tuple[OAuthClient, str]]
) -> dict[str, Person]:
    """Load the hospital's master data and make everybody known."""
    await running.parts.systems.records.load(pack("edi"), by="demo")
    book = ClientBook(running.parts.ledger.clients)
    for client, _ in clients.values():
        await book.put(client)
    return {
        name: Person(running.url, client.client_id, secret)
        for name, (client, secret) in clients.items()
    }


class _Vendors(NamedTuple):
    """The simulated systems and how they reach the gateway; secrets go to them by file."""

    folder: Path
    gateway: str
    mllp_port: str
    clients: dict[str, tuple[OAuthClient, str]]

    async def start(self, stack: AsyncExitStack, pace: float) -> tuple[str, str, str]:
        """Start all three at once; return their addresses."""
        provide(
            "SUTURE_ERP_PASSWORD_FILE", str(_kept(self.folder, "erp", secrets.token_urlsafe(24)))
        )
        password = ("--secret-file", setting("SUTURE_ERP_PASSWORD_FILE"))
        mllp = ("--mllp-port", self.mllp_port)
        shop = ("--pace", str(pace), "--serials", _SERIAL_SKU)
        return await asyncio.gather(
            stack.enter_async_context(vendor_system("erp", *password)),
            stack.enter_async_context(vendor_system("ehr", *mllp, *self._client("ehr"))),
            stack.enter_async_context(vendor_system("supplier", *shop, *self._client("supplier"))),
        )

    def _client(self, name: str) -> tuple[str, ...]:
        client, secret = self.clients[name]
        file = _kept(self.folder, client.client_id, secret)
        return ("--gateway", self.gateway, "--client", client.client_id, "--secret-file", str(file))


def _ports(config: Config, http: int, mllp: int) -> str:
    moved = [
        f"{wanted} is taken, {name} uses {port}"
        for name, wanted, port in (
            ("HTTP", config.server.port, http),
            ("MLLP", config.mllp.port, mllp),
        )
        if wanted not in (port, 0)
    ]
    return "; ".join(moved) or f"HTTP on {http}, MLLP on {mllp}"


def _kept(folder: Path, name: str, secret: str) -> Path:
    """Write a secret for a process of ours to read: a file, never an argument others can see."""
    file = folder / name
    file.touch(mode=0o600)
    file.write_text(secret, encoding="utf-8")
    return file


def _pointed(config: Config, ports: tuple[int, int], urls: dict[str, str]) -> Config:
    """Return the configuration with these ports and upstream addresses."""
    known = config.upstreams
    upstreams = {
        name: msgspec.structs.replace(known.get(name, Upstream(url="")), url=url)
        for name, url in urls.items()
    }
    return msgspec.structs.replace(
        config,
        server=msgspec.structs.replace(config.server, port=ports[0], tls=None),
        mllp=msgspec.structs.replace(config.mllp, port=ports[1], tls=None),
        upstreams={**known, **upstreams},
        edi=msgspec.structs.replace(config.edi, own=("ZZ:GENERALHOSP",)),
    )


def _plain(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=15, trust_env=False)
