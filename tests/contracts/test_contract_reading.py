"""How a JSON body is read: strictly by its type, then for what types cannot say."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from canonical.errors import InvalidRequest
from canonical.item import Quantity
from canonical.shipment import ReceivedLine
from gateway.contract import read
from process_apis.receiving.intake import ReceiptReport

LINE = b'{"quantity": {"value": "1.50", "unit": "EA"}, "expires": "2027-01-31", "serials": ["1"]}'


def report(line: bytes = LINE, moment: bytes = b"2026-01-31T08:30:00Z") -> bytes:
    return b'{"order": "1", "receivedAt": "%s", "lines": [%s]}' % (moment, line)


def test_a_body_becomes_what_its_handler_takes():
    assert read(report(), ReceiptReport) == ReceiptReport(
        order="1",
        received_at=datetime(2026, 1, 31, 8, 30, tzinfo=UTC),
        lines=(
            ReceivedLine(
                quantity=Quantity(value=Decimal("1.50"), unit="EA"),
                expires=date(2027, 1, 31),
                serials=("1",),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("body", "where", "expected"),
    [
        (b"", "$", "JSON"),
        (b"\xff", "$", "JSON"),
        (b"[" * 100_000, "$", "JSON"),
        (b"[]", "$", "object"),
        (b"{}", "$", "order"),
        (report(b'{"quantity": {"value": "1"}}'), "$.lines[0].quantity", "unit"),
        (report(b'{"quantity": {"value": "1,5", "unit": "EA"}}'), "value", "ecimal"),
        (report(b'{"quantity": {"value": 1.5, "unit": "EA"}}'), "value", "12.50"),
        (report(b'{"quantity": {"value": 1000000000000, "unit": "EA"}}'), "value", "12 digits"),
        (report(b'{"quantity": {"value": "1", "unit": "\\u0000"}}'), "unit", "U+0000"),
        (report(LINE.replace(b'["1"]', b'["1", "\\u0000"]')), "$.lines[0].serials[1]", "U+0000"),
        (report(moment=b"2026-01-31T08:30:00"), "$.receivedAt", "zone"),
        (report(moment=b"1899-12-31T08:30:00Z"), "$.receivedAt", "1900"),
        (report(moment=b"2100-01-01T00:00:00Z"), "$.receivedAt", "2099"),
    ],
)
def test_a_mistake_is_refused_with_its_place_and_what_was_expected(body, where, expected):
    with pytest.raises(InvalidRequest) as refused:
        read(body, ReceiptReport)
    assert refused.value.where.endswith(where)
    assert expected in refused.value.expected


def test_a_refusal_never_repeats_a_value():
    line = b'{"quantity": {"value": "1", "unit": "EA"}, "codes": [{"scheme": "Doe", "value": "1"}]}'
    with pytest.raises(InvalidRequest) as refused:
        read(report(line), ReceiptReport)
    assert "Doe" not in str(refused.value)
