"""The batch splitter: every message out, and nothing lost unnoticed."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import MalformedMessage
from standards.hl7v2 import batch
from standards.hl7v2.batch import split

ONE = b"MSH|^~\\&|A|B|||||SIU^S12|1\rPID|1\r"
TWO = b"MSH|^~\\&|A|B|||||SIU^S12|2\rPID|2\r"
FHS, BHS = b"FHS|^~\\&|A\r", b"BHS|^~\\&|A\r"


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (ONE, [ONE]),
        (ONE + TWO, [ONE, TWO]),
        (ONE + b"\r\n\r\n" + TWO, [ONE + b"\r\n\r\n", TWO]),
        (BHS + ONE + TWO + b"BTS|2\r", [ONE, TWO]),
        (BHS + ONE + b"BTS\r", [ONE]),
        (BHS + ONE + b"BTS||a comment\r", [ONE]),
        (FHS + BHS + ONE + TWO + b"BTS|2\rFTS|1\r", [ONE, TWO]),
        (FHS + BHS + ONE + b"BTS|1\r" + BHS + TWO + b"BTS|1\rFTS|2\r\n", [ONE, TWO]),
        (FHS + ONE + b"FTS|0\r", [ONE]),
        (b"\xef\xbb\xbf" + BHS + ONE + b"BTS|1", [ONE]),
        (BHS + b"BTS|0\r", []),
        (b"", []),
    ],
)
def test_a_batch_gives_its_messages_byte_exact(body: bytes, messages: list[bytes]):
    assert split(body) == messages


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (BHS + ONE + b"BTS|2\r", "segment 4 BTS-1"),
        (BHS + ONE + b"BTS|one\r", "segment 4 BTS-1"),
        (FHS + BHS + ONE + b"BTS|1\rFTS|2\r", "segment 6 FTS-1"),
        (BHS + ONE, ""),
        (FHS + BHS + ONE + b"BTS|1\r", ""),
        (FHS + BHS + ONE + b"FTS|1\r", "segment 5"),
        (BHS + BHS + ONE, "segment 2"),
        (BHS + FHS, "segment 2"),
        (ONE + b"BTS|1\r", "segment 3"),
        (FHS + BHS + b"BTS|0\rFTS|1\r" + BHS, "segment 5"),
        (b"PID|1\r" + ONE, "segment 1"),
        (BHS + b"PID|1\r", "segment 2"),
    ],
)
def test_a_batch_that_lost_something_is_refused(body: bytes, where: str):
    with pytest.raises(MalformedMessage) as caught:
        split(body)
    assert caught.value.where == where


def test_a_batch_is_limited(monkeypatch):
    monkeypatch.setattr(batch, "MAX_BYTES", 10)
    with pytest.raises(MalformedMessage, match="too long"):
        split(BHS + ONE)


@given(st.binary(max_size=300))
def test_any_bytes_split_or_are_refused(body: bytes):
    with suppress(MalformedMessage):
        split(FHS + body)
