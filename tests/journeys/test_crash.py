"""The gateway dies again and again in the middle of the story; the story ends as if it had not."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from gateway.authorization import ClientBook
from gateway.config import load
from gateway.demo.hospital import pack
from gateway.demo.people import SCOPES, Person
from gateway.demo.servers import vendor_system
from gateway.demo.stage import Stage
from gateway.demo.story import BASEPLATE, FEMUR, INSERT, Story
from gateway.ports import held_port
from gateway.runtime import Stores, open_parts
from ledger.audit_trail import AuditTrail
from ledger.database import open_database
from policies.oauth.clients import new_client
from tests.journeys.front_doors import Floor, ended

ROOT = Path(__file__).resolve().parent.parent.parent


class Gateway:
    """A gateway process that can be killed and started again."""

    def __init__(
        self,
        folder: Path,
        stores: Stores,
        ports: tuple[int, int],
        upstreams: dict[str, str],
        key: bytes,
    ) -> None:
        self.http, self.mllp = ports
        self.kills = 0
        self._file = folder / "gateway.toml"
        self._environment = {
            **os.environ,
            "SUTURE_DATABASE_URL": stores.dsn,
            "SUTURE_REDIS_URL": stores.valkey,
            "SUTURE_ERP_PASSWORD": "sandbox",
        }
        self._process: asyncio.subprocess.Process | None = None
        text = (ROOT / "gateway.toml").read_text()
        for name, url in upstreams.items():
            text = text.replace(name, url)
        self._file.write_text(f'state-folder = "{folder}"\n{text}')
        (folder / "keys").mkdir(exist_ok=True)
        (folder / "keys" / "ledger.key").write_bytes(key)

    async def start(self) -> None:
        """Start; return when it serves."""
        options = ["--port", str(self.http), "--mllp-port", str(self.mllp)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "serve",
            "--config",
            str(self._file),
            *options,
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=None,
        )
        line = await asyncio.wait_for(self._process.stdout.readline(), 30)
        assert b"ready" in line, line

    async def kill(self) -> None:
        """Kill -9, then start a new one on what is left."""
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self.kills += 1
        await self.start()

    async def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), 30)


@contextlib.asynccontextmanager
async def theatre(folder: Path, stores: Stores) -> AsyncGenerator[Any]:
    """Vendor systems and a gateway process of its own, with everybody's clients known."""
    key = os.urandom(32)
    people = {name: new_client(f"demo-{name}", scopes) for name, scopes in SCOPES.items()}
    files = {name: folder / name for name in people}
    for name, (_, secret) in people.items():
        files[name].write_text(secret)
    async with contextlib.AsyncExitStack() as stack:
        erp = await stack.enter_async_context(vendor_system("erp"))
        ports = (
            stack.enter_context(held_port("127.0.0.1", 0)),
            stack.enter_context(held_port("127.0.0.1", 0)),
        )
        address = f"http://127.0.0.1:{ports[0]}"
        ehr = await stack.enter_async_context(
            vendor_system("ehr", "--mllp-port", str(ports[1]), *known("ehr", files, address))
        )
        supplier = await stack.enter_async_context(
            vendor_system(
                "supplier",
                "--pace",
                "0.2",
                "--serials",
                "2142-1-3422",
                *known("supplier", files, address),
            )
        )
        upstreams = {
            "http://127.0.0.1:8431": erp,
            "http://127.0.0.1:8432": ehr,
            "http://127.0.0.1:8433": supplier,
            "ZZ:GENERALHOSP": "ZZ:GENERALHOSP",
        }
        gateway = Gateway(folder, stores, ports, upstreams, key)
        local = load(folder / "gateway.toml")
        async with open_parts(local, stores=stores) as parts:
            await parts.systems.records.load(pack("northfield"), by="test")
            for client, _ in people.values():
                await ClientBook(parts.ledger.clients).put(client)
        await gateway.start()
        persons = {
            name: Person(address, client.client_id, secret)
            for name, (client, secret) in people.items()
        }
        for person in persons.values():
            stack.push_async_callback(person.close)
        stage = Stage(
            running=cast("Any", None),
            erp=await stack.enter_async_context(httpx.AsyncClient(base_url=erp, timeout=15)),
            ehr=await stack.enter_async_context(httpx.AsyncClient(base_url=ehr, timeout=15)),
            supplier=await stack.enter_async_context(
                httpx.AsyncClient(base_url=supplier, timeout=15)
            ),
            people=persons,
        )
        yield stage, gateway


def known(name: str, files: dict[str, Path], address: str) -> list[str]:
    return [
        "--gateway",
        address,
        "--client",
        f"demo-{name}",
        "--secret-file",
        str(files[name]),
    ]


async def kill_when(stage: Stage, gateway: Gateway, calls: list[int]) -> None:
    """Kill the gateway whenever the ERP has seen so many calls: in the middle of steps."""
    for mark in calls:
        while sum((await stage.erp.get("/sim/state")).json()["calls"].values()) < mark:
            await asyncio.sleep(0.005)
        await gateway.kill()


@pytest.mark.parametrize("calls", [[20, 60, 140], [50, 110, 150]])
async def test_killed_in_the_middle_everything_happens_exactly_once(
    tmp_path: Path, stores: Stores, calls: list[int]
):
    async with theatre(tmp_path, stores) as (stage, gateway):
        killer = asyncio.create_task(kill_when(stage, gateway, calls))
        outcome = await Story(stage, lambda _who, _text: None).play()
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
        state = (await stage.erp.get("/sim/state")).json()
        operator = stage.people["operator"]
        told = await operator.call(
            "GET", f"/experience/v1/operations/transactions/{outcome.transaction}"
        )
        assert await gateway.stop() == 0

    assert gateway.kills >= 2
    assert outcome.outcome == "matched"
    assert counted(state) == {"orders": 1, "receipts": 1, "invoices": 1, "issues": 2}
    assert {item: change(outcome, item) for item in (INSERT, FEMUR, BASEPLATE)} == {
        INSERT: 2,
        FEMUR: -1,
        BASEPLATE: -1,
    }
    assert Decimal(state["journal"]["sum"]) == 0
    assert {flow["status"] for flow in told["flows"]} == {"done"}
    assert await audit_holds(stores)


def counted(state: Any) -> dict[str, int]:
    kinds = [each["inventoryTransactionType"] for each in state["materialDocuments"]]
    return {
        "orders": len(state["purchaseOrders"]),
        "receipts": kinds.count("WE"),
        "invoices": len(state["supplierInvoices"]),
        "issues": kinds.count("WA"),
    }


def change(outcome: Any, item: str) -> Decimal:
    return Decimal(outcome.stock_after[item]) - Decimal(outcome.stock_before[item])


async def audit_holds(stores: Stores) -> bool:
    database = await open_database(stores.dsn)
    try:
        _, broken = await AuditTrail(database).verify()
    finally:
        await database.close()
    return not broken


async def test_killed_while_it_takes_usage_back_everything_comes_back_once(
    tmp_path: Path, stores: Stores
):
    udi = "(01)00844588017735(17)270630(10)TI2142A(21)TI-000101"
    async with theatre(tmp_path, stores) as (stage, gateway):
        floor = Floor(stage)
        case = await floor.schedule("27447")
        await floor.until(case.control, ended("case-demand"), "the case is reserved")
        before = await stage.erp.get("/sim/state")
        await floor.use(case, {"udi": udi})
        await floor.until(case.control, ended("usage-to-replenishment"), "it is posted")
        calls = sum((await stage.erp.get("/sim/state")).json()["calls"].values())
        killer = asyncio.create_task(kill_when(stage, gateway, [calls + 4, calls + 8]))
        await floor.use(case, {"udi": udi, "credit": True})
        await floor.until(case.control, ended("usage-reversal"), "it is taken back")
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
        after = await stage.erp.get("/sim/state")
        charges = (await stage.ehr.get("/fhir/ChargeItem")).json()["entry"]
        assert await gateway.stop() == 0

    assert gateway.kills >= 1
    assert quantities(after.json()) == quantities(before.json())
    kinds = [each["inventoryTransactionType"] for each in after.json()["materialDocuments"]]
    assert kinds == ["WA", "WA"]
    assert [each["resource"]["status"] for each in charges] == ["entered-in-error"]
    assert await audit_holds(stores)


def quantities(state: Any) -> tuple[Any, ...]:
    """What is on the shelves, and on the accounts."""
    shelves = {(row["material"], row["batch"]): Decimal(row["quantity"]) for row in state["stock"]}
    balances = {name: Decimal(value) for name, value in state["journal"]["balances"].items()}
    return shelves, {name: value for name, value in balances.items() if value}
