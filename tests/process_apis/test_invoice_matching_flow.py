"""Goods are paid once: whatever the number of the invoice, whoever tries again."""

from datetime import date
from decimal import Decimal
from functools import partial

import msgspec
import pytest

from canonical.deadline import Deadlines
from canonical.errors import UpstreamRefused
from canonical.invoice import Invoice, InvoiceLine, PostedInvoice
from canonical.item import ItemId, Quantity
from canonical.money import Money
from canonical.requisition import PricedLine, PricedRequisition
from canonical.shipment import Receipt, ReceivedLine
from canonical.task import Resolution
from process_apis.invoice_matching.flow import InvoiceOutcome, invoice_matching
from process_apis.invoice_matching.ports import Payables
from process_apis.invoice_matching.rules import MatchTolerance
from system_apis.erp.s4hana.client import S4Hana
from system_apis.erp.s4hana.settings import S4Settings
from tests.ledger.outside import ended, raised, retry
from tests.process_apis.conftest import NOW, Floor

BOXES = Quantity(value=Decimal(3), unit="BX")
PRICE, TOTAL = Money(amount=Decimal("75.00")), Money(amount=Decimal("225.00"))
ORDER = PricedRequisition(
    facility="1710",
    location="OR01",
    cost_center="CC-OR-4711",
    supplier="17300002",
    needed_on=date(2026, 12, 5),
    lines=(
        PricedLine(
            line=1,
            item=ItemId("CON-60001"),
            description="Suture",
            quantity=BOXES,
            unit_price=PRICE,
            contract="4600000102",
            base_quantity=Quantity(value=Decimal(36), unit="EA"),
        ),
    ),
    total=TOTAL,
)
COUNTED = ReceivedLine(quantity=BOXES, order_line=1, lot="S24-118", expires=date(2028, 2, 29))


def invoice(number: str, order: str) -> Invoice:
    return Invoice(
        number=number,
        order=order,
        supplier="17300002",
        invoiced_on=date(2026, 12, 7),
        lines=(InvoiceLine(order_line=1, quantity=BOXES, unit_price=PRICE),),
        total=TOTAL,
    )


async def received(floor: Floor, erp: Payables) -> str:
    """Order and receive three boxes, and let invoices be matched against `erp`."""
    order = await floor.erp.place_order(ORDER, key="order")
    counted = Receipt(order=order.number, received_at=NOW, lines=(COUNTED,))
    await floor.erp.post_receipt(counted, order, key="receipt")
    run = partial(invoice_matching, erp=erp, tolerance=MatchTolerance(), deadlines=Deadlines())
    floor.run("invoice-matching", "invoice-received", Invoice, run)
    return order.number


async def came_to(floor: Floor) -> list[str]:
    return [
        msgspec.json.decode(each, type=InvoiceOutcome).outcome for each in await floor.outcomes()
    ]


async def posted(floor: Floor) -> int:
    return len((await floor.http.get("/sim/state")).json()["supplierInvoices"])


@pytest.mark.parametrize(
    ("answer", "outcome", "documents"), [("accept", "accepted", 2), ("reject", "rejected", 1)]
)
async def test_goods_that_were_billed_are_billed_again_only_when_a_person_says_so(
    floor: Floor, answer: str, outcome: str, documents: int
):
    order = await received(floor, floor.erp)
    for number in ("INV-1", "INV-2"):
        await floor.announce("invoice-received", invoice(number, order), order)
    task = await raised(floor.ledger, "decision")
    assert task.detail == (
        "line 1: 3 billed, 0 of 3 ordered are still to be billed,"
        " 36 billed, 0 of 36 received are still to be billed"
    )
    assert await posted(floor) == 1
    decided = Resolution(action=answer, by="kim", reason="seen")
    await floor.ledger.tasks.resolve(task.id, decided)
    await ended(floor.ledger, 2)
    assert await came_to(floor) == ["matched", outcome]
    assert await posted(floor) == documents


class Forgetful(S4Hana):
    """Posts, and the first time answers what nobody tries again without a person."""

    told = False

    async def post_invoice(self, invoice: Invoice, *, key: str) -> PostedInvoice:
        kept = await super().post_invoice(invoice, key=key)
        if not self.told:
            self.told = True
            raise UpstreamRefused("S/4HANA answered 400")
        return kept


async def test_an_invoice_that_was_posted_before_the_retry_does_not_stand_against_itself(
    floor: Floor,
):
    erp = Forgetful(floor.http, S4Settings(), lambda: NOW)
    order = await received(floor, erp)
    await floor.announce("invoice-received", invoice("INV-1", order), order)
    task = await raised(floor.ledger, "stuck")
    await floor.ledger.tasks.resolve(task.id, retry())
    await ended(floor.ledger)
    assert await came_to(floor) == ["matched"]
    assert await posted(floor) == 1
