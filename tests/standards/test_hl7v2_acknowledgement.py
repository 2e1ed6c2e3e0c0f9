"""Acknowledgements: right code, right mode, from whatever can be read of MSH, with no injection."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import (
    BudgetExceeded,
    Failure,
    IdentityConflict,
    MalformedMessage,
    NothingToPost,
    StateConflict,
    StoreUnavailable,
    UnknownLocation,
    UnknownPartner,
    UnsupportedMessage,
)
from standards.hl7v2.acknowledgement import (
    MISSING,
    acknowledgement,
    header,
    is_acknowledgement,
    refusal,
)
from standards.hl7v2.reader import read

AT = datetime(2026, 4, 1, 12, tzinfo=UTC)
HEAD = b"MSH|^~\\&|EHR^1.2.3^ISO|NORTH|SUTURE|GATE|20260401||SIU^S12^SIU_S12|MSG\\T\\1|P|2.3"


def answer(body: bytes, failure: Failure | None = None, *, kept: bool = True) -> bytes:
    refused = refusal(failure, kept=kept) if failure else None
    return acknowledgement(header(body), control_id="NEW1", at=AT, refused=refused)


def with_modes(accept: str, application: str) -> bytes:
    return HEAD + f"|||{accept}|{application}\rPID|1\r".encode()


def test_an_accepted_message_is_answered_to_its_sender():
    assert answer(HEAD + b"\rPID|1\r") == (
        b"MSH|^~\\&|SUTURE|GATE|EHR^1.2.3^ISO|NORTH|20260401120000+0000||ACK^S12^ACK|NEW1|P|2.3\r"
        b"MSA|AA|MSG\\T\\1\r"
    )


def test_a_refusal_names_place_code_and_text():
    failure = MalformedMessage("not a number", where="FT1[2]-10", expected="digits | ^")
    assert answer(HEAD, failure).split(b"\r")[1:] == [
        b"MSA|AE|MSG\\T\\1|not a number; expected digits \\F\\ \\S\\",
        b"|".join(
            [
                b"ERR||FT1^2^10|102^Data type error^HL70357|E||",
                b"malformed-message",
                b"not a number; expected digits \\F\\ \\S\\",
            ]
        ),
        b"",
    ]


@pytest.mark.parametrize(
    ("failure", "code", "outcome"),
    [
        (MalformedMessage("no MSH", where="MSH"), "100", "reject"),
        (MalformedMessage("line break", where="segment 3"), "100", "error"),
        (MalformedMessage(MISSING, where="AIS-3.1"), "101", "error"),
        (MalformedMessage("bad", where="AIS-4"), "102", "error"),
        (UnsupportedMessage("credit", where="FT1-6"), "103", "error"),
        (UnsupportedMessage("type", where="MSH-9.1"), "200", "reject"),
        (UnsupportedMessage("event", where="MSH-9.2"), "201", "reject"),
        (UnsupportedMessage("test", where="MSH-11"), "202", "reject"),
        (UnsupportedMessage("v3", where="MSH-12"), "203", "reject"),
        (UnknownPartner("who", where="MSH-4"), "204", "error"),
        (UnknownLocation("where", where="AIL-3"), "204", "error"),
        (IdentityConflict("other content"), "205", "reject"),
        (StateConflict("locked"), "206", "error"),
        (NothingToPost("no FT1", where="FT1"), "101", "error"),
        (StoreUnavailable("down"), "207", "error"),
        (BudgetExceeded("spent"), "207", "error"),
    ],
)
def test_every_failure_has_a_code_of_table_0357(failure, code, outcome):
    found = refusal(failure)
    assert (found.code, found.outcome) == (code, outcome)


@pytest.mark.parametrize(
    ("accept", "application", "good", "bad"),
    [
        ("", "", b"AA", b"AE"),
        ("AL", "NE", b"CA", b"CE"),
        ("AL", "AL", b"CA", b"CE"),
        ("AL", "", b"CA", b"CE"),
        ("ER", "NE", b"", b"CE"),
        ("SU", "NE", b"CA", b""),
        ("NE", "AL", b"AA", b"AE"),
        ("", "AL", b"AA", b"AE"),
        ("NE", "ER", b"", b"AE"),
        ("NE", "NE", b"", b""),
        ("odd", "", b"CA", b"CE"),
    ],
)
def test_the_mode_is_what_msh_15_and_16_ask_for(accept, application, good, bad):
    failure = MalformedMessage("bad", where="AIS-4")
    for sent, expected in (
        (answer(with_modes(accept, application)), good),
        (answer(with_modes(accept, application), failure), bad),
    ):
        assert (read(sent).text("MSA", 1).encode() if sent else b"") == expected


@pytest.mark.parametrize(("accept", "application"), [("NE", "NE"), ("SU", "NE"), ("NE", "SU")])
def test_what_could_not_be_stored_is_always_answered(accept, application):
    sent = answer(with_modes(accept, application), StoreUnavailable("down"), kept=False)
    assert read(sent).text("MSA", 1) == "CE"


@pytest.mark.parametrize("kind", [b"ACK", b"ACK^S12^ACK", b"MCF^Q02"])
def test_an_acknowledgement_is_never_acknowledged(kind):
    body = b"MSH|^~\\&|A|B|C|D|2026||" + kind + b"|1|P|2.5\rMSA|AA|7\r"
    assert is_acknowledgement(header(body))
    assert answer(body) == b""
    assert answer(body, StoreUnavailable("down"), kept=False) == b""


@pytest.mark.parametrize(
    "body",
    [b"", b"garbage", b"\x00\x0b\x1c", b"MSH", b"MSH|", b"PID|1||77\r", b"\xff\xfe"],
)
def test_without_msh_there_is_still_a_reject(body):
    failure = MalformedMessage("the message does not begin with MSH", where="MSH")
    message = read(answer(body, failure))
    assert (message.text("MSA", 1), message.text("MSA", 2)) == ("AR", "")
    assert message.text("MSH", 9) == "ACK"


def test_a_broken_body_is_answered_from_its_header():
    message = read(answer(HEAD + b"\rnonsense\x00", MalformedMessage("bad", where="segment 2")))
    assert message.text("MSA", 2) == "MSG&1"
    assert message.text("MSH", 5, 1) == "EHR"
    assert message.text("ERR", 2) == ""


@pytest.mark.parametrize(
    "control_id",
    [b"a\\f\rINJ|1", b"a\nMSA|AA|other", b"a\\", b"x" * 5000, b"a\x00b", b"\xe9\xff"],
)
def test_no_echoed_value_becomes_a_field_or_segment(control_id):
    body = b"MSH|^~\\&|A|B|C|D|2026||SIU^S12|" + control_id + b"|P|2.5\r"
    sent = answer(body, MalformedMessage("bad\rZZZ|1", where="MSH-10"))
    lines = sent.decode("latin-1").split("\r")
    assert [line[:4] for line in lines] == ["MSH|", "MSA|", "ERR|", ""]
    assert lines[1].startswith("MSA|AE|")
    assert len(lines[1].split("|")) == 4


def test_separators_of_the_sender_are_used_and_insane_ones_are_not():
    own = answer(b"MSH*@!?%*A@1*B*C*D*2026**SIU@S12*M1*P*2.5\r")
    assert own.startswith(b"MSH*@!?%*C*D*A@1*B*")
    assert own.endswith(b"MSA*AA*M1\r")
    insane = answer(
        b"MSH|^^^^|A^1|B|C|D|2026||SIU^S12|M^1|P|2.5\r", MalformedMessage("x", where="MSH-2")
    )
    assert insane.startswith(b"MSH|^~\\&|C|D|A\\S\\1|B|")
    assert b"\rMSA|AE|M\\S\\1|" in insane


@pytest.mark.parametrize("charset", ["8859/1", "UNICODE UTF-8"])
def test_the_answer_is_in_the_senders_charset(charset):
    codec = "latin-1" if charset == "8859/1" else "utf-8"
    body = f"MSH|^~\\&|Prüf|Süd|C|D|2026||SIU^S12|Ü1|P|2.5||||||{charset}\r".encode(codec)
    sent = answer(body)
    assert read(sent).text("MSA", 2) == "Ü1"
    assert "MSA|AA|Ü1\r".encode(codec) in sent


def test_undecodable_headers_are_echoed_byte_for_byte():
    body = b"MSH|^~\\&|A|B|C|D|2026||SIU^S12|\xe9\xe91|P|2.5||||||UNICODE UTF-8\r"
    assert b"\rMSA|AE|\xe9\xe91|" in answer(body, MalformedMessage("x", where="MSH-18"))


@given(st.binary(max_size=200))
def test_any_bytes_get_a_readable_reject(body):
    sent = answer(b"MSH" + body, MalformedMessage("x", where="MSH"))
    if sent:
        assert sent.count(b"\r") == 3
