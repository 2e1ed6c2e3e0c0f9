"""A destination that does not answer holds up nobody else, and neither does a key that is stuck."""

from typing import Any

from canonical.errors import UnknownItem
from ledger.ledger import open_ledger
from ledger.settings import LedgerSettings
from tests.ledger.conftest import SECRET
from tests.ledger.outside import Need, Supplier, count, ended, eventually, fact, flow, install, used


async def test_a_supplier_that_does_not_answer_holds_up_no_other(dsn: str) -> None:
    dead, alive = Supplier(), Supplier()
    dead.system, alive.system = "dead", "alive"
    dead.answers.clear()

    async def run(story: Any, need: Need) -> None:
        await story.step("shipment", (dead if need.number < "5" else alive).ship, need)

    few = LedgerSettings(in_flight=3, per_destination=2, most_running=6)
    async with open_ledger(dsn, secret=SECRET, settings=few) as ledger:
        install(ledger, flow(run))
        for number in range(10):
            await ledger.messages.receive(used(f"{number:02}"))
        await ledger.messages.receive(used("99"))
        for number in range(60, 80):
            await ledger.messages.receive(used(str(number)))
        ledger.worker.start()
        await ended(ledger, 21)
        assert len(dead.keys) == few.per_destination
        assert await count(ledger, "flow", "attempts > 0") == 0
        dead.answers.set()  # it is back: everybody gets through, once
        await ended(ledger, 31)
        assert len(dead.shipped) == 10
        await ledger.worker.stop()


async def test_many_behind_a_stuck_key_hold_up_nobody(dsn: str) -> None:
    supplier = Supplier()

    async def run(story: Any, need: Need) -> None:
        if need.number == "stuck":
            raise UnknownItem("no such item")
        await story.step("shipment", supplier.ship, need)

    async with open_ledger(dsn, secret=SECRET) as ledger:
        install(ledger, flow(run))
        await ledger.messages.receive(
            used("stuck", announcements=(fact("item-used", "k", Need(number="stuck")),))
        )
        for number in range(100):
            behind = fact("item-used", "k", Need(number=str(number)))
            await ledger.messages.receive(used(f"b{number}", announcements=(behind,)))
        for number in range(10):
            await ledger.messages.receive(used(f"free{number}"))
        ledger.worker.start()
        await ended(ledger, 10)

        async def asked() -> bool:
            return await count(ledger, "flow", "status = 'stuck'") == 1

        await eventually(asked)
        assert await count(ledger, "flow", "status = 'queued'") == 100
        await ledger.worker.stop()
