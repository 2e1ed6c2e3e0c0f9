"""The FHIR door: kept before it is answered, announced without the patient, refused with a task."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from canonical.context import PatientContext
from canonical.errors import IdentityConflict, StoreUnavailable
from canonical.request import Reference
from ledger.arrival import Accepted, Arrival
from ledger.vault import Vault
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.fhir_r4.intake import FhirIntake

GOLDEN = Path(__file__).parent.parent / "golden" / "fhir_r4"
NOW = datetime(2026, 3, 5, tzinfo=UTC)
FEED = FhirFeed(
    facility="1010",
    zone="America/Chicago",
    locations={"OR-3": "OR3-STOCK"},
    visit_system="urn:hospital:visit",
    case_system="urn:hospital:case",
)


class ShelfOfMessages:
    """Keeps arrivals as the ledger promises to: one identity, one body, one answer."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.closed = False

    async def receive(self, arrival: Arrival) -> Accepted:
        if self.closed:
            raise StoreUnavailable("closed for the night")
        for index, known in enumerate(self.arrivals):
            if known.identity == arrival.identity:
                if known.body != arrival.body:
                    raise IdentityConflict("came before with other content")
                return Accepted(message=f"msg_{index}", duplicate=True, answer=known.answer)
        self.arrivals.append(arrival)
        return Accepted(message="msg_new", duplicate=False, answer=arrival.answer)


@pytest.fixture
def vault():
    return Vault(b"a secret of thirty-two bytes....")


@pytest.fixture
def shelf():
    return ShelfOfMessages()


@pytest.fixture
def intake(shelf, vault):
    return FhirIntake(shelf, vault, FEED, lambda: NOW)


def document(name: str) -> bytes:
    return (GOLDEN / f"{name}.golden").read_text().partition("\n---\n")[0].encode()


async def test_usage_is_announced_under_pseudonyms(intake, shelf, vault):
    status, answer = await intake.accept(document("transaction-with-statement"), "ehr-client")
    (arrival,) = shelf.arrivals
    (fact,) = arrival.announcements
    encounter = vault.pseudonym("encounter", "1010", "V77")
    case = vault.pseudonym("case", "1010", "CASE-42")
    assert status == 200
    assert msgspec.json.decode(answer)["type"] == "transaction-response"
    assert (fact.event, fact.key, fact.title) == ("item-used", encounter, "Usage: 27130")
    assert fact.joins == (Reference("case", case), Reference("encounter", encounter))
    assert fact.references == (*fact.joins, Reference("fhir", fact.references[2].value))
    assert (fact.facts.encounter, fact.facts.case) == (encounter, case)


async def test_the_patient_travels_in_the_sealed_context_only(intake, shelf):
    await intake.accept(document("transaction-with-statement"), "ehr-client")
    (arrival,) = shelf.arrivals
    ((token, patient),) = arrival.contexts
    told = repr(msgspec.json.encode(arrival.announcements))
    assert arrival.announcements[0].facts.context_token == token
    assert isinstance(patient, PatientContext)
    assert patient.encounter == "V77"
    for secret in ("Testperson", "MRN-0001", "V77", "CASE-42"):
        assert secret not in told


async def test_every_entry_of_a_transaction_is_answered(intake):
    _, answer = await intake.accept(document("transaction-with-statement"), "ehr-client")
    statuses = [entry["response"]["status"] for entry in msgspec.json.decode(answer)["entry"]]
    assert statuses == ["202 Accepted"] * 5


async def test_a_single_resource_is_answered_with_an_outcome(intake, shelf):
    status, answer = await intake.accept(document("procedure-with-contained-devices"), "ehr")
    assert status == 200
    assert msgspec.json.decode(answer)["issue"][0]["severity"] == "information"
    assert shelf.arrivals[0].control_id == "p1"


async def test_the_same_document_again_gets_the_same_answer(intake, shelf):
    first = await intake.accept(document("transaction-with-statement"), "ehr-client")
    again = await intake.accept(document("transaction-with-statement"), "ehr-client")
    assert again == first
    assert len(shelf.arrivals) == 1


async def test_two_senders_may_use_the_same_ids(intake, shelf):
    await intake.accept(document("procedure-with-contained-devices"), "ehr-a")
    await intake.accept(document("procedure-with-contained-devices"), "ehr-b")
    assert len(shelf.arrivals) == 2


def versioned(version: str, lot: str) -> bytes:
    raw = msgspec.json.decode(document("procedure-with-contained-devices"))
    raw["meta"] = {"versionId": version}
    raw["contained"][0]["udiCarrier"][0]["carrierHRF"] = f"(01)00844588003288(10){lot}"
    return msgspec.json.encode(raw)


async def test_one_version_with_other_content_is_a_conflict(intake, shelf):
    await intake.accept(versioned("1", "A"), "ehr")
    status, answer = await intake.accept(versioned("1", "B"), "ehr")
    assert status == 409
    assert msgspec.json.decode(answer)["issue"][0]["code"] == "conflict"
    _, conflict = shelf.arrivals
    assert conflict.refusal.reason == "identity-conflict"
    assert conflict.announcements == ()
    assert (await intake.accept(versioned("1", "B"), "ehr"))[0] == 409
    assert len(shelf.arrivals) == 2


async def test_a_refused_document_may_conflict_as_well(intake, shelf):
    await intake.accept(versioned("1", "A"), "ehr")
    status, _ = await intake.accept(versioned("1", "(bad"), "ehr")
    assert status == 409
    assert shelf.arrivals[1].refusal.reason == "identity-conflict"


async def test_the_next_version_is_a_new_document_with_the_same_lines(intake, shelf):
    await intake.accept(versioned("1", "A"), "ehr")
    status, _ = await intake.accept(versioned("2", "A"), "ehr")
    assert status == 200
    first, second = (arrival.announcements[0].facts.lines for arrival in shelf.arrivals)
    assert [line.reference for line in first] == [line.reference for line in second]


async def test_a_bundle_is_known_by_its_own_identifier(intake, shelf):
    raw = msgspec.json.decode(document("transaction-with-statement"))
    raw["identifier"] = {"system": "urn:hospital:bundle", "value": "B-1"}
    raw["meta"] = {"versionId": "4"}
    await intake.accept(msgspec.json.encode(raw), "ehr")
    assert shelf.arrivals[0].identity == "fhir|ehr|Bundle|B-1|4"
    assert shelf.arrivals[0].control_id == "B-1"


async def test_what_cannot_be_used_is_kept_with_a_task(intake, shelf):
    raw = document("refused-lot-disagrees")
    status, answer = await intake.accept(raw, "ehr-client")
    (arrival,) = shelf.arrivals
    (issue,) = msgspec.json.decode(answer)["issue"]
    assert status == 400
    assert issue["expression"] == ["entry[3].resource.lotNumber"]
    assert arrival.body == raw
    assert arrival.announcements == ()
    assert arrival.refusal is not None
    assert arrival.refusal.reason == "malformed-message"
    assert arrival.refusal.owner == "integration"
    assert arrival.refusal.actions == ("retry", "abandon")


@pytest.mark.parametrize(
    ("raw", "status", "kind"),
    [
        (b"<Bundle/>", 415, "FHIR document"),
        (b"not fhir", 400, "FHIR document"),
        (b'{"resourceType": "Medication", "id": "m"}', 422, "FHIR Medication"),
    ],
)
async def test_what_cannot_be_read_is_kept_too(intake, shelf, raw, status, kind):
    assert (await intake.accept(raw, "ehr"))[0] == status
    (arrival,) = shelf.arrivals
    assert arrival.kind == kind
    assert arrival.identity.endswith(hashlib.sha256(raw).hexdigest())


@pytest.mark.parametrize("case", sorted(GOLDEN.glob("refused-*.golden")), ids=lambda c: c.stem)
async def test_a_task_names_no_patient(intake, shelf, case):
    await intake.accept(document(case.stem), "ehr")
    draft = msgspec.json.encode((shelf.arrivals[0].refusal, shelf.arrivals[0].identity)).decode()
    for secret in ("Testperson", "MRN-0001", "V77", "CASE-42", "SN-777"):
        assert secret not in draft


async def test_a_procedure_that_used_nothing_is_accepted_and_has_no_effect(intake, shelf):
    status, answer = await intake.accept(document("refused-nothing-used"), "ehr")
    (arrival,) = shelf.arrivals
    assert status == 200
    assert msgspec.json.decode(answer)["issue"][0]["severity"] == "information"
    assert [fact.event for fact in arrival.announcements] == ["nothing-used"]
    assert arrival.refusal is None


async def test_a_document_refused_before_comes_again_under_the_same_identity(shelf, vault):
    raw = msgspec.json.decode(document("refused-location-unknown"))
    raw |= {"identifier": {"value": "B-1"}, "meta": {"versionId": "1"}}
    wider = msgspec.structs.replace(FEED, locations={"OR-9": "OR9-STOCK"})
    await FhirIntake(shelf, vault, FEED, lambda: NOW).accept(msgspec.json.encode(raw), "ehr")
    (refused,) = shelf.arrivals
    shelf.arrivals.clear()
    answer = await FhirIntake(shelf, vault, wider, lambda: NOW).accept(refused.body, "ehr")
    (taken,) = shelf.arrivals
    assert answer[0] == 200
    assert taken.identity == refused.identity == "fhir|ehr|Bundle|B-1|1"


async def test_a_document_taken_once_stays_taken_when_the_feed_has_changed(shelf, vault):
    raw = document("transaction-with-statement")
    narrow = msgspec.structs.replace(FEED, locations={})
    first = await FhirIntake(shelf, vault, FEED, lambda: NOW).accept(raw, "ehr")
    assert await FhirIntake(shelf, vault, narrow, lambda: NOW).accept(raw, "ehr") == first
    refused = document("refused-location-unknown")
    answers = {await FhirIntake(shelf, vault, narrow, lambda: NOW).accept(refused, "ehr")}
    answers.add(await FhirIntake(shelf, vault, narrow, lambda: NOW).accept(refused, "ehr"))
    assert {status for status, _ in answers} == {409}


async def test_usage_in_the_future_is_refused(shelf, vault):
    early = FhirIntake(shelf, vault, FEED, lambda: datetime(2026, 3, 2, tzinfo=UTC))
    status, _ = await early.accept(document("transaction-with-statement"), "ehr")
    assert status == 400


async def test_nothing_is_answered_when_nothing_was_kept(intake, shelf):
    shelf.closed = True
    with pytest.raises(StoreUnavailable):
        await intake.accept(document("transaction-with-statement"), "ehr")
    with pytest.raises(StoreUnavailable):
        await intake.accept(b"<Bundle/>", "ehr")
