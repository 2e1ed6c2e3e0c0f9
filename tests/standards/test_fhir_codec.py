"""FHIR R4 JSON: read, described, or refused by name; failures become outcomes."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical import errors
from canonical.errors import Failure, MalformedMessage, UnsupportedMediaType, UnsupportedMessage
from standards.fhir import codec, moments
from standards.fhir.resources import Bundle, ChargeItem, Device, DeviceUseStatement, Procedure

USE = b"""{"resourceType": "DeviceUseStatement", "status": "completed",
  "subject": {"reference": "Patient/1"}, "device": {"reference": "Device/1"}}"""


def test_a_resource_is_read_into_the_fields_we_use():
    device = codec.read(
        b'{"resourceType": "Device", "id": "d", "lotNumber": "L", "unknownField": {"a": [1]},'
        b' "udiCarrier": [{"carrierHRF": "(01)", "carrierAIDC": "XQ=="}]}'
    )
    assert isinstance(device, Device)
    assert (device.id, device.lot_number) == ("d", "L")
    assert device.udi_carrier[0].carrier_hrf == "(01)"
    assert device.udi_carrier[0].carrier_aidc == "XQ=="


def test_a_byte_order_mark_and_blanks_around_are_read_over():
    assert isinstance(codec.read(b"\xef\xbb\xbf\n " + USE + b"\r\n"), DeviceUseStatement)


def test_a_decimal_keeps_its_digits_both_ways():
    raw = (
        b'{"resourceType":"ChargeItem","status":"planned","code":{},"subject":{},'
        b'"quantity":{"value":5.10}}'
    )
    item = codec.read(raw)
    assert isinstance(item, ChargeItem)
    assert item.quantity.value == Decimal("5.10")
    assert codec.encode(item) == raw


def test_any_resource_can_be_described():
    found = codec.describe(
        b'{"resourceType": "Medication", "id": "m1", "meta": {"versionId": "3"}, "x": []}'
    )
    assert (found.resource_type, found.id, found.meta.version_id) == ("Medication", "m1", "3")


def test_an_unknown_resource_type_is_refused_with_the_ones_we_read():
    with pytest.raises(UnsupportedMessage) as refusal:
        codec.read(b'{"resourceType": "InventoryItem"}')
    assert refusal.value.where == "$.resourceType"
    assert "Procedure" in refusal.value.expected


def test_a_bundle_carries_known_and_unknown_resources():
    bundle = codec.read(
        b'{"resourceType": "Bundle", "type": "collection", "entry": ['
        b'{"resource": {"resourceType": "InventoryItem", "id": "i"}}, {"fullUrl": "urn:x"},'
        b'{"fullUrl": "urn:u", "resource": ' + USE + b"}]}"
    )
    assert isinstance(bundle, Bundle)
    inventory, use = codec.entries(bundle)
    assert inventory.resource is None
    assert inventory.description.resource_type == "InventoryItem"
    assert isinstance(use.resource, DeviceUseStatement)
    assert (use.where, use.full_url) == ("$.entry[2].resource", "urn:u")


def test_two_versions_of_one_full_url_are_two_entries():
    entry = (
        b'{"fullUrl": "urn:x", "resource": {"resourceType": "Device", "meta": {"versionId": "%d"}}}'
    )
    bundle = codec.read(
        b'{"resourceType": "Bundle", "type": "collection", "entry": [%s, %s]}'
        % (entry % 1, entry % 2)
    )
    assert isinstance(bundle, Bundle)
    assert len(codec.entries(bundle)) == 2


def test_contained_resources_answer_to_their_fragment():
    procedure = codec.read(
        b'{"resourceType": "Procedure", "status": "completed", "subject": {},'
        b' "contained": [{"resourceType": "Device", "id": "d"}]}'
    )
    assert isinstance(procedure, Procedure)
    (device,) = codec.contained(procedure.contained, "$")
    assert (device.full_url, device.where) == ("#d", "$.contained[0]")


DEEP = b'{"resourceType": "Device", "extension": ' + b'[{"a": ' * 40 + b"1" + b"}]" * 40 + b"}"
BOTTOMLESS = b'{"resourceType": "Device", "x": ' + b"[" * 200_000

REFUSED = [
    (b"", MalformedMessage, "$"),
    (b"null", MalformedMessage, "$"),
    (b"[]", MalformedMessage, "$"),
    (b'"Device"', MalformedMessage, "$"),
    (b"{}", MalformedMessage, "$"),
    (b'{"resourceType": "Device"', MalformedMessage, "$"),
    (b'{"resourceType": "Device", "id": "\xff"}', MalformedMessage, "$"),
    (b'{"resourceType": "Device", "id": "x}', MalformedMessage, "$"),
    (b'{"resourceType": 7}', MalformedMessage, "$.resourceType"),
    (b'{"resourceType": null}', MalformedMessage, "$.resourceType"),
    (b'{"resourceType": "Device", "id": null}', MalformedMessage, "$.id"),
    (b'{"resourceType": "Device", "udiCarrier": {}}', MalformedMessage, "$.udiCarrier"),
    (b'{"resourceType": "Device", "status": "banana"}', MalformedMessage, "$.status"),
    (USE.replace(b'{"reference": "Patient/1"}', b"null"), MalformedMessage, "$.subject"),
    (USE.replace(b'"subject"', b'"sobject"'), MalformedMessage, "$"),
    (b'{"resourceType": "Device", "id": "1", "id": "2"}', MalformedMessage, "$.id"),
    (
        b'{"resourceType": "Device", "x": [1, {"status": 1, "y": [], "status": 2}]}',
        MalformedMessage,
        "$.x[1].status",
    ),
    (b'{"resourceType": "Device", "a b": 1, "a b": 2}', MalformedMessage, "$.…"),
    (DEEP, MalformedMessage, "$.extension" + "[0].a" * 31 + "[0]"),
    (BOTTOMLESS, MalformedMessage, "$.x" + "[0]" * 63),
    (b'<Device xmlns="http://hl7.org/fhir"/>', UnsupportedMediaType, "$"),
    (b"\xef\xbb\xbf  <?xml version='1.0'?>", UnsupportedMediaType, "$"),
    (b'{"resourceType": "Device"}\n{"resourceType": "Device"}\n', UnsupportedMediaType, "$"),
]


@pytest.mark.parametrize(("raw", "failure", "where"), REFUSED)
def test_what_is_no_resource_is_refused_at_its_path(raw, failure, where):
    with pytest.raises(failure) as refusal:
        codec.read(raw)
    assert refusal.value.where == where


def test_a_refusal_does_not_repeat_the_value_it_refuses():
    with pytest.raises(MalformedMessage) as refusal:
        codec.read(b'{"resourceType": "Device", "status": "Invented Testperson"}')
    assert "Testperson" not in str(refusal.value)


@pytest.mark.parametrize("size", [10, 200_000])
def test_an_unclosed_string_costs_no_more_than_its_length(size):
    raw = b'{"resourceType": "' + b'\\"' * size
    with pytest.raises(MalformedMessage):
        codec.read(raw)


PIECES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"1e999", b'"id"', b'"Device"', USE]
) | st.binary(max_size=4)


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_any_bytes_are_read_or_refused(raw):
    try:
        read = codec.read(raw)
    except (MalformedMessage, UnsupportedMessage, UnsupportedMediaType):
        return
    assert codec.encode(read)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (
            MalformedMessage("not a day", where="$.entry[0].resource.x", expected="a day"),
            "structure",
        ),
        (UnsupportedMessage("no"), "not-supported"),
        (errors.IdentityConflict("other content"), "conflict"),
        (errors.UnknownLocation("no such place"), "business-rule"),
        (errors.TooManyRequests("slow down"), "throttled"),
        (errors.Unauthenticated("who"), "login"),
        (errors.StoreUnavailable("later"), "transient"),
        (errors.UpstreamTimeout("later"), "timeout"),
    ],
)
def test_a_failure_is_told_as_an_outcome(failure: Failure, code):
    said = msgspec.json.decode(codec.encode(codec.outcome(failure)))
    (issue,) = said["issue"]
    assert said["resourceType"] == "OperationOutcome"
    assert (issue["severity"], issue["code"]) == ("error", code)
    assert issue["details"]["text"] == failure.title
    assert issue["diagnostics"].startswith(failure.detail)


def test_an_outcome_names_the_place_as_a_fhir_path():
    said = codec.outcome(MalformedMessage("not a day", where="$.entry[0].resource.status"))
    assert said.issue[0].expression == ("entry[0].resource.status",)
    assert codec.outcome(MalformedMessage("no", where="$")).issue[0].expression == ()
    assert codec.outcome(MalformedMessage("no", where="UDI")).issue[0].expression == ()


CHICAGO = ZoneInfo("America/Chicago")
MOMENTS = [
    ("2026-03-04T07:30:00-06:00", datetime(2026, 3, 4, 13, 30, tzinfo=UTC)),
    ("2026-03-04T13:30:00Z", datetime(2026, 3, 4, 13, 30, tzinfo=UTC)),
    ("2026-03-04T13:30:00.1Z", datetime(2026, 3, 4, 13, 30, 0, 100_000, tzinfo=UTC)),
    ("2026-03-04T13:30:00.123456789Z", datetime(2026, 3, 4, 13, 30, 0, 123_456, tzinfo=UTC)),
    ("2026-03-04", datetime(2026, 3, 4, 6, tzinfo=UTC)),
    ("2026-07-04", datetime(2026, 7, 4, 5, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "expected"), MOMENTS)
def test_a_moment_is_told_in_utc(text, expected):
    assert moments.moment(text, CHICAGO, "$.x") == expected


@pytest.mark.parametrize(
    "text",
    ["", "2026", "2026-03", "2026-02-30", "2026-13-01", "2026-03-04T07:30", "2026-03-04T07:30:00",
     "2026-03-04 07:30:00Z", "2026-03-04T24:00:00Z", "2026-03-04T07:61:00Z", "04.03.2026",
     "0001-01-01T00:00:00+14:00", "2026-03-04T07:30:00+25:00", "٢٠٢٦-03-04"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(MalformedMessage) as refusal:
        moments.moment(text, CHICAGO, "$.x")
    assert refusal.value.where == "$.x"


def test_a_day_is_the_day_that_was_written():
    assert moments.day("2027-12-31", "$.x") == date(2027, 12, 31)
    assert moments.day("2027-12-31T23:00:00-11:00", "$.x") == date(2027, 12, 31)


@pytest.mark.parametrize("text", ["2027", "2027-12", "2027-02-30", "2027-12-31T99", "x"])
def test_a_part_of_a_day_is_refused(text):
    with pytest.raises(MalformedMessage):
        moments.day(text, "$.x")
