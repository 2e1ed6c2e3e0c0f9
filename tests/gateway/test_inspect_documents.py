"""What an inspection says about one document: canonical words, a structure, or a named failure."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection.documents import inspected
from gateway.inspection.formats import sniffed

TAG = "ZZTAGGEDPERSON"

SIU = (
    "MSH|^~\\&|EHR|NORTH|SUTURE|NORTH|20260401080000||SIU^S12|M1|P|2.5.1\r"
    "SCH|CASE1||||||KNEE^Total knee replacement\r"
    f"PID|1||0042^^^NORTH^MR||{TAG}^INVENTED\r"
    "AIS|1||27447^Total knee replacement|202604020730\r"
    "AIL|1||OR^3\r"
)
DFT = (
    "MSH|^~\\&|EHR|NORTH|SUTURE|NORTH|20260401080000||DFT^P03|M2|P|2.5.1\r"
    f"PID|1||0042^^^NORTH^MR||{TAG}^INVENTED\r"
    "PV1|1|I|OR^3||||||||||||||||VISIT-1\r"
    "FT1|1|||202604010745||CG|DRAPE^Drape^CDM|||2\r"
)
ORU = (
    "MSH|^~\\&|LAB|NORTH|||20260401080000||ORU^R01|M3|P|2.5.1\r"
    f"PID|1||0042||{TAG}^INVENTED\r"
    "OBR|1|||GLU^Glucose\rOBX|1|NM|GLU||5.1\rOBX|2|NM|K||4.1\r"
)

ISA = (
    "ISA*00*          *00*          *ZZ*NORTHFIELD     *ZZ*HOSPITAL       "
    "*260105*0900*U*00401*000000007*0*P*>~"
)
ANSWER = (
    "ST*855*0001~BAK*00*AD*4500000001*20260104~PO1*1*10*EA*4.5**VN*SKU-1~ACK*IA*10*EA~"
    "CTT*1~SE*6*0001~"
)
ORDER = "ST*850*0001~BEG*00*SA*4500000001**20260104~PO1*1*10*EA*4.5**VN*SKU-1~CTT*1~SE*5*0001~"
CLAIM = f"ST*837*0001~BHT*0019*00*1*20260104*0900~NM1*QC*1*{TAG}*INVENTED~SE*4*0001~"
CLOSED = "GE*1*7~IEA*1*000000007~"


def interchange(group: str, *sets: str) -> bytes:
    heading = f"GS*{group}*NORTHFIELD*HOSPITAL*20260105*0900*7*X*004010~"
    return (ISA + heading + "".join(sets) + f"GE*{len(sets)}*7~IEA*1*000000007~").encode()


PATIENT = {"resourceType": "Patient", "id": "p9", "name": [{"family": TAG}]}
PROCEDURE = {
    "resourceType": "Procedure",
    "id": "pr1",
    "status": "completed",
    "subject": {"reference": "Patient/p9", "display": TAG},
    "encounter": {"reference": "Encounter/v7"},
    "performedDateTime": "2026-03-04",
    "performer": [{"actor": {"reference": "Patient/p9", "display": TAG}}],
    "location": {"display": f"home of {TAG}"},
    "usedReference": [
        {
            "identifier": {
                "system": "http://hl7.org/fhir/NamingSystem/fda-udi",
                "value": "+A123BJC5D6E71G",
            }
        }
    ],
}


def fhir(*resources, kind: str = "") -> bytes:
    if not kind:
        return msgspec.json.encode(resources[0])
    entries = [{"resource": one} for one in resources]
    return msgspec.json.encode({"resourceType": "Bundle", "type": kind, "entry": entries})


def said(body: bytes | str):
    """What a machine gets to read."""
    raw = body if isinstance(body, bytes) else body.encode()
    found = msgspec.json.decode(msgspec.json.encode(inspected("a document", raw)))
    assert found["verdict"] != "crashed", found
    return found


def only_message(body: bytes | str):
    (message,) = said(body)["messages"]
    return message


def test_a_scheduled_case_is_shown_in_canonical_words_and_its_patient_is_not():
    message = only_message(SIU)
    (found,) = message["canonical"]
    assert found["object"] == "SurgicalCase"
    assert found["value"]["procedure"] == "27447"
    assert found["value"]["location"] == "OR/3"
    assert found["value"]["scheduledAt"] == "2026-04-02T07:30:00Z"
    assert message["patientContext"] == "sealed"
    assert "failure" not in message


def test_charges_become_a_usage_event_and_services_alone_become_nothing_used():
    (found,) = only_message(DFT)["canonical"]
    assert found["object"] == "UsageEvent"
    assert found["value"]["lines"][0]["quantity"] == {"value": "2", "unit": "EA"}
    service = only_message(DFT.replace("DRAPE^Drape^CDM", "99213^Visit^CPT"))
    assert [one["object"] for one in service["canonical"]] == ["NothingUsed"]
    assert "patientContext" not in service


def test_a_message_we_do_not_map_is_described_by_its_segments():
    message = only_message(ORU)
    assert (message["type"], message["version"]) == ("ORU^R01", "2.5.1")
    assert message["structure"] == {"segments": {"MSH": 1, "PID": 1, "OBR": 1, "OBX": 2}}


def test_a_mapped_message_that_lacks_a_value_is_refused_at_its_field():
    found = said(SIU.replace("AIL|1||OR^3\r", ""))
    assert found["verdict"] == "refused"
    assert (found["failure"]["slug"], found["failure"]["where"]) == ("malformed-message", "AIL-3")


@pytest.mark.parametrize(
    "framed",
    ["\x0b{0}\x1c\r", "\x0b{0}\x1c\r\x0b{0}\x1c\r", "{0}\x1c", "{0}\x0b\r\n", "\r\n\x0b{0}"],
)
def test_mllp_framing_bytes_in_a_file_are_taken_off_and_noted(framed):
    found = said(framed.format(ORU))
    assert found["verdict"] == "read"
    assert found["notes"] == ["MLLP framing bytes were taken off"]
    assert {one["type"] for one in found["messages"]} == {"ORU^R01"}


def test_a_batch_is_refused_by_its_first_failure_and_every_message_is_listed():
    broken = ORU.replace("OBX|2", "OBX2")
    batch = f"FHS|^~\\&\rBHS|^~\\&\r{ORU}{broken}{SIU}BTS|3\rFTS|1\r"
    found = said(batch)
    assert (found["verdict"], found["type"]) == ("refused", "ORU^R01+SIU^S12")
    assert found["failure"]["where"] == "segment 5"
    assert ["failure" in one for one in found["messages"]] == [False, True, False]


def test_a_batch_with_a_wrong_count_is_refused_and_its_messages_are_listed():
    found = said(f"BHS|^~\\&\r{ORU}{ORU}BTS|3\r")
    assert (found["failure"]["where"], found["failure"]["expected"]) == ("segment 12 BTS-1", "2")
    assert [one["type"] for one in found["messages"]] == ["ORU^R01", "ORU^R01"]
    assert said("FHS|^~\\&\rBHS|^~\\&\rBTS|2\rFTS|1\r")["verdict"] == "refused"


def test_a_supplier_answer_is_shown_as_an_acknowledgement():
    message = only_message(interchange("PR", ANSWER))
    (found,) = message["canonical"]
    assert (message["type"], message["version"], found["object"]) == (
        "855",
        "004010",
        "Acknowledgement",
    )
    assert found["value"]["order"] == "4500000001"


def test_an_order_and_a_claim_are_described_by_their_segments():
    order = only_message(interchange("PO", ORDER))
    assert order["structure"]["segments"] == {"ST": 1, "BEG": 1, "PO1": 1, "CTT": 1, "SE": 1}
    claim = only_message(interchange("HC", CLAIM))
    assert claim["structure"]["segments"]["NM1"] == 1


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        (interchange("PR", ANSWER.replace("SE*6", "SE*7")), "SE01"),
        (interchange("PO", ANSWER), "ST01"),
        (interchange("PR", ANSWER.replace("20260104", "20261304")), "BAK04 in segment 2"),
        (interchange("PR", ANSWER.replace("ACK*IA*10*EA", "ACK*IA*10*QQ")), "ACK03 in segment 4"),
        (interchange("PR", ANSWER).replace(b"GE*1", b"GE*2"), "GE01"),
        (interchange("PR", ANSWER).replace(b"IEA*1", b"IEA*2"), "IEA01"),
        (interchange("PR").replace(b"GE*0*7", b"GE*0*8"), "GE02"),
        (interchange("HC", CLAIM.replace("SE*4", "SE*9")), "SE01"),
    ],
)
def test_a_set_that_is_refused_names_the_element(broken, where):
    found = said(broken)
    assert (found["failure"]["slug"], found["failure"]["where"]) == ("malformed-message", where)


def test_every_interchange_and_every_set_of_a_file_is_listed():
    second = ANSWER.replace("0001~", "0002~").replace("4500000001", "4500000002")
    wrong = interchange("PR", ANSWER).replace(b"IEA*1*000000007", b"IEA*1*000000008")
    found = said(interchange("PR", ANSWER, second) + b"\r\n" + wrong + interchange("PO", ORDER))
    assert [one["type"] for one in found["messages"]] == ["855", "855", "855", "850"]
    assert ["failure" in one for one in found["messages"]] == [False, False, True, False]
    assert (found["type"], found["failure"]["where"]) == ("855+850", "IEA02")


def test_a_ta1_is_shown_whether_it_rejects_or_accepts():
    def said_by(code: str):
        return only_message(f"{ISA}TA1*000000009*260105*0900*{code}*000~IEA*0*000000007~")

    assert said_by("R")["canonical"][0]["object"] == "SyntaxVerdict"
    assert said_by("A")["structure"] == {"segments": {"TA1": 1}}


@pytest.mark.parametrize("kind", ["", "transaction"])
def test_a_procedure_with_its_devices_is_a_usage_event(kind):
    message = only_message(fhir(PROCEDURE, PATIENT, kind=kind))
    (found,) = message["canonical"]
    assert found["object"] == "UsageEvent"
    assert found["value"]["lines"][0]["codes"][0]["scheme"] == "hibcc"
    assert message["patientContext"] == "sealed"


def test_the_items_of_any_code_system_are_shown():
    device = {
        "resourceType": "Device",
        "id": "d",
        "identifier": [{"system": "urn:any", "value": "I-1"}],
    }
    used = PROCEDURE | {"contained": [device], "usedReference": [{"reference": "#d"}]}
    (found,) = only_message(fhir(used))["canonical"]
    code = found["value"]["lines"][0]["codes"][0]
    assert (code["scheme"], code["value"]) == ("ehr", "I-1")


def test_a_procedure_without_a_device_is_nothing_used():
    message = only_message(fhir(PROCEDURE | {"usedReference": []}))
    assert [one["object"] for one in message["canonical"]] == ["NothingUsed"]


def test_other_resources_are_described_by_type():
    assert only_message(fhir(PATIENT))["structure"] == {"resources": {"Patient": 1}}
    schedule = {"resourceType": "Schedule", "comment": TAG}
    found = only_message(fhir(PATIENT, PATIENT | {"id": "p8"}, schedule, kind="searchset"))
    assert found["structure"] == {
        "bundle": "searchset",
        "resources": {"Patient": 2, "Schedule": 1},
    }


def test_ndjson_is_one_message_a_line():
    found = said(fhir(PATIENT) + b"\n" + b'{"resourceType":"Patient","name":1}\n' + fhir(PROCEDURE))
    assert found["type"] == "Patient+Procedure"
    assert ["failure" in one for one in found["messages"]] == [False, True, False]
    assert found["failure"]["where"] == "$.name"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"UNA:+.? 'UNB+UNOA:1+A+B+260105:0900+1'", "EDIFACT"),
        (b"UNB+UNOA:1+A+B+260105:0900+1'", "EDIFACT"),
        (b'<?xml version="1.0"?><!DOCTYPE cXML SYSTEM "cXML.dtd"><cXML/>', "cXML"),
        (b'<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"/>', "UBL"),
        (b'<Patient xmlns="http://hl7.org/fhir"/>', "FHIR XML"),
    ],
)
def test_formats_we_do_not_read_are_recognised_and_refused_by_name(body, name):
    found = said(body)
    assert (found["format"], found["failure"]["slug"]) == (name, "unsupported-message")
    assert found["failure"]["detail"] == f"{name}: recognised, not read yet"


@pytest.mark.parametrize(
    ("body", "instead"),
    [
        (b"", "nothing in it"),
        (b" \r\n", "nothing in it"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b'{"openapi": "3.0.0", "x": {"resourceType": "Patient"}}', "other JSON"),
        (b"[1, 2]", "other JSON"),
        (b"<edmx:Edmx/>", "other XML"),
        (b"file,source,licence\r\n", "neither HL7 v2, X12 nor FHIR"),
        (b"ISAAC said\r\n", "neither HL7 v2, X12 nor FHIR"),
        (b"MSHELL\r\n", "neither HL7 v2, X12 nor FHIR"),
    ],
)
def test_what_is_no_document_is_refused_and_said_what_it_is(body, instead):
    assert sniffed(body).instead == instead
    found = said(body)
    assert (found["verdict"], found["failure"]["detail"]) == ("refused", instead)


@pytest.mark.parametrize(
    ("body", "form", "kind"),
    [
        (b"\xef\xbb\xbf" + ORU.encode(), "HL7", "ORU^R01"),
        (b"\n\n" + ORU.replace("\r", "\n").encode(), "HL7", "ORU^R01"),
        (ORU.replace("|", "#").encode(), "HL7", "ORU^R01"),
        (b"\xef\xbb\xbf" + interchange("PR", ANSWER), "X12", "855"),
        (interchange("PR", ANSWER).replace(b"~", b"~\r\n"), "X12", "855"),
        (interchange("PR", ANSWER).replace(b"~", b"\n").replace(b"*", b"|"), "X12", "855"),
        (b"\xef\xbb\xbf\r\n  " + fhir(PATIENT), "FHIR", "Patient"),
    ],
)
def test_the_format_is_told_by_content(body, form, kind):
    found = said(body)
    assert (found["verdict"], found["format"], found["type"]) == ("read", form, kind)


@pytest.mark.parametrize(
    ("body", "form", "kind"),
    [
        (b"MSH", "HL7", "untyped"),
        (b"MSH|^~\\&|" + TAG.encode(), "HL7", "untyped"),
        (
            ORU.replace("ORU^R01", f"{TAG}^{TAG}").replace("OBX|1", "OBX1").encode(),
            "HL7",
            "untyped",
        ),
        (interchange("PR", ANSWER)[:200], "X12", "855"),
        (b"ISA*" + TAG.encode(), "X12", "untyped"),
        (fhir(PATIENT)[:-2], "FHIR", "Patient"),
        (b'{"resourceType": 7}', "FHIR", "untyped"),
    ],
)
def test_what_is_broken_is_refused_under_the_type_it_claims(body, form, kind):
    found = said(body)
    assert (found["verdict"], found["format"], found["type"]) == ("refused", form, kind)


BROKEN = (
    SIU.replace("AIL|1||OR^3\r", ""),
    SIU.replace("SCH|", "SCH"),
    SIU.replace("PID|1", f"{TAG}|1"),
    DFT.replace("FT1|1|||202604010745", f"FT1|1|||{TAG}"),
    f"MSH|^~\\&|EHR|NORTH|||2026||{TAG}^{TAG}|M|P|{TAG}\rPID|1||{TAG}\r",
    interchange("HC", CLAIM.replace("SE*4", "SE*9")),
    interchange("HC", CLAIM).replace(b"NM1*", b"~"),
    interchange("PR", ANSWER.replace("BAK*00", f"BAK*{TAG}")),
    interchange("PR", ANSWER.replace("CTT*1", f"{TAG}*1")),
    interchange("PR", ANSWER).replace(b"ST*855", f"ST*{TAG}".encode()),
    fhir(PROCEDURE | {"status": TAG}),
    fhir(PROCEDURE | {"performedDateTime": TAG}),
    fhir(PROCEDURE | {"usedReference": [{"display": TAG}]}),
    fhir({"resourceType": TAG}),
    fhir(PATIENT | {"name": TAG, TAG: [TAG]}),
    fhir(PATIENT)[:-3],
    fhir(PATIENT) + fhir(PATIENT),
)


@pytest.mark.parametrize("body", [SIU, DFT, ORU, *BROKEN])
def test_no_value_of_a_patient_is_ever_said(body):
    assert TAG not in str(said(body)).upper().replace(" ", "")


def test_no_value_of_a_patient_is_said_about_fhir_documents_that_are_read():
    for body in (fhir(PROCEDURE), fhir(PATIENT), fhir(PROCEDURE, PATIENT, kind="transaction")):
        found = said(body)
        assert found["verdict"] == "read"
        assert TAG not in str(found)


WHOLE = (
    *(SIU.encode(), DFT.encode(), ORU.encode(), interchange("PR", ANSWER)),
    *(interchange("HC", CLAIM), fhir(PROCEDURE), fhir(PROCEDURE, PATIENT, kind="transaction")),
)
_PIECES = st.sampled_from(
    [
        *(b"MSH|^~\\&|", b"FHS|", b"BTS|1\r", b"\x0b", b"\x1c\r", b"\r", b"PID|1", b"DFT^P03"),
        *(ISA.encode(), b"GS*PR*A*B*20260105*0900*7*X*004010~", b"ST*855*0001~", b"~", b"*"),
        *(b'{"resourceType":', b'"Procedure"', b'"Bundle"', b"{", b"}", b"[", b"]", b",", b"null"),
        *(b"\xff", b"\x00", b"1e999"),
    ]
)


@given(st.one_of(st.binary(max_size=300), st.lists(_PIECES, max_size=14).map(b"".join)))
def test_any_bytes_get_a_verdict(body):
    said(body)


@given(st.sampled_from(WHOLE), st.integers(0, 900), st.binary(max_size=6), st.integers(0, 9))
def test_a_damaged_document_gets_a_verdict(body, at, damage, lost):
    said(body[:at] + damage + body[at + lost :])


def test_a_crash_is_told_apart_from_a_refusal():
    def defective(_form, _part):
        raise RuntimeError(TAG)

    found = inspected("a document", ORU.encode(), defective)
    assert (found.verdict, found.exception, found.failure) == ("crashed", "RuntimeError", None)
    assert TAG not in str(msgspec.to_builtins(found))
