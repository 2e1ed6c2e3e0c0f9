"""FHIR documents against what they mean: each golden file is input, dashes, expected words."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from fhir.resources.R4B.chargeitem import ChargeItem
from hypothesis import given
from hypothesis import strategies as st

from canonical.charge import ChargeLine, ChargeReview
from canonical.context import PatientContext
from canonical.errors import Failure, MalformedMessage, UnsupportedMessage
from canonical.item import Quantity
from canonical.usage import UsageEvent
from standards.fhir import codec
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.fhir_r4.mapping import charge_item, usage_facts

GOLDEN = Path(__file__).parent.parent / "golden" / "fhir_r4"
CASES = sorted(GOLDEN.glob("*.golden"))

FEED = FhirFeed(
    facility="1010",
    zone="America/Chicago",
    source="EHR-FHIR",
    issuer="MERCYGEN",
    locations={"OR-3": "OR3-STOCK", "Cath Lab": "CATH"},
    identifier_systems={
        "urn:hospital:item": "erp",
        "urn:hospital:ehr-supply": "ehr",
        "https://www.gs1.org/gtin": "gtin",
    },
    visit_system="urn:hospital:visit",
    case_system="urn:hospital:case",
)


def meaning(document: bytes) -> str:
    try:
        facts, patient = usage_facts(codec.read(document), FEED)
    except Failure as failure:
        return f"{failure.slug} at {failure.where}: {failure.detail}"
    told = {"event": facts[0]} if len(facts) == 1 else {"events": facts}
    said = msgspec.to_builtins({**told, "patient": patient})
    return msgspec.json.format(msgspec.json.encode(without_blanks(said)), indent=2).decode()


def without_blanks(value):
    if isinstance(value, dict):
        return {name: without_blanks(inner) for name, inner in value.items() if inner}
    return [without_blanks(one) for one in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_document_means_what_its_golden_file_says(case):
    document, _, expected = case.read_text().partition("\n---\n")
    assert meaning(document.encode()) == expected.strip()


def test_the_golden_files_are_there():
    assert len(CASES) > 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_refusal_never_repeats_a_person(case):
    document, _, expected = case.read_text().partition("\n---\n")
    if not expected.startswith("{"):
        for secret in ("Testperson", "MRN-0001", "SN-777"):
            assert secret not in meaning(document.encode())


@given(st.data())
def test_a_mutilated_document_is_read_or_refused(data):
    case = data.draw(st.sampled_from(CASES))
    document = bytearray(case.read_text().partition("\n---\n")[0].encode())
    start = data.draw(st.integers(0, len(document) - 1))
    end = data.draw(st.integers(start, min(start + 40, len(document))))
    document[start:end] = data.draw(st.binary(max_size=8))
    assert meaning(bytes(document))


REVIEW = ChargeReview(
    context_token="ctx_1",
    facility="1010",
    occurred_on=date(2026, 3, 4),
    procedure="0SR90J9",
    lines=(
        ChargeLine(
            item="100-200",
            description="Femoral stem",
            quantity=Quantity(value=Decimal("1.0"), unit="EA"),
            lot="L7",
            serial="S9",
        ),
        ChargeLine(
            item="100-300",
            description="Bone cement",
            quantity=Quantity(value=Decimal(2), unit="BX"),
        ),
    ),
)


def test_a_charge_line_becomes_an_item_that_waits_for_review():
    patient = PatientContext(
        patient_id="MRN-0001",
        patient_name="Testperson, Invented",
        encounter="V77",
        account="A5",
        procedure_id="Procedure/p1",
    )
    made = msgspec.json.decode(codec.encode(charge_item(REVIEW, 1, patient, "flow/charge")))
    stem = {"system": "urn:suture:item", "code": "100-200", "display": "Femoral stem"}
    assert made == {
        "resourceType": "ChargeItem",
        "status": "planned",
        "identifier": [{"system": "urn:suture:charge-line", "value": "flow/charge/1"}],
        "code": {"coding": [stem], "text": "Femoral stem"},
        "subject": {"type": "Patient", "identifier": {"value": "MRN-0001"}},
        "context": {"type": "Encounter", "identifier": {"value": "V77"}},
        "occurrenceDateTime": "2026-03-04",
        "quantity": {
            "value": 1.0,
            "unit": "EA",
            "system": "http://unitsofmeasure.org",
            "code": "{each}",
        },
        "productCodeableConcept": {"coding": [stem], "text": "Femoral stem"},
        "service": [{"reference": "Procedure/p1", "type": "Procedure"}],
        "account": [{"type": "Account", "identifier": {"value": "A5"}}],
        "note": [{"text": "Lot L7; Serial S9"}],
    }


def test_each_charge_line_has_its_own_identity():
    patient = PatientContext(patient_id="Patient/9")
    item = charge_item(REVIEW, 2, patient, "flow/charge")
    assert item.identifier[0].value == "flow/charge/2"
    assert item.subject.reference == "Patient/9"
    assert item.quantity.code == "{box}"
    assert not item.note


def test_a_charge_without_a_patient_is_the_visits_and_without_both_is_refused():
    item = charge_item(REVIEW, 1, PatientContext(encounter="V77"), "flow/charge")
    assert item.context.identifier.value == "V77"
    assert (item.subject.type, item.subject.identifier.value) == ("Patient", "")
    assert item.subject.display
    with pytest.raises(UnsupportedMessage) as refusal:
        charge_item(REVIEW, 1, PatientContext(case_number="C7"), "flow/charge")
    assert refusal.value.where == "ChargeItem.subject"


def test_a_document_without_a_location_belongs_to_the_feeds_own():
    case = GOLDEN / "refused-location-missing.golden"
    feed = msgspec.structs.replace(FEED, default_location="OR3-STOCK")
    (event,), _ = usage_facts(codec.read(case.read_text().partition("\n---\n")[0].encode()), feed)
    assert event.location == "OR3-STOCK"


BARE_USE = {
    "resourceType": "DeviceUseStatement",
    "status": "active",
    "subject": {"identifier": {"value": "MRN-0001"}, "display": "Testperson"},
    "device": {"identifier": {"system": "urn:hospital:item", "value": "100-200"}},
    "timingPeriod": {"start": "2026-03-04T13:30:00Z"},
    "derivedFrom": [{"reference": "Observation/1"}],
    "extension": [
        {"url": "urn:other"},
        {
            "url": "http://hl7.org/fhir/StructureDefinition/encounter-associatedEncounter",
            "valueReference": {"reference": "Encounter/V77"},
        },
    ],
}


def read_by(feed: FhirFeed, document: dict) -> tuple[UsageEvent, PatientContext]:
    (event,), patient = usage_facts(codec.read(msgspec.json.encode(document)), feed)
    assert isinstance(event, UsageEvent)
    return event, patient


AT_HOME = msgspec.structs.replace(FEED, default_location="OR3-STOCK")


def test_a_use_without_a_procedure_stands_for_itself():
    event, patient = read_by(AT_HOME, BARE_USE)
    assert (event.procedure, event.clinician, event.location) == ("", "", "OR3-STOCK")
    assert event.lines[0].reference == ""
    assert patient == PatientContext(
        patient_id="MRN-0001", patient_name="Testperson", encounter="V77"
    )


def test_a_use_that_names_no_visit_is_refused():
    use = {**BARE_USE, "extension": [{"url": "urn:other"}]}
    with pytest.raises(MalformedMessage) as refusal:
        read_by(AT_HOME, use)
    assert refusal.value.expected == "an encounter"


def test_the_feed_may_say_which_coding_is_the_procedure():
    codings = [{"system": "urn:a", "code": "A"}, {"system": "urn:b", "code": "B"}]
    procedure = {
        "resourceType": "Procedure",
        "status": "completed",
        "code": {"coding": codings},
        "subject": {"reference": "Patient/9"},
        "encounter": {"reference": "https://ehr.example/fhir/Encounter/V77"},
        "performedDateTime": "2026-03-04",
        "usedCode": [{"coding": [{"system": "urn:hospital:item", "code": "100"}]}],
    }
    for system, code in (("", "A"), ("urn:b", "B"), ("urn:c", "A")):
        feed = msgspec.structs.replace(AT_HOME, procedure_system=system)
        event, patient = read_by(feed, procedure)
        assert event.procedure == code
        assert patient.encounter == "V77"


def test_a_patient_without_a_name_is_still_a_patient():
    case = GOLDEN / "transaction-with-statement.golden"
    raw = msgspec.json.decode(case.read_text().partition("\n---\n")[0])
    del raw["entry"][0]["resource"]["name"]
    event, patient = read_by(FEED, raw)
    assert (event.clinician, patient.patient_name) == ("1234567893", "")
    assert patient.patient_id == "MRN-0001"


def test_usage_does_not_wait_for_the_number_of_a_performer():
    case = GOLDEN / "transaction-with-statement.golden"
    raw = msgspec.json.decode(case.read_text().partition("\n---\n")[0])
    nobody = {"fullUrl": "urn:uuid:77", "resource": {"resourceType": "Practitioner"}}
    raw["entry"].append(nobody)
    for performers in ([], [{"actor": {"reference": "urn:uuid:77"}}], [{"actor": {}}]):
        raw["entry"][2]["resource"]["performer"] = performers
        assert read_by(FEED, raw)[0].clinician == ""


def test_a_patient_or_relative_who_performs_is_no_clinician():
    case = GOLDEN / "transaction-with-statement.golden"
    raw = msgspec.json.decode(case.read_text().partition("\n---\n")[0])
    procedure = raw["entry"][2]["resource"]
    private = (
        procedure["subject"],
        {"reference": "Patient/MRN-0001"},
        {"reference": "https://ehr.example/fhir/RelatedPerson/9"},
        {"type": "Patient", "identifier": {"value": "MRN-0001"}},
    )
    for actor in private:
        procedure["performer"] = [{"actor": actor}]
        assert read_by(FEED, raw)[0].clinician == ""
        procedure["performer"].append({"actor": {"reference": "Practitioner/77"}})
        assert read_by(FEED, raw)[0].clinician == "77"


def test_a_feed_with_an_unknown_time_zone_is_refused_at_load():
    with pytest.raises(msgspec.ValidationError, match="Mars/Base"):
        msgspec.convert({"facility": "1010", "zone": "Mars/Base"}, FhirFeed)


@pytest.mark.parametrize("line", [1, 2])
def test_a_second_reader_of_fhir_accepts_our_charge_item(line):
    patient = PatientContext(
        patient_id="MRN-0001", encounter="V77", account="A5", procedure_id="Procedure/p1"
    )
    made = codec.encode(charge_item(REVIEW, line, patient, "flow/charge"))
    assert ChargeItem.model_validate_json(made).status == "planned"
