"""UDI carriers: what is on the label comes out whole, or a named failure does."""

from contextlib import suppress
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from canonical.errors import MalformedMessage
from canonical.item import ItemCode
from standards.udi.codec import Udi, parse
from standards.udi.hibcc import check_character

KNEE = "00844588003288"


def gs1(**facts) -> Udi:
    return Udi(issuer="gs1", di=KNEE, gtin=KNEE, **facts)


def hibcc(**facts) -> Udi:
    return Udi(issuer="hibcc", di="A123BJC5D6E71", **facts)


def symbol(body: str) -> str:
    return body + check_character(body)


CARRIERS = [
    (
        f"(01){KNEE}(17)141120(10)7654321D(21)10987654d321",
        gs1(lot="7654321D", serial="10987654d321", expires=date(2014, 11, 20)),
    ),
    (
        f" (01) {KNEE} (11) 231130 (17) 271100 (10) A/B-1 ",
        gs1(lot="A/B-1", made=date(2023, 11, 30), expires=date(2027, 11, 30)),
    ),
    (
        f"]d201{KNEE}1714112010A213B1\x1d211234",
        gs1(lot="A213B1", serial="1234", expires=date(2014, 11, 20)),
    ),
    (f"]C1\x1d01{KNEE}21S1\x1d10L1\x1d", gs1(lot="L1", serial="S1")),
    (f"]Q301{KNEE}", gs1()),
    (f"]e001{KNEE}10A213B1211234", gs1(lot="A213B1211234")),
    (f"01{KNEE}21S1\x1d10L21B", gs1(lot="L21B", serial="S1")),
    (f"01{KNEE}21S1\u219410L1", gs1(lot="L1", serial="S1")),
    (f"01{KNEE}1021A7", gs1(lot="21A7")),
    (f"01{KNEE}70032701311200\x1d10L1", gs1(lot="L1", expires=date(2027, 1, 31))),
    (
        f"https://id.gs1.org/01/{KNEE}/10/ABC/21/S%2F1?17=271231",
        gs1(lot="ABC", serial="S/1", expires=date(2027, 12, 31)),
    ),
    (KNEE, gs1()),
    ("844588003288", Udi(issuer="gs1", di="844588003288", gtin=KNEE)),
    ("]E00844588003288", Udi(issuer="gs1", di="0844588003288", gtin=KNEE)),
    ("96385074", Udi(issuer="gs1", di="96385074", gtin="00000096385074")),
    ("+A123BJC5D6E71G", hibcc()),
    ("*+A123BJC5D6E71G*", hibcc()),
    ("]C0+A123BJC5D6E71G", hibcc()),
    ("+A123PAV1_", Udi(issuer="hibcc", di="A123PAV1")),
    ("+A123PAV1 ", Udi(issuer="hibcc", di="A123PAV1")),
    (symbol("+A123BJC5D6E71/$$3271231LOT7"), hibcc(lot="LOT7", expires=date(2027, 12, 31))),
    (symbol("+A123BJC5D6E71/$$2123127LOT7"), hibcc(lot="LOT7", expires=date(2027, 12, 31))),
    (symbol("+A123BJC5D6E71/$$427123116LOT7"), hibcc(lot="LOT7", expires=date(2027, 12, 31))),
    (symbol("+A123BJC5D6E71/$$527365LOT7"), hibcc(lot="LOT7", expires=date(2027, 12, 31))),
    (symbol("+A123BJC5D6E71/$$62736516LOT7"), hibcc(lot="LOT7", expires=date(2027, 12, 31))),
    (symbol("+A123BJC5D6E71/$$7LOT7"), hibcc(lot="LOT7")),
    (symbol("+A123BJC5D6E71/$$0227LOT7"), hibcc(lot="LOT7", expires=date(2027, 2, 28))),
    (symbol("+A123BJC5D6E71/$$8243271231LOT7"), hibcc(lot="LOT7", expires=date(2027, 12, 31))),
    (symbol("+A123BJC5D6E71/$$9001007LOT7"), hibcc(lot="LOT7")),
    (symbol("+A123BJC5D6E71/$$824"), hibcc()),
    (symbol("+A123BJC5D6E71/27365LOT7"), hibcc(lot="LOT7", expires=date(2027, 12, 31))),
    (symbol("+A123BJC5D6E71/$LOT7/SSER1/14D20271231/16D20230102/Q5"),
     hibcc(lot="LOT7", serial="SER1", expires=date(2027, 12, 31), made=date(2023, 1, 2))),
    (symbol("+A123BJC5D6E71/$$+3271231SER1"), hibcc(serial="SER1", expires=date(2027, 12, 31))),
    (symbol("+A123BJC5D6E71/$+SER1"), hibcc(serial="SER1")),
    (
        "+A123BJC5D6E71G\r\n" + symbol("+$$3271231LOT7G"),
        hibcc(lot="LOT7", expires=date(2027, 12, 31)),
    ),
    (
        "=/A9999XYZ100T0944=,000025=A99971312345600=>014032=}013032&,1000000000000XYZ123",
        Udi(issuer="iccbba", di="A9999XYZ100T0944", lot="000000000000XYZ123", serial="000025",
            expires=date(2014, 2, 1), made=date(2013, 2, 1), donation="A99971312345600"),
    ),
    ("=+05003=)1TE123456A&)RZ12345678=>998365",
     Udi(issuer="iccbba", di="1TE123456A", lot="RZ12345678", expires=date(1998, 12, 31))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CARRIERS)
def test_a_carrier_is_read_whole(text, expected):
    assert parse(text) == expected


REFUSED = [
    ("", "UDI"),
    ("   ", "UDI"),
    ("hello", "UDI"),
    ("A9999XYZ100T0474", "UDI"),
    (f"{{01}}{KNEE}{{17}}141120", "UDI"),
    ("(01)00844588003289(10)A", "UDI (01)"),
    ("00844588003289", "UDI (01)"),
    ("01008445880032891714112010A", "UDI (01)"),
    ("(17)141120(10)A", "UDI (01)"),
    ("1714112010A", "UDI (01)"),
    (f"(01){KNEE}(17)141131", "UDI"),
    (f"(01){KNEE}(17)1411", "UDI"),
    (f"(01){KNEE}(10)AB(C", "UDI"),
    (f"(01){KNEE}(10)AB C", "UDI"),
    (f"(01){KNEE}(10)A(10)B", "UDI (10)"),
    (f"(01){KNEE}(9999)B", "UDI"),
    (f"01{KNEE}10A213B1211234", "UDI (10)"),
    (f"01{KNEE}10LOT17271231", "UDI (10)"),
    (f"01{KNEE}21SER10LOT", "UDI (21)"),
    (f"]d201{KNEE}10ABCDEFGHIJKLMNOPQRST11270101", "UDI (10)"),
    (f"https://id.gs1.org/01/{KNEE}/10", "UDI"),
    ("https://example.org/", "UDI"),
    ("+A123BJC5D6E71H", "UDI check character"),
    ("+A123PAV1", "UDI check character"),
    ("+a123BJC5D6E71G", "UDI"),
    (symbol("+$$3271231LOT7G"), "UDI primary"),
    (symbol("+1123BJC5D6E71"), "UDI primary"),
    (symbol("+A123BJC5D6E71/$$3271331LOT7"), "UDI expiry date"),
    (symbol("+A123BJC5D6E71/$$32712"), "UDI expiry date"),
    (symbol("+A123BJC5D6E71/$$527366LOT7"), "UDI expiry date"),
    (symbol("+A123BJC5D6E71/$$1327LOT7"), "UDI expiry date"),
    (symbol("+A123BJC5D6E71/$$XLOT7"), "UDI expiry date"),
    (symbol("+A123BJC5D6E71/$LOT7/$LOT8"), "UDI lot"),
    (symbol("+A123BJC5D6E71/$$3271231L/14D20280101"), "UDI expires"),
    (symbol("+A123BJC5D6E71/16D20231301"), "UDI date"),
    (symbol("+A123BJC5D6E71/16D2023"), "UDI date"),
    (symbol("+A123BJC5D6E71/QX"), "UDI Q"),
    (symbol("+A123BJC5D6E71/ZZ"), "UDI data"),
    ("+A123BJC5D6E71G\n" + symbol("+$LOT7X"), "UDI link character"),
    ("+A123BJC5D6E71G\n" * 3, "UDI"),
    ("=,000025", "UDI =/"),
    ("=/A9999XYZ100T0944=)1TE123456A", "UDI =/"),
    ("=/A9999XYZ100T0944=,000025=,000026", "UDI serial"),
    ("=/A9999XYZ100T0944=>014366", "UDI date"),
    ("=/A9999XYZ100T0944==", "UDI character 19"),
    ("=/SHORT", "UDI character 1"),
    (f"(01){KNEE}(10){'A' * 600}", "UDI"),
    (f"01{KNEE}17\u0661\u0664\u0661\u0661\u0662\u0660", "UDI"),
]


@pytest.mark.parametrize(("text", "where"), REFUSED)
def test_what_is_no_udi_is_refused_at_its_place(text, where):
    with pytest.raises(MalformedMessage) as refusal:
        parse(text)
    assert refusal.value.where == where


@pytest.mark.parametrize(("text", "_where"), [row for row in REFUSED if len(row[0].strip()) > 4])
def test_a_refusal_never_repeats_the_label(text, _where):
    with pytest.raises(MalformedMessage) as refusal:
        parse(text)
    assert text.strip() not in f"{refusal.value} {refusal.value.fix}"


ANYTHING = st.one_of(
    st.text(max_size=80),
    st.text("0123456789()+=/$&,>}{]dC1\x1d A", max_size=80),
    st.builds(lambda tail: f"01{KNEE}{tail}", st.text("0123456789AB\x1d", max_size=60)),
    st.builds(lambda tail: symbol(f"+A123B1/{tail}"), st.text("0123456789AS$+/D.%", max_size=40)),
    st.builds(lambda tail: f"=/A9999XYZ100T0944{tail}", st.text("=,>}&10A9", max_size=40)),
)


@given(ANYTHING)
@example(f"01{KNEE}3103")
@example("(01)")
def test_any_text_is_read_or_refused(text):
    with suppress(MalformedMessage):
        assert parse(text).di


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"(01){KNEE}(21)1", ItemCode(scheme="gtin", value=KNEE)),
        ("+A123BJC5D6E71G", ItemCode(scheme="hibcc", value="A123BJC5D6E71")),
        ("=/A9999XYZ100T0944", ItemCode(scheme="iccbba", value="A9999XYZ100T0944")),
    ],
)
def test_a_device_names_its_item_in_its_issuers_scheme(text, code):
    assert parse(text).item_code() == code
