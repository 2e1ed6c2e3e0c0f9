"""The stage: vendor systems, gateway, master data and the clients of everybody who takes part."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.authorization import ClientBook
from gateway.config import Config, Upstream, provide, setting
from gateway.demo.hospital import pack
from gateway.demo.servers import vendor_system
from gateway.runtime import Running, Stores, free_port, open_stores, running_gateway, state_folder
from ledger.database import fresh_database
from policies.oauth.clients import OAuthClient, new_client

SCOPES = {
    "ehr": ("system.ehr.hl7v2:write", "system.ehr.fhir:write"),
    "supplier": ("system.edi.x12:write",),
    "scanner": ("experience.mobile:read", "experience.mobile:write"),
    "approver": ("process.tasks:read", "process.requisitions:approve"),
    "operator": (
        "experience.operations:read",
        "experience.procurement:read",
        "experience.security:read",
        "experience.mobile:read",
        "process.tasks:read",
        "process.tasks:write",
        "process.requisitions:approve",
        "process.requisitions:write",
        "process.orders:read",
        "system.erp.items:read",
        "system.erp.stock:read",
        "system.erp.purchase-orders:read",
        "system.erp.suppliers:read",
        "system.erp.cost-centers:read",
    ),
}


_TRIES, _PAUSE_SECONDS = 150, 0.2


class Refused(Exception):
    """The gateway said no: status and problem."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(f"{status} {problem}")
        self.status = status


class Person:
    """Somebody with a client of their own: calls the gateway with a token, renewed when refused."""

    def __init__(self, url: str, client: str, secret: str) -> None:
        self.client = client
        self.secret = secret
        self._http = httpx.AsyncClient(base_url=url, timeout=15, trust_env=False)
        self.token = ""

    async def call(self, method: str, path: str, **given: Any) -> Any:
        """Return the decoded answer; raises `Refused`."""
        if not self.token:
            await self.sign_in()
        answer = await self._patiently(method, path, given)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            await self.sign_in()
            answer = await self._patiently(method, path, given)
        if answer.is_error:
            raise Refused(answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def _patiently(self, method: str, path: str, given: dict[str, Any]) -> httpx.Response:
        """Send as often as it takes while the gateway is away: every door takes a repetition."""
        known = {"authorization": f"Bearer {self.token}"} if self.token else {}
        headers = known | given.get("headers", {})
        for _ in range(_TRIES):
            with contextlib.suppress(httpx.TransportError):
                return await self._http.request(method, path, **{**given, "headers": headers})
            await asyncio.sleep(_PAUSE_SECONDS)
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway does not answer")

    async def sign_in(self) -> None:
        """Get a new token."""
        self.token = ""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client,
            "client_secret": self.secret,
        }
        answer = await self._patiently("POST", "/oauth/token", {"data": form})
        if answer.is_error:
            raise Refused(answer.status_code, answer.text)
        self.token = answer.json()["access_token"]

    async def close(self) -> None:
        await self._http.aclose()


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
        http, mllp = free_port(host, config.server.port), free_port(host, config.mllp.port)
        say(_ports(config, http, mllp))
        provide("SUTURE_ERP_PASSWORD_FILE", str(_kept(folder, "erp", secrets.token_urlsafe(24))))
        password = ("--secret-file", setting("SUTURE_ERP_PASSWORD_FILE"))
        erp, ehr, supplier = await asyncio.gather(
            stack.enter_async_context(vendor_system("erp", *password)),
            stack.enter_async_context(
                vendor_system(
                    "ehr", "--mllp-port", str(mllp), *_as_client(folder, host, http, clients["ehr"])
                )
            ),
            stack.enter_async_context(
                vendor_system(
                    "supplier",
                    "--pace",
                    str(pace),
                    "--serials",
                    "2142-1-3422",
                    *_as_client(folder, host, http, clients["supplier"]),
                )
            ),
        )
        say("Vendor systems: ERP (S/4HANA), EHR, supplier — each its own server")
        stores = await stack.enter_async_context(open_stores(config))
        name = f"demo_{secrets.token_hex(4)}"
        dsn = await fresh_database(stores.dsn, name, drop_like="demo\\_%")
        _kept(folder, "database", name)
        set_up = _pointed(config, (http, mllp), {"erp": erp, "ehr": f"{ehr}/fhir", "edi": supplier})
        running = await stack.enter_async_context(
            running_gateway(set_up, stores=Stores(dsn=dsn, valkey=stores.valkey))
        )
        await running.parts.systems.records.load(pack("edi"), by="demo")
        book = ClientBook(running.parts.ledger.clients)
        for client, _ in clients.values():
            await book.put(client)
        people = {
            name: Person(running.url, client.client_id, secret)
            for name, (client, secret) in clients.items()
        }
        for person in people.values():
            stack.push_async_callback(person.close)
        yield Stage(
            running=running,
            erp=await stack.enter_async_context(_plain(erp)),
            ehr=await stack.enter_async_context(_plain(ehr)),
            supplier=await stack.enter_async_context(_plain(supplier)),
            people=people,
        )


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


def _as_client(
    folder: Path, host: str, port: int, client: tuple[OAuthClient, str]
) -> tuple[str, ...]:
    """Return the options that let a vendor system call the gateway; its secret goes by file."""
    file = _kept(folder, client[0].client_id, client[1])
    address = f"http://{host}:{port}"
    return ("--gateway", address, "--client", client[0].client_id, "--secret-file", str(file))


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
        server=msgspec.structs.replace(config.server, port=ports[0]),
        mllp=msgspec.structs.replace(config.mllp, port=ports[1]),
        upstreams={**known, **upstreams},
        edi=msgspec.structs.replace(config.edi, own=("ZZ:GENERALHOSP",)),
    )


def _plain(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=15, trust_env=False)
