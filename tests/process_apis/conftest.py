"""The processes as they run: a real ledger, the simulated ERP, the demonstration's master data."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from canonical.context import PatientContext
from canonical.request import EventName, Reference
from gateway.demo.hospital import pack
from gateway.master_data import MasterData
from gateway.runtime import Stores
from ledger.arrival import Announcement, Arrival
from ledger.catalogue import FlowDefinition
from ledger.ledger import Ledger, open_ledger
from sandbox.erp.app import Settings, create_app
from sandbox.erp.inprocess import client
from system_apis.erp.s4hana.client import S4Hana
from system_apis.erp.s4hana.settings import S4Settings

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
TOKEN = "ctx-of-the-tests"


class Floor:
    """A hospital without its doors: facts are announced as an intake would."""

    def __init__(self, ledger: Ledger, http: httpx.AsyncClient, records: MasterData) -> None:
        self.ledger = ledger
        self.http = http
        self.erp = S4Hana(http, S4Settings(), lambda: NOW)
        self.records = records
        self._arrived = 0

    def run(
        self,
        name: str,
        event: EventName,
        facts: type[msgspec.Struct],
        flow: Callable[..., Awaitable[msgspec.Struct | None]],
    ) -> None:
        """Let one process answer to one event."""
        told = FlowDefinition(
            name=name,
            version="1",
            facts=facts,
            run=flow,
            owner="supply-chain",
            opens_patient_context=True,
        )
        self.ledger.catalogue.install([told], {event: name})
        self.ledger.worker.start()

    async def announce(self, event: EventName, facts: msgspec.Struct, key: str) -> None:
        self._arrived += 1
        document = f"document {self._arrived}"
        story = (Reference("order", key),)
        await self.ledger.messages.receive(
            Arrival(
                channel="http",
                kind="test",
                sender="TEST",
                body=document.encode(),
                answer=b"ok",
                identity=document,
                contexts=((TOKEN, PatientContext(encounter="V-1")),) if self._arrived == 1 else (),
                announcements=(
                    Announcement(
                        event=event,
                        key=key,
                        facts=facts,
                        title=document,
                        references=story,
                        joins=story,
                    ),
                ),
            )
        )

    async def outcomes(self) -> list[bytes]:
        """What the finished flows came to, in the order in which they arrived."""
        rows = await self.ledger.database.rows(
            "select result from flow where status = 'done' order by arrival"
        )
        return [str(row["result"]).encode() for row in rows]


@pytest.fixture
async def floor(stores: Stores) -> AsyncGenerator[Floor]:
    secret = b"a secret of these tests, 32 byte"
    async with open_ledger(stores.dsn, secret=secret, clock=lambda: NOW) as ledger:
        records = MasterData(ledger.registry, {"1710": "America/New_York"}, lambda: NOW)
        await records.load(pack("northfield"), by="test")
        http = client(create_app(Settings(clock=lambda: NOW)))
        yield Floor(ledger, http, records)
        await ledger.worker.stop(grace=0)
