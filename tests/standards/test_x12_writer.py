"""Writing X12, and the acknowledgements built from what was read."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InvalidRequest, MalformedMessage
from standards.x12.acknowledgement import functional_acknowledgement, interchange_acknowledgement
from standards.x12.conformance import examined
from standards.x12.control import interchange_note
from standards.x12.envelope import Delimiters
from standards.x12.reader import header, read
from standards.x12.writer import (
    OutgoingGroup,
    OutgoingInterchange,
    OutgoingSet,
    control_text,
    plain_text,
    write,
)

NOON = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)


def outgoing(*segments, code="855", version="004010", delimiters=None):
    content = OutgoingSet(code=code, segments=segments)
    group = OutgoingGroup(
        sender="HOSPITAL", receiver="SUPPLIER", control=12, sets=(content,), version=version
    )
    return OutgoingInterchange(
        sender_qualifier="ZZ",
        sender="HOSPITAL",
        receiver_qualifier="01",
        receiver="SUPPLIERONE",
        at=NOON,
        control=12,
        groups=(group,),
        delimiters=delimiters or Delimiters(),
    )


def test_an_interchange_is_spelled_with_padding_and_counts():
    assert write(outgoing(["BAK", "00", "AD", "4500000001", "20260104", "", ""])) == (
        b"ISA*00*          *00*          *ZZ*HOSPITAL       *01*SUPPLIERONE    "
        b"*260105*1230*U*00401*000000012*0*P*>~"
        b"GS*PR*HOSPITAL*SUPPLIER*20260105*1230*12*X*004010~"
        b"ST*855*0001~BAK*00*AD*4500000001*20260104~SE*3*0001~GE*1*12~IEA*1*000000012~"
    )


def test_control_numbers_wrap_after_the_ninth_digit():
    assert control_text(999_999_999) == "999999999"
    assert control_text(1_000_000_000) == "000000001"


@pytest.mark.parametrize("value", ["A*B", "A~B", "A>B", "A\nB", "Müller", "A\x00B"])
def test_data_that_x12_cannot_carry_is_refused_by_name(value):
    with pytest.raises(InvalidRequest) as refused:
        write(outgoing(["REF", "CT", value]))
    assert refused.value.where == "REF02"
    assert value not in str(refused.value)


def test_other_delimiters_make_other_characters_data():
    marks = Delimiters("|", ":", "\x1c", "^")
    body = write(outgoing(["REF", "CT", "A*B~C"], delimiters=marks))
    assert read(body)[0].groups[0].sets[0].segments[1] == ["REF", "CT", "A*B~C"]


def test_an_id_that_does_not_fit_the_header_is_refused():
    with pytest.raises(InvalidRequest) as refused:
        write(msgspec.structs.replace(outgoing(), receiver="SUPPLIERNUMBERONE"))
    assert refused.value.where == "ISA08"


@pytest.mark.parametrize("sets", [(), ("855", "810"), ("850", "123")])
def test_a_group_holds_sets_of_one_kind(sets):
    group = OutgoingGroup(
        sender="A",
        receiver="B",
        control=1,
        sets=tuple(OutgoingSet(code=code, segments=()) for code in sets),
    )
    with pytest.raises(InvalidRequest) as refused:
        write(msgspec.structs.replace(outgoing(), groups=(group,)))
    assert refused.value.where == "GS01"


def test_free_text_is_made_fit_instead_of_refused():
    text = "Nähset 5\u00d72 *steril*~\nGröße > 3 \u2265 2"
    assert plain_text(text) == "Nahset 5x2 steril Grosse 3 2"
    assert len(plain_text("x" * 200)) == 80


_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="*~>"))


@given(st.lists(st.lists(_TEXT, min_size=1, max_size=6), max_size=8))
def test_what_is_written_is_read_back(rows):
    segments = [["ZZ1", *row[:-1], row[-1] + "x"] for row in rows]
    (found,) = read(write(outgoing(*segments)))
    assert found.groups[0].sets[0].segments[1:-1] == segments
    assert found.groups[0].sets[0].accepted


def received(*sets: str, version: str = "004010") -> bytes:
    return (
        "ISA*00*          *00*          *01*SUPPLIERONE    *ZZ*HOSPITAL       "
        "*260105*0900*U*00401*000000077*1*P*>~"
        f"GS*PR*SUPPLIER*HOSPITAL*20260105*0900*77*X*{version}~"
        + "".join(sets)
        + f"GE*{len(sets)}*77~IEA*1*000000077~"
    ).encode()


GOOD = "ST*855*0001~BAK*00*AD*4500000001*20260104~SE*3*0001~"
BAD = "ST*855*0002~BAK*00*AD*4500000001*20260134~PO1*1*10*EACH~SE*4*0002~"


def answer(*sets: str, version: str = "004010"):
    (found,) = (examined(each) for each in read(received(*sets, version=version)))
    return functional_acknowledgement(found.groups[0])


def test_a_sound_group_is_accepted_with_its_numbers_echoed():
    assert answer(GOOD).segments == (
        ["AK1", "PR", "77", ""],
        ["AK2", "855", "0001"],
        ["AK5", "A"],
        ["AK9", "A", "1", "1", "1"],
    )


def test_a_997_names_what_is_wrong_with_which_set():
    assert answer(GOOD, BAD).segments == (
        ["AK1", "PR", "77", ""],
        ["AK2", "855", "0001"],
        ["AK5", "A"],
        ["AK2", "855", "0002"],
        ["AK3", "BAK", "2", "", "8"],
        ["AK4", "4", "373", "8", "20260134"],
        ["AK3", "PO1", "3", "", "8"],
        ["AK4", "3", "355", "5", "EACH"],
        ["AK5", "R", "5"],
        ["AK9", "P", "2", "2", "1"],
    )


def test_release_005010_is_answered_with_a_999():
    modern = answer(BAD, version="005010")
    assert modern.code == "999"
    assert modern.convention == "005010X231A1"
    names = [segment[0] for segment in modern.segments]
    assert names == ["AK1", "AK2", "IK3", "IK4", "IK3", "IK4", "IK5", "AK9"]
    assert modern.segments[0] == ["AK1", "PR", "77", "005010"]


@pytest.mark.parametrize("version", ["004010", "005010"])
def test_our_own_acknowledgement_is_sound_x12(version):
    content = answer(GOOD, BAD, version=version)
    group = OutgoingGroup(
        sender="HOSPITAL", receiver="SUPPLIER", control=1, sets=(content,), version=version
    )
    body = write(msgspec.structs.replace(outgoing(), groups=(group,)))
    (found,) = (examined(each) for each in read(body))
    assert found.groups[0].functional_id == "FA"
    assert found.groups[0].verdict == "A"


@pytest.mark.parametrize(
    "bad",
    [
        "ST*855*00\xd62~SE*2*00\xd62~",
        "ST~SE~",
        "ST*855*0002~~SE*2*0002~",
        "ST*855*0002~BAK*A>B*AD*N*20260104~SE*3*0002~",
        "ST*855*0002~BAK**" + "A" * 200 + "*N*2026~SE*3*0002~",
    ],
)
def test_whatever_was_wrong_the_997_can_be_spelled_and_rejects(bad):
    body = received(GOOD, "x").replace(b"x", bad.encode("latin-1"))
    (found,) = (examined(each) for each in read(body))
    content = functional_acknowledgement(found.groups[0])
    group = OutgoingGroup(sender="A", receiver="B", control=1, sets=(content,))
    body = write(msgspec.structs.replace(outgoing(), groups=(group,)))
    (sent,) = (examined(each) for each in read(body))
    assert sent.groups[0].sets[0].accepted
    assert content.segments[-1][:2] == ["AK9", "P"]


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("IEA*1*000000077", "IEA*1*000000078", "001"),
        ("IEA*1*", "IEA*3*", "021"),
        ("IEA*1*000000077~", "", "023"),
        ("000000077~", "000000077", "023"),
        ("GS*PR*SUPPLIER*", "GS*PR*", "024"),
        ("GE*1*77~", "GE*1*77~N1*ST~", "022"),
    ],
)
def test_a_ta1_says_what_broke_the_interchange(old, new, note):
    body = received(GOOD).decode()
    at = body.rindex(old)
    broken = (body[:at] + new + body[at + len(old) :]).encode()
    with pytest.raises(MalformedMessage) as refused:
        read(broken)
    top = header(broken)
    assert interchange_acknowledgement(top, interchange_note(refused.value)) == [
        "TA1",
        "000000077",
        "260105",
        "0900",
        "R",
        note,
    ]
    assert top.wants_ta1
