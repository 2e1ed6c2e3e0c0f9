"""The simulated EHR's messages, read by the feeds they are meant for."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from fhir.resources.R4B.bundle import Bundle

from canonical.item import ItemCode
from sandbox.ehr import fhir, hl7
from sandbox.ehr.hospital import Hospital, NewCase, Usage, UsedLine
from sandbox.ehr.settings import Settings
from standards.fhir import codec
from standards.hl7v2.reader import read
from system_apis.ehr.fhir_r4 import mapping as fhir_r4
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.hl7v2_feed import mapping as hl7v2
from system_apis.ehr.hl7v2_feed.wire import Feed

GTIN = "00844588003745"
AT = datetime(2026, 3, 4, 15, tzinfo=UTC)
CASE = NewCase(
    case_number="CASE-42",
    visit="V77",
    procedure="27130",
    procedure_name="Hip | total & more",
    location="OR-3",
    surgeon="1234567893",
    start=datetime(2026, 3, 4, 13, 30, tzinfo=UTC),
)
LINES = (
    UsedLine(
        udi=f"(01){GTIN}(17)281231(10)L-7(21)S&9",
        code="SUP-1",
        sku="1610-0-0010",
        supplier="17300001",
        description="Femoral stem",
        lot="L-7",
        serial="S&9",
        expires=date(2028, 12, 31),
    ),
    UsedLine(code="GLOVE", description="Glove", quantity=Decimal("1.50"), unit="BX"),
    UsedLine(udi="+A123BJC5D6E71G"),
)
SETTINGS = Settings(
    gateway_url="https://gateway.example",
    mllp_host="127.0.0.1",
    mllp_port=1,
    token_url="https://gateway.example/oauth/token",
    client_id="ehr",
    client_secret="secret",
)
ENVELOPE = hl7.Envelope(SETTINGS, "abcd000001", AT)
HL7_FEED = Feed(
    sending_facility="GENERAL",
    facility="1710",
    zone="America/New_York",
    locations={"OR-3": "OR01"},
    observations={"UOM": "unit"},
    places={"case-number": "ZCS-1", "line-reference": "FT1-2"},
)
FHIR_FEED = FhirFeed(
    facility="1710",
    zone="America/New_York",
    issuer="GENERAL",
    locations={"OR-3": "OR01"},
    identifier_systems={fhir.ITEM: "ehr", fhir.SKU: "supplier-sku"},
    visit_system=fhir.VISIT,
    case_system=fhir.CASE,
)


@pytest.fixture
def patient():
    return Hospital().patient_of("V77")


@pytest.mark.parametrize(
    ("event", "change"),
    [("S12", "scheduled"), ("S13", "changed"), ("S14", "changed"), ("S15", "cancelled")],
)
def test_a_schedule_says_what_becomes_of_the_case(event, change, patient):
    case, context = hl7v2.surgical_case(
        read(hl7.schedule(event, CASE, patient, ENVELOPE)), HL7_FEED
    )
    assert (case.change, case.location, case.procedure) == (change, "OR01", "27130")
    assert case.procedure_name == "Hip | total & more"
    assert case.scheduled_at == CASE.start
    assert case.surgeon == "1234567893"
    assert (context.encounter, context.case_number) == ("V77", "CASE-42")


def used(via: str, patient):
    usage = Usage(lines=LINES, at=AT)
    if via == "hl7":
        (event,), context = hl7v2.usage_facts(
            read(hl7.charges(usage, CASE, patient, ENVELOPE)), HL7_FEED
        )
        return event, context
    document = codec.read(fhir.usage_bundle(usage, CASE, patient, ENVELOPE))
    (event,), context = fhir_r4.usage_facts(document, FHIR_FEED)
    return event, context


@pytest.mark.parametrize("via", ["hl7", "fhir"])
def test_usage_says_the_same_over_either_feed(via, patient):
    event, context = used(via, patient)
    stem, glove, other = event.lines
    assert stem.codes[0] == ItemCode(scheme="gtin", value=GTIN)
    assert ItemCode(scheme="ehr", value="SUP-1", issuer="GENERAL") in stem.codes
    assert "1610-0-0010" in {code.value for code in stem.codes if code.scheme == "supplier-sku"}
    assert (stem.lot, stem.serial, stem.expires) == ("L-7", "S&9", date(2028, 12, 31))
    assert (stem.quantity.value, stem.quantity.unit) == (1, "EA")
    assert (str(glove.quantity.value), glove.quantity.unit) == ("1.50", "BX")
    assert other.codes == (ItemCode(scheme="hibcc", value="A123BJC5D6E71"),)
    assert len({line.reference for line in event.lines} - {""}) == 3
    assert (event.location, event.procedure) == ("OR01", "27130")
    assert (event.occurred_at, event.clinician) == (AT, "1234567893")
    assert (context.encounter, context.case_number) == ("V77", "CASE-42")
    assert context.patient_id == patient.number


def test_a_visit_keeps_its_patient():
    hospital = Hospital()
    first = hospital.patient_of("V1")
    assert hospital.patient_of("V2") != first
    assert hospital.patient_of("V1") is first


def test_a_message_is_the_same_however_often_it_is_written(patient):
    usage = Usage(lines=LINES, at=AT)
    assert fhir.usage_bundle(usage, CASE, patient, ENVELOPE) == fhir.usage_bundle(
        usage, CASE, patient, ENVELOPE
    )


def test_a_value_cannot_become_a_segment(patient):
    case = msgspec.structs.replace(CASE, procedure_name="x\rZZZ|1")
    message = read(hl7.schedule("S12", case, patient, ENVELOPE))
    assert message.first("ZZZ") is None


def test_a_second_reader_of_fhir_accepts_the_bundle(patient):
    written = fhir.usage_bundle(Usage(lines=LINES, at=AT), CASE, patient, ENVELOPE)
    assert len(Bundle.model_validate_json(written).entry) == 3 + 2 * len(LINES)
