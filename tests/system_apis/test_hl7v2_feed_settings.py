"""The settings of a feed: refused at load when wrong, and what they change."""

import msgspec
import pytest

from canonical.errors import MalformedMessage
from standards.hl7v2.reader import read
from system_apis.ehr.hl7v2_feed.mapping import usage_facts
from system_apis.ehr.hl7v2_feed.wire import Feed

DFT = read(
    b"MSH|^~\\&|EHR|NORTH|||20260401||DFT^P03|1||2.5\r"
    b"PV1|1|I|OR||||||||||||||||V1\r"
    b"FT1|1|||20260402||CG|99213^Visit^C4|||2||||||OR\r"
    b"FT1|2|||20260402||CG|A-1^Drape^CDM|||2||||||OR\r"
)
FEED = Feed(
    sending_facility="*", facility="1", zone="UTC", default_unit="EA", locations={"OR": "L"}
)


def test_a_feed_is_read_from_toml():
    feed = msgspec.toml.decode(
        b'sending-facility="NORTH"\nfacility="1710"\nzone="Europe/Berlin"\ndefault-unit="EA"\n'
        b'erp-systems=["99ERP"]\n[locations]\n"OR/3"="OR3"\n[places]\nudi="ZUI-1"\n'
        b'line-reference="FT1-2"\n',
        type=Feed,
    )
    assert feed.places == {"udi": "ZUI-1", "line-reference": "FT1-2"}
    assert feed.serves("NORTH")
    assert not feed.serves("SOUTH")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('zone="Mars/Olympus"', "zone is no IANA time zone"),
        ('zone="/etc/passwd"', "zone is no IANA time zone"),
        ('zone="UTC"\nzones="x"', "unknown field"),
        ('zone="UTC"\n[places]\nudi="ZUI"', "expected a field such as"),
        ('zone="UTC"\n[places]\ncolour="ZUI-1"', "Invalid enum value"),
    ],
)
def test_a_wrong_setting_is_refused_at_load(text, says):
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.toml.decode(f'sending-facility="N"\nfacility="1"\n{text}'.encode(), type=Feed)


def test_a_star_serves_every_sender():
    assert FEED.serves("NORTH")
    assert FEED.serves("")


def test_without_a_unit_nothing_is_assumed():
    with pytest.raises(MalformedMessage) as caught:
        usage_facts(DFT, msgspec.structs.replace(FEED, default_unit=""))
    assert caught.value.where == "FT1[2]-10"
    assert "default-unit" in caught.value.fix


def test_which_codes_are_services_is_the_feeds_decision():
    (event,), _ = usage_facts(DFT, msgspec.structs.replace(FEED, service_systems=()))
    assert [line.codes[0].value for line in event.lines] == ["99213", "A-1"]
    (event,), _ = usage_facts(DFT, FEED)
    assert [line.codes[0].value for line in event.lines] == ["A-1"]


def test_a_line_has_no_reference_unless_the_sender_promises_one():
    (event,), _ = usage_facts(DFT, FEED)
    assert event.lines[0].reference == ""
