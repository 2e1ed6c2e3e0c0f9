"""The unit table against the standards' own meanings."""

import pytest

from canonical.errors import WrongUnit
from standards.units import codes

SAME_THING = [
    ("EA", "EA", "EA", "{each}"),
    ("BX", "BX", "XBX", "{box}"),
    ("CT", "CT", "XCT", "{carton}"),
    ("CA", "CA", "XCS", "{case}"),
    ("ST", "ST", "SET", "{set}"),
    ("DZ", "DZ", "DZN", "{dozen}"),
    ("TU", "TB", "XTU", "{tube}"),
    ("BT", "BO", "XBO", "{bottle}"),
    ("RL", "RL", "XRO", "{roll}"),
    ("L", "LT", "LTR", "L"),
    ("G", "GR", "GRM", "g"),
    ("MG", "ME", "MGM", "mg"),
    ("M", "MR", "MTR", "m"),
]


@pytest.mark.parametrize(("unit", "x12", "unece", "ucum"), SAME_THING)
def test_a_unit_has_one_spelling_per_standard(unit, x12, unece, ucum):
    assert (codes.to_x12(unit), codes.to_unece(unit), codes.to_ucum(unit)) == (x12, unece, ucum)
    assert {codes.from_x12(x12), codes.from_unece(unece), codes.from_ucum(ucum)} == {unit}


def test_every_unit_survives_the_way_out_and_back():
    for unit in codes.UNITS:
        assert codes.from_x12(codes.to_x12(unit)) == unit
        assert codes.from_unece(codes.to_unece(unit)) == unit
        assert codes.from_ucum(codes.to_ucum(unit)) == unit


LOOKS_ALIKE = [
    (codes.from_ucum, "EA", "exa-ampere"),
    (codes.from_ucum, "BX", "no UCUM code"),
    (codes.from_ucum, "ML", "case-sensitive UCUM has no ML"),
    (codes.from_unece, "CA", "a can in Rec 20"),
    (codes.from_unece, "ST", "a sheet in Rec 20"),
    (codes.from_unece, "BT", "a bolt in Rec 20"),
    (codes.from_x12, "CS", "a cassette in X12"),
    (codes.from_x12, "TU", "a thousand linear yards in X12"),
    (codes.from_x12, "BT", "a belt in X12"),
    (codes.from_x12, "MG", "a metric gross ton in X12"),
    (codes.from_x12, "", "empty"),
    (codes.to_x12, "ZZ", "not ours"),
    (codes.to_unece, "XBX", "not ours"),
    (codes.to_ucum, "ea", "case"),
]


@pytest.mark.parametrize(("convert", "code", "why"), LOOKS_ALIKE)
def test_a_code_that_means_something_else_is_refused(convert, code, why):
    with pytest.raises(WrongUnit) as refusal:
        convert(code)
    assert refusal.value.expected.startswith("one of "), why


def test_one_and_unity_are_each():
    assert codes.from_unece("C62") == "EA"
    assert codes.from_ucum("1") == "EA"
