"""What a buyer sees of an order, and what stays out of the list."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from canonical.item import ItemId, Quantity
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from experience_apis.procurement.views import OrderList, order_row

LINE = OrderLine(
    line=10,
    item=ItemId("CON-1"),
    description="Suture",
    quantity=Quantity(value=Decimal(2), unit="BX"),
    unit_price=Money(amount=Decimal("90.00")),
    base_quantity=Quantity(value=Decimal(72), unit="EA"),
)
ORDER = PurchaseOrder(
    number="4500000001",
    supplier="S-1",
    facility="1710",
    location="OR01",
    cost_center="CC-OR",
    ordered_on=date(2026, 5, 12),
    needed_on=date(2026, 5, 14),
    lines=(LINE, LINE),
    total=Money(amount=Decimal("360.00")),
    status="acknowledged",
)
CHANGED = datetime(2026, 5, 12, 9, tzinfo=UTC)


def test_an_order_is_one_line_with_its_story_and_what_waits_for_somebody():
    rows = OrderList(items=(order_row(ORDER, "tx_1", 1, CHANGED),))
    assert msgspec.json.decode(msgspec.json.encode(rows)) == {
        "items": [
            {
                "number": "4500000001",
                "supplier": "S-1",
                "status": "acknowledged",
                "orderedOn": "2026-05-12",
                "neededOn": "2026-05-14",
                "total": {"amount": "360.00", "currency": "USD"},
                "lines": 2,
                "transaction": "tx_1",
                "openTasks": 1,
                "changedAt": "2026-05-12T09:00:00Z",
            }
        ]
    }
