"""What a scanner shows, and what it may hand in."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from canonical.inventory import StockLevel
from canonical.item import Item, ItemCode, ItemId, ScannedLabel
from experience_apis.mobile.views import MobileReceipt, MobileUsage, availability

INSERT = Item(id=ItemId("IMP-1"), description="Tibial insert", base_unit="EA")
LABEL = ScannedLabel(
    codes=(ItemCode(scheme="gtin", value="00614141999996"),),
    lot="L-1",
    serial="S-1",
    expires=date(2027, 6, 30),
)


def level(on_hand: str, reserved: str = "0") -> StockLevel:
    return StockLevel(
        item=INSERT.id,
        facility="1710",
        location="OR01",
        unit="EA",
        on_hand=Decimal(on_hand),
        reserved=Decimal(reserved),
        on_order=Decimal(6),
    )


@pytest.mark.parametrize(
    ("stock", "free"),
    [
        (level("4"), "4"),
        (level("4", "1"), "3"),
        (level("4", "4"), "0"),
        (level("4", "5"), "0"),
        (level("0.5"), "0.5"),
    ],
)
def test_what_is_promised_to_a_case_is_not_free_and_nothing_is_free_twice(stock, free: str):
    shown = availability(INSERT, stock, LABEL)
    assert shown.available == Decimal(free)
    assert shown.on_hand == stock.on_hand


def test_a_scan_shows_item_amounts_with_unit_and_what_the_label_said():
    shown = availability(INSERT, level("4", "1"), LABEL)
    assert msgspec.json.decode(msgspec.json.encode(shown)) == {
        "item": "IMP-1",
        "description": "Tibial insert",
        "unit": "EA",
        "facility": "1710",
        "location": "OR01",
        "onHand": "4",
        "available": "3",
        "onOrder": "6",
        "active": True,
        "substitute": None,
        "lot": "L-1",
        "serial": "S-1",
        "expires": "2027-06-30",
    }


def test_an_inactive_item_shows_its_substitute():
    old = msgspec.structs.replace(INSERT, active=False, substitute=ItemId("IMP-2"))
    shown = availability(old, level("1"), ScannedLabel(codes=()))
    assert (shown.active, shown.substitute) == (False, "IMP-2")
    assert (shown.lot, shown.serial, shown.expires) == ("", "", None)


USAGE = {
    "facility": "1710",
    "location": "OR01",
    "occurredAt": "2026-05-12T09:00:00Z",
    "encounter": "V-1",
    "lines": [{"code": "00614141999996", "quantity": {"value": "1", "unit": "EA"}}],
}
RECEIPT = {
    "order": "4500000001",
    "receivedAt": "2026-05-12T09:00:00Z",
    "lines": [{"code": "SKU-1", "quantity": {"value": "1", "unit": "BX"}, "serials": ["S-1"]}],
}
LINE = {"code": "SKU-1", "quantity": {"value": "1", "unit": "EA"}}


@pytest.mark.parametrize(("body", "kind"), [(USAGE, MobileUsage), (RECEIPT, MobileReceipt)])
def test_a_scan_needs_no_more_than_what_the_scanner_knows(body, kind):
    handed_in = msgspec.convert(body, kind)
    assert len(handed_in.lines) == 1


@pytest.mark.parametrize(
    ("body", "kind", "changed", "says"),
    [
        (USAGE, MobileUsage, {"patientName": "x"}, "unknown field `patientName`"),
        (USAGE, MobileUsage, {"encounter": ""}, r"length >= 1.*\$\.encounter"),
        (USAGE, MobileUsage, {"facility": "x" * 65}, r"length <= 64.*\$\.facility"),
        (USAGE, MobileUsage, {"lines": []}, r"length >= 1.*\$\.lines"),
        (USAGE, MobileUsage, {"lines": [LINE] * 201}, r"length <= 200.*\$\.lines"),
        (USAGE, MobileUsage, {"lines": [LINE | {"code": ""}]}, r"\$\.lines\[0\]\.code"),
        (USAGE, MobileUsage, {"lines": [LINE | {"units": 1}]}, r"`units`.*\$\.lines\[0\]"),
        (USAGE, MobileUsage, {"occurredAt": "yesterday"}, r"\$\.occurredAt"),
        (RECEIPT, MobileReceipt, {"order": ""}, r"\$\.order"),
        (RECEIPT, MobileReceipt, {"lines": []}, r"\$\.lines"),
        (
            RECEIPT,
            MobileReceipt,
            {"lines": [LINE | {"serials": ["S-1", ""]}]},
            r"\$\.lines\[0\]\.serials\[1\]",
        ),
        (RECEIPT, MobileReceipt, {"lines": [LINE | {"expires": "soon"}]}, r"\.expires"),
    ],
)
def test_a_scan_that_is_not_whole_is_refused_at_its_place(body, kind, changed, says: str):
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(body | changed, kind)
