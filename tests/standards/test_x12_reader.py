"""Reading X12: hostile interchanges are refused by name, and one bad set does not cost the
others.
"""

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import MalformedMessage
from standards.x12.conformance import examined
from standards.x12.reader import header, interchanges, read, walk

ISA = (
    "ISA*00*          *00*          *ZZ*SUPPLIERONE    *ZZ*HOSPITAL       "
    "*260105*0900*U*00401*000000007*0*P*>~"
)
GS = "GS*PR*SUPPLIER*HOSPITAL*20260105*0900*7*X*004010~"
SET = (
    "ST*855*{0}~BAK*00*AD*4500000001*20260104~"
    "PO1*1*10*EA*4.5**VN*SKU-1~ACK*IA*10*EA~CTT*1~SE*6*{0}~"
)
GOOD = SET.format("0001")
END = "GE*1*7~IEA*1*000000007~"
BOM = b"\xef\xbb\xbf"
MODERN = ISA.replace("*U*00401*", "*^*00501*").replace("*0900*^", "*0900*^")


def interchange(*sets: str, isa: str = ISA, gs: str = GS, end: str = "") -> bytes:
    return (isa + gs + "".join(sets) + (end or f"GE*{len(sets)}*7~IEA*1*000000007~")).encode()


def test_a_sound_interchange_is_read_with_its_parties_and_sets():
    (found,) = read(interchange(GOOD, SET.format("0002")))
    assert (found.header.sender_qualifier, found.header.sender) == ("ZZ", "SUPPLIERONE")
    assert found.header.control == "000000007"
    (group,) = found.groups
    assert [each.control for each in group.sets] == ["0001", "0002"]
    assert group.sets[0].segments[2] == ["PO1", "1", "10", "EA", "4.5", "", "VN", "SKU-1"]
    assert examined(found).groups[0].verdict == "A"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "ISA"),
        (b"   \r\n", "ISA"),
        (b"UNA:+.? 'UNB", "ISA"),
        (interchange(GOOD).replace(b"SUPPLIERONE    ", b"SUPPLIERONE   "), "ISA"),
        (interchange(GOOD).replace(b"SUPPLIERONE    ", b"SUPPLIERONE     "), "ISA"),
        (interchange(GOOD).replace(b"SUPPLIERONE    ", b"SUPPLIER\xd6NE    "), "ISA"),
        (interchange(GOOD).replace(b"SUPPLIERONE    ", b"               "), "ISA06"),
        (ISA[:60].encode(), "ISA"),
        (ISA.replace(">~", ">").encode(), "ISA"),
        (interchange(GOOD, isa=ISA.replace(">~", "A~")), "ISA16"),
        (interchange(GOOD, isa=ISA.replace(">~", "*~")), "ISA"),
        (ISA.replace(">~", ">>").encode(), "ISA16"),
        (ISA.replace(">~", ">7").encode(), "ISA terminator"),
        (interchange(GOOD, isa=ISA.replace("260105", "261305")), "ISA09"),
        (interchange(GOOD, isa=ISA.replace("*0900*", "*2500*")), "ISA10"),
        (interchange(GOOD, isa=ISA.replace("00401", "V4010")), "ISA12"),
        (interchange(GOOD, isa=ISA.replace("000000007", "       07")), "ISA13"),
        (interchange(GOOD, isa=ISA.replace("*0*P*", "*2*P*")), "ISA14"),
        (interchange(GOOD, isa=ISA.replace("*0*P*", "*0*X*")), "ISA15"),
        (interchange(GOOD, end="GE*1*7~"), "IEA"),
        (interchange(GOOD, end="GE*1*7~IEA*1*000000007"), "end"),
        (interchange(GOOD, end="GE*1*7~IEA*2*000000007~"), "IEA01"),
        (interchange(GOOD, end="GE*1*7~IEA*one*000000007~"), "IEA01"),
        (interchange(GOOD, end="GE*1*7~IEA~"), "IEA01"),
        (interchange(GOOD, end="GE*1*7~IEA*1*000000008~"), "IEA02"),
        (interchange(GOOD, end="GE*1*7~IEA*1*7~"), "IEA02"),
        (interchange(GOOD, gs="GS*PR*SUPPLIER~"), "GS"),
        (interchange(GOOD, gs=""), "ST"),
        (interchange("SE*1*0001~", end=END), "SE"),
        (interchange("N1*ST~", GOOD, end=END), "N1"),
        (interchange("~", GOOD, end=END), "segment"),
        ((ISA + "GE*0*7~IEA*0*000000007~").encode(), "GE"),
        (interchange(GOOD) + b"and more", "ISA"),
        (interchange("ISA~", GOOD, end=END), "IEA"),
        (interchange(GOOD, isa=ISA.replace("260105", "26O105")), "ISA09"),
        (interchange(GOOD, end="GE*1*7~N1*ST~IEA*1*000000007~"), "N1"),
    ],
)
def test_a_broken_envelope_is_refused_naming_the_place(body, where):
    with pytest.raises(MalformedMessage) as refused:
        read(body)
    assert refused.value.where == where
    assert refused.value.expected


@pytest.mark.parametrize(
    ("bad", "codes"),
    [
        (GOOD.replace("SE*6*", "SE*7*"), ("4",)),
        (GOOD.replace("SE*6*", "SE*six*"), ("4", "5")),
        (GOOD.replace("SE*6*0001", "SE*6*0009"), ("3",)),
        (GOOD.replace("SE*6*0001", "SE"), ("3", "4", "5")),
        (GOOD.replace("SE*6*0001~", ""), ("2",)),
        (GOOD.replace("ST*855", "ST*850"), ("6", "5")),
        (GOOD.replace("ST*855", "ST*999"), ("6", "5")),
        (GOOD.replace("ST*855*0001", "ST*855").replace("SE*6*0001", "SE*6"), ("7", "5")),
        (SET.format("0002"), ("23",)),
        (GOOD.replace("CTT", "~CTT").replace("SE*6", "SE*7"), ("5",)),
        (GOOD.replace("CTT", "ctt"), ("5",)),
        (GOOD + "N1*ST~", ("5",)),
        (GOOD + "SE*1*0001~", ("5",)),
        (GOOD + "~", ("5",)),
        (GOOD.replace("SKU-1", "SKU-\xd6"), ("5",)),
        (GOOD.replace("SKU-1", "SKU\x1c1"), ("5",)),
        (GOOD.replace("BAK*00*AD*4500000001*20260104~", "").replace("SE*6", "SE*5"), ("5",)),
        (GOOD.replace("ST*855*0001", "ST*867*0001"), ("6", "1")),
    ],
)
def test_a_bad_set_is_rejected_and_its_neighbour_is_not(bad, codes):
    body = (ISA + GS + SET.format("0002") + bad + "GE*2*7~IEA*1*000000007~").encode("latin-1")
    (found,) = (examined(each) for each in read(body))
    (group,) = found.groups
    assert group.sets[0].accepted
    assert group.sets[1].syntax_codes == codes
    assert group.verdict == "P"


@pytest.mark.parametrize(
    ("end", "gs", "codes"),
    [
        ("IEA*1*000000007~", GS, ("3",)),
        (f"{GS}{SET.format('0002')}GE*1*7~IEA*2*000000007~", GS, ("3",)),
        (f"ST*855*0002~{GS}{SET.format('0002')}GE*1*7~IEA*2*000000007~", GS, ("3",)),
        ("GE*1*8~IEA*1*000000007~", GS, ("4",)),
        ("GE*2*7~IEA*1*000000007~", GS, ("5",)),
        ("GE*x*7~IEA*1*000000007~", GS, ("5",)),
        ("GE~IEA*1*000000007~", GS, ("4", "5")),
        (END, GS.replace("*7*X", "*SEVEN*X"), ("6", "4")),
        (END, GS.replace("GS*PR", "GS*HC"), ("1",)),
        (END, GS.replace("004010", "003010"), ("2",)),
    ],
)
def test_a_broken_group_is_rejected_with_all_its_sets(end, gs, codes):
    (found,) = (examined(each) for each in read(interchange(GOOD, gs=gs, end=end)))
    group = found.groups[0]
    assert group.errors == codes
    assert group.verdict == "R"
    assert group.accepted_sets == ()


@pytest.mark.parametrize("after", ["GE*1*7~IEA*1*000000007~", "IEA*1*000000007~"])
def test_a_set_that_never_ends_is_rejected_at_the_end_of_its_group(after):
    (found,) = read(interchange(GOOD.replace("SE*6*0001~", ""), end=after))
    assert found.groups[0].sets[0].set_errors == ("2",)


def test_the_997_stays_short_however_much_is_wrong():
    (found,) = (examined(each) for each in read(interchange(GOOD + "N1*ST~" * 500)))
    assert len(found.groups[0].sets[0].segment_errors) == 100


def test_a_group_control_number_may_be_padded_on_one_side_only():
    (found,) = read(interchange(GOOD, end="GE*1*0007~IEA*1*000000007~"))
    assert found.groups[0].errors == ()


def test_unknown_sets_of_a_known_group_are_not_supported():
    body = interchange(GOOD.replace("ST*855", "ST*858"), gs=GS.replace("GS*PR", "GS*PO"))
    (found,) = (examined(each) for each in read(body))
    assert found.groups[0].sets[0].syntax_codes == ("1",)


@pytest.mark.parametrize("end_of_line", ["\n", "\r\n", "\r"])
def test_line_ends_after_segments_carry_nothing(end_of_line):
    body = interchange(GOOD).replace(b"~", b"~" + end_of_line.encode())
    assert read(body)[0].groups == read(interchange(GOOD))[0].groups


@pytest.mark.parametrize("terminator", ["\n", "\r\n", "\x1c", "'", "|"])
def test_the_terminator_is_whatever_the_header_says(terminator):
    body = interchange(GOOD).replace(b"~", terminator.encode())
    assert [each.segments for each in read(body)[0].groups[0].sets] == [
        each.segments for each in read(interchange(GOOD))[0].groups[0].sets
    ]


@pytest.mark.parametrize("columns", range(60, 90))
@pytest.mark.parametrize("end_of_line", ["\n", "\r\n"])
def test_lines_wrapped_at_some_column_are_joined(columns, end_of_line):
    whole = interchange(GOOD) + interchange(SET.format("0002"))
    text = whole.decode()
    wrapped = end_of_line.join(text[i : i + columns] for i in range(0, len(text), columns))
    assert read(wrapped.encode()) == read(whole)


def test_a_byte_order_mark_before_the_first_interchange_is_no_data():
    body = interchange(GOOD)
    (found,) = read(BOM + body)
    assert found.groups[0].sets[0].accepted
    assert interchanges(BOM + body) == (body,)
    with pytest.raises(MalformedMessage, match="no interchange header"):
        read(body + BOM + body)


def test_a_second_interchange_with_other_delimiters_is_read_with_its_own():
    other = interchange(GOOD).decode().replace("*", "|").replace("~", "!").replace(">", ":")
    first, second = read(interchange(GOOD) + b"\r\n" + other.encode() + b"\x1a")
    assert first.groups == second.groups
    assert second.header.delimiters == ("|", ":", "!", "")


@pytest.mark.parametrize(
    ("version", "separator", "repetition"),
    [("00401", "^", ""), ("00400", "U", ""), ("00501", "^", "^"), ("00501", "U", "")],
)
def test_the_repetition_separator_counts_from_version_00402(version, separator, repetition):
    isa = ISA.replace("*U*00401*", f"*{separator}*{version}*")
    assert header(isa.encode()).delimiters.repetition == repetition


@pytest.mark.parametrize("convention", ["", "*005010X231A1"])
def test_release_005010_is_read_with_and_without_st03(convention):
    body = interchange(
        GOOD.replace("ST*855*0001", f"ST*855*0001{convention}"),
        isa=MODERN,
        gs=GS.replace("004010", "005010"),
    )
    (found,) = (examined(each) for each in read(body))
    assert found.groups[0].verdict == "A"


def test_an_interchange_without_trailer_does_not_swallow_the_next_one():
    broken = interchange(GOOD, end="GE*1*7~")
    pieces = interchanges(broken + interchange(GOOD))
    assert pieces == (broken, interchange(GOOD))


def test_a_ta1_is_read_whether_the_sender_counts_it_as_a_group_or_not():
    for count in ("0", "1"):
        body = f"{ISA}TA1*000000042*260104*1200*R*006~IEA*{count}*000000007~".encode()
        (found,) = read(body)
        (verdict,) = found.verdicts
        assert (verdict.control, verdict.verdict, verdict.note) == ("000000042", "R", "006")


def test_syntax_errors_name_segment_and_element():
    bad = GOOD.replace("*EA*4.5*", "*EACH*4,5*").replace("BAK*00", "BAK*")
    (found,) = (examined(each) for each in read(interchange(bad)))
    errors = found.groups[0].sets[0].segment_errors
    assert [(e.segment, e.position, e.code) for e in errors] == [("BAK", 2, "8"), ("PO1", 3, "8")]
    assert [(e.element, e.code, e.reference) for e in errors[1].elements] == [
        (3, "5", "355"),
        (4, "6", "212"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("20260104", "20260231", "8"),
        ("20260104", "260104", "8"),
        ("*IA*", "*I*", "4"),
        ("ACK*IA*10*EA", "ACK*IA*10", "2"),
        ("CTT*1", "CTT*1.5", "6"),
        ("CTT*1", "CTT", "1"),
    ],
)
def test_element_errors_carry_the_code_of_data_element_723(old, new, code):
    (found,) = (examined(each) for each in read(interchange(GOOD.replace(old, new))))
    (error,) = found.groups[0].sets[0].segment_errors
    assert [each.code for each in error.elements] == [code]


def test_detail_after_the_summary_and_repeated_headings_are_errors():
    late = GOOD.replace("CTT*1~", "CTT*1~PO1*2*1*EA*1~CTT*2~").replace("SE*6", "SE*8")
    (found,) = (examined(each) for each in read(interchange(late)))
    errors = found.groups[0].sets[0].segment_errors
    assert [(e.segment, e.code) for e in errors] == [("PO1", "7"), ("CTT", "5")]


def test_the_memory_of_walking_60_megabytes_does_not_grow():
    line = "PO1*1*10*EA*4.5**VN*SKU-1*PD*" + "X" * 70 + "~ACK*IA*10*EA~"
    long = f"ST*855*{{0}}~BAK*00*AD*4500000001*20260104~{line * 50}SE*103*{{0}}~"
    count = 11_000
    body = interchange(*(long.format(f"{n:06}") for n in range(count)))
    assert len(body) > 60_000_000
    peaks = []
    tracemalloc.start()
    for seen, each in enumerate(walk(body)):
        assert each.accepted
        if seen in (50, 500):
            peaks.append(tracemalloc.get_traced_memory()[1])
        if len(peaks) == 2:
            break
    tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 3_000_000


def test_walking_yields_every_set_once():
    body = interchange(*(SET.format(f"{n:04}") for n in range(1, 400)))
    assert [each.control for each in walk(body)] == [f"{n:04}" for n in range(1, 400)]
    with pytest.raises(MalformedMessage):
        list(walk(body[:-25]))


_FRAGMENTS = st.sampled_from(
    [
        ISA.encode(),
        GS.encode(),
        GOOD.encode(),
        END.encode(),
        b"~",
        b"SE~",
        b"ST~",
        b"GE~",
        b"GS~",
        b"IEA~",
        b"TA1~",
        b"ISA*",
        b"*",
        b"\n",
        b"\xff",
        MODERN.encode(),
    ]
)


@given(st.one_of(st.binary(max_size=400), st.lists(_FRAGMENTS, max_size=12).map(b"".join)))
def test_any_bytes_are_read_or_refused_as_malformed(body):
    filler = b"\r\n\t \0\x1a"
    joined = b"".join(interchanges(body)).removeprefix(BOM)
    assert joined.translate(None, filler) == body.removeprefix(BOM).translate(None, filler)
    with contextlib.suppress(MalformedMessage):
        for each in read(body):
            examined(each)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_interchange_is_read_or_refused_as_malformed(at, damage):
    body = interchange(GOOD)
    with contextlib.suppress(MalformedMessage):
        examined(read(body[:at] + damage + body[at + len(damage) :])[0])


@given(st.integers(0, len(interchange(GOOD)) - 1))
def test_a_truncated_interchange_is_always_refused(length):
    with pytest.raises(MalformedMessage):
        read(interchange(GOOD)[:length])
