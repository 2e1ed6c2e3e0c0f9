"""Any scanned text becomes the codes it may mean, and the batch it carries."""

from datetime import date

import pytest

from gateway.labels import Labels

HOUSE = ["erp", "supplier-sku", "catalogue", "ehr"]


def read(text: str):
    return Labels().read(text)


def schemes(text: str) -> list[tuple[str, str]]:
    return [(code.scheme, code.value) for code in read(text).codes]


@pytest.mark.parametrize(
    ("text", "scheme", "value"),
    [
        ("00844588017735", "gtin", "00844588017735"),
        ("844588017735", "gtin", "00844588017735"),
        ("96385074", "gtin", "00000096385074"),
        ("(01)00844588017735(17)270630(10)TI2142A(21)TI-1", "gtin", "00844588017735"),
        ("]C10100844588017735", "gtin", "00844588017735"),
        ("https://id.gs1.org/01/00844588017735/10/TI2142A", "gtin", "00844588017735"),
        ("+A123BJC5D6E71G", "hibcc", "A123BJC5D6E71"),
        ("=/A9999XYZ100T0476", "iccbba", "A9999XYZ100T0476"),
    ],
    ids=["gtin-14", "gtin-12", "gtin-8", "printed", "scanned", "link", "hibcc", "iccbba"],
)
def test_a_label_by_a_standard_is_its_device_first_and_a_house_number_after(text, scheme, value):
    first, *rest = schemes(text)
    assert first == (scheme, value)
    assert rest == [(name, text) for name in HOUSE]


def test_a_udi_brings_its_lot_serial_and_expiry():
    label = read("(01)00844588017735(17)270630(10)TI2142A(21)TI-1")
    assert (label.lot, label.serial, label.expires) == ("TI2142A", "TI-1", date(2027, 6, 30))


def test_a_device_number_alone_brings_no_batch():
    label = read("00844588017735")
    assert (label.lot, label.serial, label.expires) == ("", "", None)


@pytest.mark.parametrize(
    "text",
    ["CON-60001", "SURG 88301", "00844588017736", "12345678", "", "Nähset 3"],
    ids=["item", "sku", "mistyped-gtin", "eight-digits-of-the-house", "empty", "not-ascii"],
)
def test_what_no_standard_knows_is_a_number_of_the_house_as_it_was_typed(text: str):
    assert schemes(text) == [(name, text) for name in HOUSE]
    assert read(text).lot == ""
