"""Numbers of items, amounts with units, packaging: what is refused at the first touch."""

from decimal import Decimal

import msgspec
import pytest

from canonical.errors import InvalidRequest, WrongUnit
from canonical.item import Item, ItemId, Packaging, Quantity, gtin


def each(value: str = "1", unit: str = "EA") -> Quantity:
    return Quantity(value=Decimal(value), unit=unit)


SUTURE = Item(
    id=ItemId("CON-1"),
    description="Suture",
    base_unit="EA",
    packagings=(
        Packaging(unit="BX", factor=Decimal(36)),
        Packaging(unit="CA", factor=Decimal(432)),
    ),
)


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ("00614141999996", "00614141999996"),
        ("4006381333931", "04006381333931"),
        ("036000291452", "00036000291452"),
        ("96385074", "00000096385074"),
        (" 96385074\n", "00000096385074"),
    ],
)
def test_a_gtin_of_any_length_is_kept_with_fourteen_digits(printed: str, kept: str):
    assert gtin(printed) == kept


@pytest.mark.parametrize(
    ("printed", "right"),
    [
        ("00614141999997", "6"),
        ("4006381333930", "1"),
        ("036000291455", "2"),
        ("96385070", "4"),
        ("4006381339331", "9"),
    ],
)
def test_a_gtin_with_a_wrong_check_digit_is_refused_with_the_right_one(printed: str, right: str):
    with pytest.raises(InvalidRequest, match="check digit") as refused:
        gtin(printed)
    assert refused.value.expected == right


def test_a_check_digit_of_nought_is_right_when_the_sum_is_a_whole_ten():
    assert gtin("00000000000000") == "00000000000000"


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "1234567",
        "123456789",
        "1234567890",
        "123456789012345",
        "9638507X",
        "-9638507",
        "٩٦٣٨٥٠٧٤",
    ],
)
def test_what_has_not_the_digits_of_a_gtin_is_none(printed: str):
    with pytest.raises(InvalidRequest, match="not a GTIN"):
        gtin(printed)


@pytest.mark.parametrize(
    ("given", "in_base"),
    [(each("5"), "5"), (each("2", "BX"), "72"), (each("0.5", "CA"), "216.0")],
)
def test_an_amount_is_turned_into_the_base_unit_by_the_packaging(given: Quantity, in_base: str):
    assert SUTURE.in_base_unit(given) == each(in_base)


def test_a_unit_the_item_is_not_packed_in_is_refused_with_those_it_is():
    with pytest.raises(WrongUnit, match="CON-1 has no packaging PK") as refused:
        SUTURE.in_base_unit(each("1", "PK"))
    assert refused.value.expected == "one of EA, BX, CA"
    assert refused.value.fix


def test_amounts_of_one_unit_add_up():
    assert each("1.5") + each("2") == each("3.5")


def test_amounts_of_different_units_never_add_up():
    with pytest.raises(WrongUnit, match="cannot add BX to EA"):
        each() + each("1", "BX")


def test_an_amount_keeps_its_digits_on_the_way_through_json():
    written = msgspec.json.encode(each("1.50"))
    assert written == b'{"value":"1.50","unit":"EA"}'
    assert msgspec.json.decode(written, type=Quantity) == each("1.50")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"value":"1"}', "required field `unit`"),
        (b'{"value":"some","unit":"EA"}', r"\$\.value"),
        (b'{"value":"1","unit":"EA","units":"BX"}', "unknown field `units`"),
    ],
)
def test_an_amount_that_is_not_whole_is_refused_by_its_field(body: bytes, place: str):
    with pytest.raises(msgspec.ValidationError, match=place):
        msgspec.json.decode(body, type=Quantity)
