"""The main story's stage in processes: vendor systems, a gateway that serves, a worker that dies.

What serves and what works are two processes of one installation, as `suture serve --roles api` and
`suture worker` are: documents always find an open door, and only flows are interrupted.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import uvloop

from bench.torture.arena import Arena, look_often
from bench.torture.nursery import Child, told_to_stop
from bench.torture.points import Points, deadly
from bench.torture.store import Store
from gateway.authorization import ClientBook
from gateway.config import Config, load, provide
from gateway.demo.hospital import pack
from gateway.demo.people import SCOPES, Person
from gateway.demo.servers import vendor_system
from gateway.demo.stage import Stage
from gateway.embedded.valkey import start_valkey
from gateway.ports import held_port
from gateway.runtime import Stores, open_parts, running_gateway
from gateway.wiring import STARTS, flows
from policies.oauth.clients import OAuthClient, new_client

_ROOT = Path(__file__).resolve().parent.parent.parent
_HOST = "127.0.0.1"
_SERIAL_SKU = "2142-1-3422"


class Theatre(msgspec.Struct, frozen=True, kw_only=True):
    """What both processes are told."""

    folder: Path
    stores: Stores
    http: int
    mllp: int
    upstreams: dict[str, str]
    lease: float
    share: float
    seed: int

    @property
    def address(self) -> str:
        return f"http://{_HOST}:{self.http}"

    @property
    def points(self) -> Points:
        return Points(self.folder / "points.jsonl", share=self.share, seed=self.seed)

    def config(self) -> Config:
        """Return the committed configuration, pointed at this theatre."""
        provide("SUTURE_ERP_PASSWORD", "sandbox")
        told = load(_ROOT / "gateway.toml")
        upstreams = {
            name: msgspec.structs.replace(each, url=self.upstreams.get(name, each.url))
            for name, each in told.upstreams.items()
        }
        return msgspec.structs.replace(
            told,
            state_folder=str(self.folder),
            server=msgspec.structs.replace(told.server, port=self.http),
            mllp=msgspec.structs.replace(told.mllp, port=self.mllp),
            upstreams={
                **upstreams,
                "edi": msgspec.structs.replace(upstreams["northfield"], url=self.upstreams["edi"]),
            },
            ledger=Arena(folder=self.folder, lease=self.lease).settings,
            edi=msgspec.structs.replace(told.edi, own=("ZZ:GENERALHOSP",)),
        )


def serve(theatre: Theatre) -> None:
    """Serve the APIs and listen for HL7."""
    uvloop.run(_serve(theatre))


async def _serve(theatre: Theatre) -> None:
    async with running_gateway(theatre.config(), ["api", "listener"], stores=theatre.stores):
        await told_to_stop(theatre.folder, "gateway").wait()


def work(theatre: Theatre) -> None:
    """Run the flows of the story; die at their points."""
    uvloop.run(_work(theatre))


async def _work(theatre: Theatre) -> None:
    look_often(theatre.lease)
    config = theatre.config()
    async with open_parts(config, stores=theatre.stores) as parts:
        mortal = deadly(flows(config, parts.systems), theatre.points)
        parts.ledger.catalogue.install(mortal, STARTS)
        stopped = told_to_stop(theatre.folder, "worker")
        parts.ledger.worker.start()
        await stopped.wait()
        await parts.ledger.worker.stop()


@asynccontextmanager
async def opened_theatre(
    folder: Path, *, lease: float, share: float, seed: int
) -> AsyncGenerator[tuple[Theatre, Stage, Store]]:
    """Start everything but the worker, with the hospital's master data and clients."""
    clients = {name: new_client(f"demo-{name}", scopes) for name, scopes in SCOPES.items()}
    async with AsyncExitStack() as stack:
        store = Store(folder / "store")
        stack.push_async_callback(store.leave)
        await store.start()
        valkey = await start_valkey(folder / "store")
        stack.push_async_callback(valkey.stop)
        http, mllp = (stack.enter_context(held_port(_HOST, 0)) for _ in range(2))
        vendors = await _vendors(stack, folder, f"http://{_HOST}:{http}", mllp, clients)
        theatre = Theatre(
            folder=folder,
            stores=Stores(dsn=store.dsn, valkey=valkey.url),
            http=http,
            mllp=mllp,
            upstreams={"erp": vendors[0], "ehr": f"{vendors[1]}/fhir", "edi": vendors[2]},
            lease=lease,
            share=share,
            seed=seed,
        )
        await _introduce(theatre, [client for client, _ in clients.values()])
        gateway = Child("gateway", folder, serve, theatre)
        gateway.start()
        stack.push_async_callback(gateway.kill)
        await gateway.ready()
        yield theatre, await _stage(stack, theatre.address, vendors, clients), store


async def _vendors(
    stack: AsyncExitStack,
    folder: Path,
    gateway: str,
    mllp: int,
    clients: dict[str, tuple[OAuthClient, str]],
) -> tuple[str, str, str]:
    """Start ERP, EHR and supplier; return their addresses."""

    def known(name: str) -> tuple[str, ...]:
        client, secret = clients[name]
        file = folder / f"{name}.secret"
        file.write_text(secret)
        return ("--gateway", gateway, "--client", client.client_id, "--secret-file", str(file))

    shop = ("--pace", "0.05", "--serials", _SERIAL_SKU)
    return await asyncio.gather(
        stack.enter_async_context(vendor_system("erp")),
        stack.enter_async_context(vendor_system("ehr", "--mllp-port", str(mllp), *known("ehr"))),
        stack.enter_async_context(vendor_system("supplier", *shop, *known("supplier"))),
    )


async def _introduce(theatre: Theatre, clients: list[OAuthClient]) -> None:
    (theatre.folder / "keys").mkdir(exist_ok=True)
    (theatre.folder / "keys" / "ledger.key").write_bytes(secrets.token_bytes(32))
    async with open_parts(theatre.config(), stores=theatre.stores) as parts:
        await parts.systems.records.load(pack("edi"), by="torture")
        book = ClientBook(parts.ledger.clients)
        for client in clients:
            await book.put(client)


async def _stage(
    stack: AsyncExitStack,
    gateway: str,
    vendors: tuple[str, str, str],
    clients: dict[str, tuple[OAuthClient, str]],
) -> Stage:
    people = {
        name: Person(gateway, client.client_id, secret)
        for name, (client, secret) in clients.items()
    }
    for person in people.values():
        stack.push_async_callback(person.close)
    erp, ehr, supplier = [
        await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=15))
        for url in vendors
    ]
    nobody = cast("Any", None)
    return Stage(running=nobody, erp=erp, ehr=ehr, supplier=supplier, people=people)
