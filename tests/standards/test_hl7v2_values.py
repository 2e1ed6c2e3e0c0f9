"""Timestamps with and without zone, dates and numbers of HL7 v2."""

from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import MalformedMessage
from standards.hl7v2.values import day, number, timestamp, written

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "utc", "precision"),
    [
        ("20260401073000", datetime(2026, 4, 1, 11, 30, tzinfo=UTC), "second"),
        ("202604010730-0700", datetime(2026, 4, 1, 14, 30, tzinfo=UTC), "minute"),
        ("202108181126+0215", datetime(2021, 8, 18, 9, 11, tzinfo=UTC), "minute"),
        ("2026040107+0000", datetime(2026, 4, 1, 7, tzinfo=UTC), "hour"),
        ("20260401", datetime(2026, 4, 1, 4, tzinfo=UTC), "day"),
        ("202604", datetime(2026, 4, 1, 4, tzinfo=UTC), "month"),
        ("2026", datetime(2026, 1, 1, 5, tzinfo=UTC), "year"),
        ("20131212163008.087", datetime(2013, 12, 12, 21, 30, 8, 87000, UTC), "second"),
        ("20261101013000", datetime(2026, 11, 1, 5, 30, tzinfo=UTC), "second"),
    ],
)
def test_a_timestamp_becomes_utc_and_says_how_exact_it_is(text, utc, precision):
    assert timestamp(text, NEW_YORK, "SCH-11.4") == (utc, precision)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-04-01",
        "20260230",
        "20261301",
        "2026040",
        "20260401240000",
        "20260401073060",
        "20260401.5",
        "20260401073000+2500",
        "20260401073000+0060",
        "20260401073000Z",
        "00000101",
        "00010101000000+2300",
        "\u0662\u0660\u0662\u06660401",
    ],
)
def test_what_is_no_timestamp_is_refused_with_its_place(text):
    with pytest.raises(MalformedMessage) as caught:
        timestamp(text, NEW_YORK, "AIS-4")
    assert caught.value.where == "AIS-4"


def test_a_day_is_the_senders_day():
    assert day("20261231", "PRT-18") == date(2026, 12, 31)
    assert day("20261231230000-0800", "PRT-18") == date(2026, 12, 31)


@pytest.mark.parametrize("text", ["202612", "20261332", "soon", ""])
def test_half_a_day_is_refused(text):
    with pytest.raises(MalformedMessage):
        day(text, "PRT-18")


@pytest.mark.parametrize(
    ("text", "value"), [("2", "2"), ("+1.50", "1.50"), ("-3", "-3"), (".5", "0.5"), ("4.", "4")]
)
def test_a_number_is_exact(text, value):
    assert number(text, "FT1-10") == Decimal(value)


@pytest.mark.parametrize("text", ["", "1e3", "NaN", "1,5", "1 2", "--1", "9" * 17, "."])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(MalformedMessage):
        number(text, "FT1-10")


def test_a_written_timestamp_reads_back():
    at = datetime(2026, 4, 1, 7, 30, 5, tzinfo=NEW_YORK)
    assert written(at) == "20260401113005+0000"
    assert timestamp(written(at), UTC, "MSH-7").at == at


@given(st.text(max_size=26))
def test_any_text_is_a_timestamp_or_refused(text):
    with suppress(MalformedMessage):
        timestamp(text, NEW_YORK, "X")
