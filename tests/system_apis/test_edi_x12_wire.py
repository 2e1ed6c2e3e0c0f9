"""Elements with their place: whatever cannot be read names itself."""

from datetime import date
from decimal import Decimal

import pytest

from canonical.errors import MalformedMessage
from canonical.item import Quantity
from system_apis.edi.x12.wire import Placed, gtin_of, only, supplier_sku_of, syntax_note

LINE = Placed(["PO1", "010", "2.50", "EA", ".5", "", "VN", "SKU-1 ", "UK"], 7)


def test_elements_are_read_by_their_type():
    assert LINE.number(1) == 10
    assert LINE.decimal(4) == Decimal("0.5")
    assert LINE.quantity(2, 3) == Quantity(value=Decimal("2.50"), unit="EA")
    assert LINE.products(6) == {"VN": "SKU-1"}
    assert LINE.text(99) == ""
    assert Placed(["TDS", "-1005"], 1).cents(1) == Decimal("-10.05")
    assert Placed(["DTM", "011", "20280229"], 1).day(2) == date(2028, 2, 29)


@pytest.mark.parametrize(
    ("segment", "read", "where"),
    [
        (["PO1", ""], lambda s: s.required(1), "PO101 in segment 3"),
        (["PO1", "1", "1e5"], lambda s: s.decimal(2), "PO102 in segment 3"),
        (["PO1", "1", "NaN"], lambda s: s.decimal(2), "PO102 in segment 3"),
        (["TDS", "10.05"], lambda s: s.cents(1), "TDS01 in segment 3"),
        (["PO1", "A1"], lambda s: s.number(1), "PO101 in segment 3"),
        (["PO1", "\u0663"], lambda s: s.number(1), "PO101 in segment 3"),
        (["DTM", "011", "20270229"], lambda s: s.day(2), "DTM02 in segment 3"),
        (["DTM", "011", "270228"], lambda s: s.day(2), "DTM02 in segment 3"),
        (["SN1", "", "1", "EACH"], lambda s: s.quantity(2, 3), "SN103 in segment 3"),
    ],
)
def test_what_cannot_be_read_names_its_element(segment, read, where):
    with pytest.raises(MalformedMessage) as refused:
        read(Placed(segment, 3))
    assert refused.value.where == where
    note = syntax_note(refused.value)
    assert (note.segment, note.position) == (segment[0], 3)


def test_a_missing_segment_has_no_place_for_a_syntax_note():
    with pytest.raises(MalformedMessage) as refused:
        only([LINE], "BAK")
    assert syntax_note(refused.value) is None


@pytest.mark.parametrize(
    ("products", "gtin", "sku"),
    [
        ({"UP": "614141999996", "VP": "A"}, "00614141999996", "A"),
        ({"UK": "00614141999996", "UP": "1", "VN": "B", "VP": "A"}, "00614141999996", "B"),
        ({"EN": "no digits"}, "no digits", ""),
        ({"N4": "50242005306", "VC": "C"}, "", "C"),
    ],
)
def test_items_are_named_by_the_best_code_there_is(products, gtin, sku):
    assert (gtin_of(products), supplier_sku_of(products)) == (gtin, sku)
