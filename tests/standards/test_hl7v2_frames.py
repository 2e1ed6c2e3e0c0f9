"""MLLP framing: the same messages however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import BodyTooLarge
from standards.hl7v2.frames import Framer, frame


def test_a_framed_message_comes_out_as_it_went_in():
    assert Framer().feed(frame(b"MSH|1")) == [b"MSH|1"]


def test_fifty_frames_in_one_read_come_out_in_order():
    messages = [b"m%d" % number for number in range(50)]
    assert Framer().feed(b"".join(map(frame, messages))) == messages


def test_junk_before_a_frame_is_counted_and_dropped():
    framer = Framer()
    assert framer.feed(b"noise") == []
    assert framer.feed(b"more" + frame(b"m") + b"\r\n" + frame(b"n")) == [b"m", b"n"]
    assert framer.junk == 11
    assert not framer.pending


def test_a_truncated_frame_stays_pending():
    framer = Framer()
    assert framer.feed(frame(b"whole") + b"\x0bhalf\x1c") == [b"whole"]
    assert framer.pending
    assert framer.partial == b"half\x1c"
    assert framer.feed(b"\x0d") == [b"half"]
    assert not framer.pending
    assert framer.partial == b""


def test_one_end_byte_alone_is_part_of_the_message():
    assert Framer().feed(b"\x0ba\x1cb\x1c\r") == [b"a\x1cb"]


@pytest.mark.parametrize("end", [b"", b"\x1c\r"])
def test_an_oversize_frame_is_refused_after_the_whole_ones_before_it(end: bytes):
    framer = Framer(max_frame=10)
    long = b"\x0b" + b"x" * 11 + end
    assert framer.feed(frame(b"first") + long) == [b"first"]
    with pytest.raises(BodyTooLarge):
        framer.feed(b"")
    assert framer.partial.startswith(b"x" * 11)


def test_a_frame_of_just_the_limit_passes():
    assert Framer(max_frame=10).feed(frame(b"x" * 10)) == [b"x" * 10]


def test_an_empty_frame_is_an_empty_message():
    assert Framer().feed(frame(b"")) == [b""]


_PARTS = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\x1c\r", frame(b"MSH"), frame(b"")]),
    ),
    max_size=12,
).map(b"".join)


@given(_PARTS, st.integers(min_value=1, max_value=5))
def test_cutting_the_stream_differently_changes_nothing(stream: bytes, size: int):
    whole, cut = Framer(), Framer()
    expected = whole.feed(stream)
    found = [
        message
        for start in range(0, len(stream), size)
        for message in cut.feed(stream[start : start + size])
    ]
    assert found == expected
    assert (cut.junk, cut.pending, cut.partial) == (whole.junk, whole.pending, whole.partial)
