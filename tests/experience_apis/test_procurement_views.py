"""What a buyer sees of an order, and what stays out of the list."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from canonical.item import ItemId, Quantity
from canonical.money import Money
from canonical.order import OrderLine, PurchaseOrder
from experience_apis.procurement.views import OrderList, OrderPage, order_row, order_summary

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
    rows = OrderList(items=(order_row(order_summary(ORDER, "tx_1", 1, CHANGED)),))
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


def test_the_second_version_counts_lines_by_their_name_and_says_where_the_next_page_begins():
    page = OrderPage(items=(order_summary(ORDER, "tx_1", 1, CHANGED),), next="4500000001")
    told = msgspec.json.decode(msgspec.json.encode(page))
    assert told["next"] == "4500000001"
    (row,) = told["items"]
    assert (row["lineCount"], row["facility"]) == (2, "1710")
    assert "lines" not in row
