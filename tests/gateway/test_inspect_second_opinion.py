"""Second opinions: asked about our verdicts, never asked for them, and never able to stop us."""

import time

import pytest

from gateway.inspection.documents import inspected
from gateway.inspection.second_opinion import SecondOpinions

TAG = "ZZTAGGEDPERSON"
ADT = (
    "MSH|^~\\&|EHR|NORTH|||20260401080000||ADT^A01^ADT_A01|M1|P|2.5.1\r"
    "EVN||20260401080000\r"
    f"PID|1||0042^^^NORTH^MR||{TAG}^INVENTED\r"
    "PV1|1|I\r"
)
ISA = (
    "ISA*00*          *00*          *ZZ*NORTHFIELD     *ZZ*HOSPITAL       "
    "*260105*0900*U*00401*000000007*0*P*:~"
)
FUNCTIONAL = "ST*997*0001~AK1*PO*7~AK2*850*0001~AK5*A~AK9*A*1*1*1~SE*6*0001~"
CLAIMED = FUNCTIONAL.replace("AK1*PO", "AK1*HC").replace("AK2*850", "AK2*837")
ORDER = "ST*850*0001~BEG*00*SA*4500000001**20260104~PO1*1*10*EA*4.5**VN*SKU-1~CTT*1~SE*5*0001~"
ANSWER = (
    "ST*855*0001~BAK*00*AD*4500000001*20260104~PO1*1*10*EA*4.5**VN*SKU-1~ACK*IA*10*QQ~"
    "CTT*1~SE*6*0001~"
)


def interchange(group: str, content: str, *, isa: str = ISA, release: str = "004010") -> str:
    heading = f"GS*{group}*NORTHFIELD*HOSPITAL*20260105*0900*7*X*{release}~"
    return f"{isa}{heading}{content}GE*1*7~IEA*1*000000007~"


@pytest.fixture(scope="module")
def second():
    with SecondOpinions() as opened:
        yield opened


@pytest.fixture
def opinion(second):
    def opinion(body: str):
        found = inspected("a document", body.encode(), second.of)
        message = found.messages[0]
        assert message.second_opinion is not None
        assert TAG not in message.second_opinion.text
        return found.verdict, message.second_opinion.says, message.second_opinion.text

    return opinion


@pytest.mark.parametrize(
    ("body", "says", "text"),
    [
        (ADT, "agree", "every segment fits its version"),
        (ADT.replace("\r", "\n"), "agree", "every segment fits its version"),
        (ADT + "ZPI|1|anything\r", "agree", "every segment fits its version"),
        (ADT.replace("PV1|1|I\r", ""), "disagree", "PV1: required by the structure"),
        (ADT.replace("PV1|1|I", "PV1|1"), "disagree", "PV1: PV1-2 is required"),
        (ADT.replace("EVN||2026", f"EVN||{TAG}"), "disagree", "EVN: a value of the wrong type"),
        (ADT.replace("PV1|1|I", f"PV1|1|{TAG * 9}"), "disagree", "PV1: a value that is too long"),
        (ADT.replace("2.5.1", "2.9"), "none", "it does not know this version"),
        (ADT.replace("2.5.1", ""), "none", "it does not know this version"),
        (ADT.replace("ADT^A01^ADT_A01", "ZPM^Z01"), "none", "no structure for this message type"),
        (ADT.replace("ADT^A01^ADT_A01", "ADT^A04"), "none", "no structure for this message type"),
        (
            ADT.replace("2.5.1", "2.3").replace("EVN|", "EVN|A01"),
            *("none", "three components of MSH-9"),
        ),
        (ADT.replace("^~\\&", "^~\\\\&"), "agree", "MSH-2 does not have the separators"),
    ],
)
def test_hl7apy_is_asked_about_hl7_messages(opinion, body, says, text):
    _, *found = opinion(body)
    assert (found[0], text in found[1]) == (says, True), found


def test_the_choice_in_an_order_is_no_complaint(opinion):
    order = (
        "MSH|^~\\&|EHR|NORTH|||20260401080000||ORM^O01^ORM_O01|M1|P|2.5.1\r"
        f"PID|1||0042^^^NORTH^MR||{TAG}^INVENTED\r"
        "ORC|NW|1\rOBR|1|1||GLU^Glucose\r"
    )
    assert opinion(order)[1] == "agree"


def test_withdrawn_fields_are_no_complaint_from_2_6_on(opinion):
    phone = ADT.replace("2.5.1", "2.6").replace("INVENTED", "INVENTED||||||||(555)0100")
    assert opinion(phone)[1:] == (
        "none",
        "no opinion: from 2.6 on it rejects withdrawn fields that are still sent",
    )


@pytest.mark.parametrize(
    ("body", "verdict", "says", "text"),
    [
        (interchange("FA", CLAIMED), "read", "agree", "so is the content by its map"),
        (interchange("FA", FUNCTIONAL), "read", "agree", "knows insurance groups only"),
        (interchange("PO", ORDER), "read", "agree", "envelopes in order; no map for 850"),
        (interchange("PR", ANSWER), "refused", "none", "envelopes in order; no map for 855"),
        (interchange("PO", ORDER.replace("SE*5", "SE*6")), "refused", "agree", "reports st 4"),
        (interchange("PO", ORDER).replace("GE*1", "GE*2"), "refused", "agree", "reports gs 5"),
        (interchange("PO", ORDER).replace("CTT*1", "CTT*1~"), "refused", "none", "empty segment"),
        (
            interchange("FA", CLAIMED.replace("AK5*A", f"AK5*{TAG}")),
            *("refused", "agree", "its map rejects AK5"),
        ),
        (
            interchange("PO", ORDER, isa=ISA.replace("00401", "00400")),
            *("read", "none", "00401 and 00501 only"),
        ),
        (
            interchange(
                "FA",
                FUNCTIONAL.replace("*997*", "*999*").replace("AK5", "IK5"),
                isa=ISA.replace("*U*00401", "*^*00501"),
                release="005010X231A1",
            ),
            *("read", "agree", "its map needs ST03"),
        ),
        (interchange("FA", ORDER), "refused", "none", "no map for 850"),
        (f"{ISA}SE*1*1~IEA*0*000000007~", "refused", "none", "its reader stumbled"),
    ],
)
def test_pyx12_is_asked_about_interchanges(opinion, body, verdict, says, text):
    found = opinion(body)
    assert found[:2] == (verdict, says), found
    assert text in found[2]


STOCK = (
    '{"resourceType":"Bundle","type":"collection","entry":[{"resource":'
    '{"resourceType":"InventoryItem","status":"active"}}]}'
)
PATIENT = '{"resourceType":"Patient","name":[{"family":"ZZTAGGEDPERSON"}]%s}'


@pytest.mark.parametrize(
    ("body", "says", "text"),
    [
        (PATIENT % "", "agree", "fits R4B"),
        (PATIENT % f',"{TAG}":1', "disagree", "R4B: $.…: extra_forbidden"),
        (PATIENT % ',"birthDate":"ZZTAGGEDPERSON"', "disagree", "R4B: $.birthDate: "),
        (PATIENT % ',"id":7', "agree", "R4B: $.id: "),
        ('{"resourceType":"InventoryItem","status":"active"}', "agree", "fits R5"),
        ('{"resourceType":"Conformance"}', "none", "R4B has no such resource"),
        (STOCK, "agree", "fits R5"),
        (f'{{"resourceType":"{TAG}"}}', "none", "R4B has no such resource"),
        ('{"resourceType":"Patient",', "agree", "not a resource in JSON"),
    ],
)
def test_fhir_resources_is_asked_about_resources(opinion, body, says, text):
    found = opinion(body)
    assert (found[1], text in found[2]) == (says, True), found


@pytest.mark.parametrize("body", [ADT, ADT.replace("PID|1", "PID1"), interchange("PR", ANSWER)])
def test_an_opinion_changes_no_verdict(second, body):
    alone = inspected("a document", body.encode())
    accompanied = inspected("a document", body.encode(), second.of)
    assert (alone.verdict, alone.failure) == (accompanied.verdict, accompanied.failure)


def test_a_judge_that_does_not_answer_in_time_has_no_opinion():
    began = time.monotonic()
    with SecondOpinions(seconds=0.01) as hurried:
        for _ in range(2):
            (message,) = inspected("a document", ADT.encode(), hurried.of).messages
            found = message.second_opinion
            assert found is not None
            assert (found.says, found.text) == (
                "none",
                "no opinion: it did not answer within 0.01 s",
            )
    assert time.monotonic() - began < 10


def test_a_judge_that_dies_has_no_opinion_and_the_next_one_is_asked():
    with SecondOpinions() as second:
        inspected("a document", ADT.encode(), second.of)
        process = second._process
        assert process is not None
        process.kill()
        process.join()
        (message,) = inspected("a document", ADT.encode(), second.of).messages
        assert message.second_opinion is not None
        assert message.second_opinion.text == "no opinion: it ended without an answer"
        (message,) = inspected("a document", ADT.encode(), second.of).messages
        assert message.second_opinion is not None
        assert message.second_opinion.says == "agree"
