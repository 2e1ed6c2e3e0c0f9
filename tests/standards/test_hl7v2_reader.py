"""The HL7 v2 reader: what it reads, byte-exact, and what it refuses by name."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import MalformedMessage, UnsupportedMessage
from standards.hl7v2 import reader
from standards.hl7v2.message import DELETE
from standards.hl7v2.reader import read
from standards.hl7v2.separators import STANDARD, escaped, unescaped

HEAD = b"MSH|^~\\&|EHR^1.2.3^ISO|NORTH|SUTURE|NORTH|20260401120000||SIU^S12^SIU_S12|MSG1|P|2.5.1"
BODY = HEAD + b'\rPID|1||77^^^A^MR~88^^^B^AN||DOE&VAN^""^J||""||\rZXY|a\xc3\xa9|\\Z1\\\r'


def test_fields_count_as_the_standard_counts_them():
    message = read(BODY)
    assert message.text("MSH", 1) == "|"
    assert message.text("MSH", 2) == "^~\\&"
    assert message.text("MSH", 3, 1) == "EHR"
    assert (message.type, message.event, message.control_id) == ("SIU", "S12", "MSG1")
    assert message.text("MSH", 12) == "2.5.1"


def test_components_subcomponents_and_repetitions_are_found():
    message = read(BODY)
    pid = message.segments("PID")[0]
    assert pid.text(3, 1) == "77"
    assert pid.text(3, 5, repetition=1) == "AN"
    assert message.text("PID", 3, 1, repetition=1) == "88"
    assert pid.repetitions(3) == 2
    assert pid.text(3, 1, repetition=2) == ""
    assert (pid.text(5, 1, 1), pid.text(5, 1, 2), pid.text(5, 1, 3)) == ("DOE", "VAN", "")
    assert pid.text(1, 2) == ""


def test_delete_stays_apart_from_empty():
    message = read(BODY)
    assert message.text("PID", 7) == DELETE
    assert message.text("PID", 8) == ""
    assert message.text("PID", 5, 2) == DELETE
    assert message.segments("PID")[0].plain(7) == ""


def test_what_is_not_there_is_empty():
    message = read(BODY)
    assert message.text("PV1", 3) == ""
    assert message.text("PID", 99) == ""
    assert message.text("PID", 3, index=1) == ""
    assert message.first("PV1") is None
    assert message.segments("PV1") == []
    assert message.segments("PID")[0].repetitions(99) == 0


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"], ids=["CR", "LF", "CRLF"])
def test_every_terminator_reads_the_same_and_comes_back_the_same(end: bytes):
    body = BODY.replace(b"\r", end)
    message = read(body)
    assert [one.name for one in message.segments()] == ["MSH", "PID", "ZXY"]
    assert message.encode() == body


@pytest.mark.parametrize(
    "body", [b"\xef\xbb\xbf" + BODY, b"\n" + BODY, BODY.rstrip(b"\r"), BODY + b"\r \r\n\r"]
)
def test_a_mark_blank_lines_and_a_missing_last_terminator_do_no_harm(body: bytes):
    message = read(body)
    assert message.control_id == "MSG1"
    assert len(message.segments()) == 3
    assert message.encode() == body


def test_unknown_segments_are_kept_byte_exact():
    message = read(BODY)
    assert message.segments("ZXY")[0].raw == "ZXY|aé|\\Z1\\"
    assert message.encode() == BODY


def test_separators_are_read_from_the_message():
    message = read(b"MSH*@!?%*EHR@1*NORTH\rPID*1**77@@@A!88*?S?\r")
    assert message.text("MSH", 3, 2) == "1"
    assert message.text("PID", 3, 1, repetition=1) == "88"
    assert message.text("PID", 4) == "@"
    assert message.text("MSH", 1) == "*"


def test_the_truncation_character_of_2_7_is_taken():
    assert read(b"MSH|^~\\&#|A|B\rPID|\\P\\\r").text("PID", 1) == "#"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"\F\ \S\ \T\ \R\ \E\ ", "| ^ & ~ \\ "),
        (r"a\X41\b\X0D\c", "aAb\rc"),
        (r"\XC3A9\ ", "é "),
        (r"one\.br\two\.sp2\three", "one\ntwo\nthree"),
        (r"a\.sk3\b", "a b"),
        (r"\H\bold\N\ \.in+2\text", "bold text"),
        (r"\X4\ \X\ \XZZ\ \XFF\ \X00\ ", r"\X4\ \X\ \XZZ\ \XFF\ \X00\ "),
        (r"\Zown\ \C2842\ \P\ ", r"\Zown\ \C2842\ \P\ "),
        (r"lost \T", r"lost \T"),
    ],
)
def test_escapes_are_resolved_or_stay_visible(sent: str, meant: str):
    assert read(HEAD + b"\rNTE|1||" + sent.encode()).text("NTE", 3) == meant


def test_hex_escapes_are_in_the_message_charset():
    body = HEAD + b"||||||8859/1\rNTE|1||K\\XF6\\ln \xf6\r"
    message = read(body)
    assert message.text("NTE", 3) == "Köln ö"
    assert message.encode() == body


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("UNICODE UTF-8", "Grüße"),
        ("UNICODE", "Grüße"),
        ("", "Grüße"),
        ("8859/1", "Grüße"),
        ("8859/15", "Grüße €"),
        ("GB 18030-2000", "手术"),
        ("8859/1~ASCII", "Grüße"),
    ],
)
def test_the_declared_charset_is_used(charset: str, text: str):
    codec = {"8859/1": "latin-1", "8859/15": "iso8859-15", "GB 18030-2000": "gb18030"}
    name = codec.get(charset.split("~", maxsplit=1)[0], "utf-8")
    body = HEAD + f"||||||{charset}\rNTE|1||{text}\r".encode(name)
    assert read(body).text("NTE", 3) == text


@pytest.mark.parametrize(
    ("body", "failure", "where"),
    [
        (b"", MalformedMessage, "MSH"),
        (b"hello", MalformedMessage, "MSH"),
        (b"PID|1\r", MalformedMessage, "MSH"),
        (b"MSHMSHMSH", MalformedMessage, "MSH-1"),
        (b"MSH|", MalformedMessage, "MSH-2"),
        (b"MSH||A|B|C|D", MalformedMessage, "MSH-2"),
        (b"MSH|^|A|B|C|D", MalformedMessage, "MSH-2"),
        (b"MSH|^~&|A|B|C|D", MalformedMessage, "MSH-2"),
        (b"MSH|^~\\\\&|A|B|C", MalformedMessage, "MSH-2"),
        (b"MSH|^^\\&|A|B|C", MalformedMessage, "MSH-2"),
        (b"MSH|^~A&|A|B|C", MalformedMessage, "MSH-2"),
        (b'MSH|^~\\"|A|B|C', MalformedMessage, "MSH-2"),
        (b"MSH|^~\\ |A|B|C", MalformedMessage, "MSH-2"),
        (b"MSH\xff^~\\&\xffA", MalformedMessage, "MSH-2"),
        (b"MSH|^\xe9\\&|A|B", MalformedMessage, "MSH-2"),
        (b"FHS|^~\\&|A\rBHS|^~\\&\r", UnsupportedMessage, "FHS"),
        (b"BHS|^~\\&|A\r", UnsupportedMessage, "BHS"),
        (b"\xff\xfeM\x00S\x00H\x00", UnsupportedMessage, "MSH"),
        (HEAD + b"||||||ISO IR87\r", UnsupportedMessage, "MSH-18"),
        (HEAD + b"\rNTE|1||\xe9\r", MalformedMessage, "MSH-18"),
        (HEAD + b"||||||ASCII\rNTE|1||\xc3\xa9\r", MalformedMessage, "MSH-18"),
        (b"\xef\xbb\xbf" + HEAD + b"||||||8859/1\r", MalformedMessage, "MSH-18"),
        (HEAD + b"\rNTE|1||a\x00b\r", MalformedMessage, "segment 2"),
        (HEAD + b"\rEVN|A\rNTE|1||a\x1cb\r", MalformedMessage, "segment 3"),
        (HEAD + b"\rNTE|1||first\rsecond line|\r", MalformedMessage, "segment 3"),
        (HEAD + b"\rpid|1\r", MalformedMessage, "segment 2"),
        (HEAD + b"\rPIDX|1\r", MalformedMessage, "segment 2"),
        (HEAD + b"\rPV|1\r", MalformedMessage, "segment 2"),
        (HEAD + b"\rPID^1\r", MalformedMessage, "segment 2"),
        (HEAD + b"\rPID|1\r" + HEAD, MalformedMessage, "segment 3"),
    ],
)
def test_what_is_broken_is_refused_by_name(body: bytes, failure: type[Exception], where: str):
    with pytest.raises(failure) as caught:
        read(body)
    assert caught.value.where == where


def test_undecodable_bytes_are_named_by_their_offset():
    body = HEAD + b"\rNTE|1||\xe9\r"
    with pytest.raises(MalformedMessage, match=f"byte {body.index(0xE9)} "):
        read(body)


def test_size_and_segment_count_are_limited(monkeypatch):
    monkeypatch.setattr(reader, "MAX_SEGMENTS", 3)
    with pytest.raises(MalformedMessage, match="too many segments"):
        read(HEAD + b"\rNTE|1" * 3)
    monkeypatch.setattr(reader, "MAX_BYTES", 50)
    with pytest.raises(MalformedMessage, match="too long"):
        read(HEAD)


def test_groups_run_from_leader_to_leader():
    message = read(HEAD + b"\rFT1|1\rPR1|1\rFT1|2\rNTE|a\rNTE|b\rIN1|1\rNTE|c\rFT1|3")
    groups = list(message.groups("FT1", until=frozenset({"IN1"})))
    assert [(g.leader.text(1), [m.raw for m in g.members]) for g in groups] == [
        ("1", ["PR1|1"]),
        ("2", ["NTE|a", "NTE|b"]),
        ("3", []),
    ]
    assert [one.text(1) for one in groups[1].every("NTE")] == ["a", "b"]


def test_resource_groups_nest():
    message = read(HEAD + b"\rRGS|1\rAIS|1\rAIL|1\rRGS|2\rAIS|2\rNTE|1\rAIP|1")
    outer = [[m.name for m in group.members] for group in message.groups("RGS")]
    assert outer == [["AIS", "AIL"], ["AIS", "NTE", "AIP"]]


def test_a_place_names_segment_index_field_and_component():
    first, second = read(HEAD + b"\rFT1|1\rFT1|2").segments("FT1")
    assert (first.place(7), second.place(7, 1)) == ("FT1-7", "FT1[2]-7.1")
    assert first != second
    assert len({first, second, first}) == 2
    assert first != "FT1"


def test_a_bare_segment_name_is_a_segment():
    message = read(HEAD + b"\rEVN\rEVN\rPID|1")
    assert len(message.segments("EVN")) == 2
    assert message.text("EVN", 1) == ""


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes):
    with suppress(MalformedMessage, UnsupportedMessage):
        assert read(body).encode() == body


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xef\xbb\xbf", b"\n"]))
def test_any_bytes_after_a_header_are_read_or_refused(tail: bytes, start: bytes):
    try:
        message = read(start + HEAD + tail)
    except (MalformedMessage, UnsupportedMessage):
        return
    assert message.encode() == start + HEAD + tail
    for segment in message.segments():
        for field in range(30):
            segment.text(field, 1, 1)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_escaping_and_unescaping_give_the_text_back(text: str):
    sent = escaped(text, STANDARD)
    assert not set(sent) & set("|^~&")
    assert unescaped(sent, STANDARD, "utf-8") == text
