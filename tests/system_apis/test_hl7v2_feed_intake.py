"""The HL7 intake: what is kept, what is announced, what is answered, and that no patient leaks."""

from datetime import UTC, datetime

import msgspec
import pytest

from canonical.context import PatientContext
from canonical.errors import BodyTooLarge, Failure, IdentityConflict, StoreUnavailable
from canonical.request import Reference
from ledger.arrival import Accepted, Arrival
from ledger.vault import Vault
from standards.hl7v2.reader import read
from system_apis.ehr.hl7v2_feed.intake import Hl7Intake
from system_apis.ehr.hl7v2_feed.wire import Feed

FEEDS = (
    Feed(sending_facility="SOUTH", facility="1720", zone="UTC"),
    Feed(
        sending_facility="NORTH",
        facility="1710",
        zone="America/New_York",
        default_unit="EA",
        locations={"OR": "OR-CORE"},
        places={"case-number": "ZCS-1"},
    ),
)
PATIENT = "PID|1||SECRET-MRN^^^N^MR||SECRETNAME^INVENTED|||||||||||||SECRET-ACCOUNT"
VISIT = "PV1|1|I|OR||||||||||||||||SECRET-VISIT"


def message(kind: str, *segments: str, control_id: str = "MSG1", modes: str = "|") -> bytes:
    head = f"MSH|^~\\&|EHR|NORTH|SUTURE|GATE|20260401||{kind}|{control_id}|P|2.5.1|||{modes}"
    return "\r".join([head, *segments, ""]).encode()


SIU = message(
    "SIU^S12",
    "SCH||SECRET-CASE",
    PATIENT,
    VISIT,
    "AIS|1|A|27447^Knee^C4|202604020730",
)
DFT = message(
    "DFT^P03",
    PATIENT,
    VISIT,
    "ZCS|SECRET-CASE",
    "FT1|1|||202604020900||CG|IMP-1^Tray^CDM|||1||||||OR",
    control_id="MSG2",
)


class Shelf:
    """A message store in memory with the rules of identity, and nothing else."""

    def __init__(self) -> None:
        self.kept: list[Arrival] = []
        self.failures: list[Failure] = []

    async def receive(self, arrival: Arrival) -> Accepted:
        if self.failures:
            raise self.failures.pop(0)
        for known in self.kept:
            if arrival.identity and known.identity == arrival.identity:
                if known.body != arrival.body:
                    raise IdentityConflict("this identity came before with other content")
                return Accepted(message="m", duplicate=True, answer=known.answer)
        self.kept.append(arrival)
        return Accepted(message="m", duplicate=False, answer=arrival.answer)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def vault() -> Vault:
    return Vault(b"x" * 32)


@pytest.fixture
def intake(shelf: Shelf, vault: Vault) -> Hl7Intake:
    return Hl7Intake(shelf, vault, FEEDS, lambda: datetime(2026, 4, 1, 12, tzinfo=UTC))


def verdict(answer: bytes | None) -> tuple[str, str]:
    found = read(answer or b"")
    return found.text("MSA", 1), found.text("ERR", 3, 1)


async def test_a_case_is_kept_announced_and_acknowledged(intake, shelf, vault):
    answer = await intake.accept(SIU, "mllp")
    assert verdict(answer) == ("AA", "")
    assert read(answer).text("MSA", 2) == "MSG1"
    (arrival,) = shelf.kept
    assert (arrival.channel, arrival.kind, arrival.sender) == ("mllp", "SIU^S12", "EHR|NORTH")
    assert (arrival.identity, arrival.control_id) == ("hl7v2|EHR|NORTH|MSG1", "MSG1")
    assert (arrival.body, arrival.answer, arrival.refusal) == (SIU, answer, None)
    case = vault.pseudonym("case", "1710", "SECRET-CASE")
    encounter = vault.pseudonym("encounter", "1710", "SECRET-VISIT")
    (fact,) = arrival.announcements
    assert (fact.event, fact.key, fact.title) == ("case-scheduled", case, "Surgical case: Knee")
    assert fact.joins == (Reference("case", case),)
    assert fact.references == (
        Reference("msh10", "MSG1"),
        Reference("case", case),
        Reference("encounter", encounter),
    )
    ((token, context),) = arrival.contexts
    assert (fact.facts.case, fact.facts.encounter) == (case, encounter)
    assert fact.facts.context_token == token
    assert context == PatientContext(
        patient_id="SECRET-MRN",
        patient_name="SECRETNAME, INVENTED",
        encounter="SECRET-VISIT",
        account="SECRET-ACCOUNT",
        case_number="SECRET-CASE",
    )


async def test_usage_joins_its_case_or_its_encounter(intake, shelf, vault):
    assert verdict(await intake.accept(DFT, "http")) == ("AA", "")
    ((fact,),) = (arrival.announcements for arrival in shelf.kept)
    case = vault.pseudonym("case", "1710", "SECRET-CASE")
    encounter = vault.pseudonym("encounter", "1710", "SECRET-VISIT")
    assert (fact.event, fact.key) == ("item-used", encounter)
    assert fact.joins == (Reference("case", case), Reference("encounter", encounter))
    assert (fact.facts.case, fact.facts.encounter) == (case, encounter)
    assert fact.title == "Usage: 1 item(s) at OR-CORE"


async def test_usage_without_a_case_number_joins_its_encounter_only(intake, shelf, vault):
    await intake.accept(DFT.replace(b"ZCS|SECRET-CASE\r", b""), "mllp")
    (fact,) = shelf.kept[0].announcements
    encounter = vault.pseudonym("encounter", "1710", "SECRET-VISIT")
    assert fact.joins == (Reference("encounter", encounter),)
    assert fact.facts.case == ""


@pytest.mark.parametrize("body", [SIU, DFT, SIU.replace(b"202604020730", b"soon")])
async def test_the_patient_is_in_the_sealed_context_only(intake, shelf, body):
    answer = await intake.accept(body, "mllp")
    (arrival,) = shelf.kept
    open_part = msgspec.structs.replace(arrival, body=b"", contexts=())
    assert b"SECRET" not in msgspec.json.encode(open_part)
    assert b"SECRET" not in (answer or b"")


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (SIU.replace(b"202604020730", b"soon"), ("AE", "102"), "malformed-message"),
        (SIU.replace(b"SCH||SECRET-CASE", b"SCH"), ("AE", "101"), "malformed-message"),
        (SIU.replace(b"AIS|", b"bad line\rAIS|"), ("AE", "100"), "malformed-message"),
        (SIU.replace(b"I|OR|", b"I|MOON|"), ("AE", "204"), "unknown-location"),
        (SIU.replace(b"|NORTH|", b"|WEST|"), ("AE", "204"), "unknown-partner"),
        (SIU.replace(b"|SIU^S12|", b"|ADT^A01|"), ("AR", "200"), "unsupported-message"),
        (SIU.replace(b"|SIU^S12|", b"|SIU^S23|"), ("AR", "201"), "unsupported-message"),
        (SIU.replace(b"|P|2.5.1", b"|T|2.5.1"), ("AR", "202"), "unsupported-message"),
        (SIU.replace(b"|P|2.5.1", b"|P|3.0"), ("AR", "203"), "unsupported-message"),
        (SIU.replace(b"|MSG1|", b"||"), ("AE", "101"), "malformed-message"),
        (SIU.replace(b"|MSG1|", b"|" + b"x" * 200 + b"|"), ("AE", "102"), "malformed-message"),
        (message("DFT^P03", PATIENT, VISIT), ("AE", "101"), "nothing-to-post"),
        (b"BHS|^~\\&|A\r", ("AE", "103"), "unsupported-message"),
    ],
)
async def test_what_cannot_be_used_is_kept_as_a_task(intake, shelf, body, code, reason):
    assert verdict(await intake.accept(body, "mllp")) == code
    (arrival,) = shelf.kept
    assert arrival.body == body
    assert arrival.announcements == arrival.contexts == ()
    assert (arrival.refusal.reason, arrival.refusal.owner) == (reason, "integration")
    assert arrival.refusal.actions == ("retry", "abandon")


@pytest.mark.parametrize("body", [b"", b"GET / HTTP/1.1", b"\x00\x01", b"PID|1||SECRET\r"])
async def test_garbage_is_kept_without_identity_and_rejected(intake, shelf, body):
    assert verdict(await intake.accept(body, "mllp"))[0] == "AR"
    (arrival,) = shelf.kept
    assert (arrival.kind, arrival.identity, arrival.sender) == ("unreadable", "", "|")
    assert b"SECRET" not in msgspec.json.encode(arrival.refusal)


async def test_charges_without_supplies_are_accepted_with_nothing_to_do(intake, shelf):
    body = message("DFT^P03", PATIENT, VISIT, "FT1|1|||20260402||CG|99213^Visit^C4|||1")
    assert verdict(await intake.accept(body, "mllp")) == ("AA", "")
    (arrival,) = shelf.kept
    assert [fact.event for fact in arrival.announcements] == ["nothing-used"]
    assert arrival.refusal is None


async def test_a_redelivery_gets_the_same_answer_and_no_second_effect(intake, shelf):
    first = await intake.accept(SIU, "mllp")
    assert await intake.accept(SIU, "http") == first
    assert len(shelf.kept) == 1


async def test_the_same_control_id_with_other_content_is_a_conflict_task(intake, shelf):
    await intake.accept(SIU, "mllp")
    other = SIU.replace(b"^Knee^", b"^Hip^")
    first = await intake.accept(other, "mllp")
    assert verdict(first) == ("AR", "205")
    assert verdict(await intake.accept(other, "mllp")) == ("AR", "205")
    original, conflict = shelf.kept
    assert original.refusal is None
    assert conflict.body == other
    assert conflict.refusal.reason == "identity-conflict"
    assert conflict.announcements == conflict.contexts == conflict.references == ()
    assert conflict.identity.startswith("hl7v2|EHR|NORTH|MSG1|")


@pytest.mark.parametrize(("modes", "code"), [("|", "AE"), ("AL|NE", "CE"), ("NE|NE", "CE")])
async def test_what_cannot_be_kept_is_not_accepted(intake, shelf, modes, code):
    shelf.failures = [StoreUnavailable("down")]
    body = SIU.replace(b"|2.5.1|||", b"|2.5.1|||" + modes.encode())
    assert verdict(await intake.accept(body, "mllp")) == (code, "207")
    assert shelf.kept == []


async def test_a_conflict_that_cannot_be_kept_is_an_error(intake, shelf):
    shelf.failures = [IdentityConflict("other"), StoreUnavailable("down")]
    assert verdict(await intake.accept(SIU, "mllp")) == ("AE", "207")


async def test_enhanced_mode_gets_a_commit_acknowledgement(intake):
    body = SIU.replace(b"|2.5.1||||", b"|2.5.1|||AL|NE")
    assert verdict(await intake.accept(body, "mllp")) == ("CA", "")


async def test_a_sender_that_wants_no_answer_gets_none(intake, shelf):
    body = SIU.replace(b"|2.5.1||||", b"|2.5.1|||NE|NE")
    assert await intake.accept(body, "mllp") is None
    assert len(shelf.kept) == 1


async def test_an_acknowledgement_is_neither_kept_nor_answered(intake, shelf):
    assert await intake.accept(message("ACK^S12", "MSA|AA|77"), "mllp") is None
    assert shelf.kept == []


async def test_a_broken_frame_is_kept_with_a_task(intake, shelf):
    await intake.broken(BodyTooLarge("the frame is too long"), SIU[:80], "10.0.0.9")
    (arrival,) = shelf.kept
    assert (arrival.kind, arrival.body, arrival.sender) == ("unreadable", SIU[:80], "EHR|NORTH")
    assert arrival.refusal.reason == "body-too-large"


async def test_a_broken_frame_that_cannot_be_kept_stays_with_its_sender(intake, shelf):
    shelf.failures = [StoreUnavailable("down")]
    await intake.broken(BodyTooLarge("the frame is too long"), b"x", "10.0.0.9")
    assert shelf.kept == []
