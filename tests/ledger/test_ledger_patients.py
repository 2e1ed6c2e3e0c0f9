"""A patient's name is sealed: it is opened under a grant, on record, and is nowhere else."""

import msgspec
import pytest

from canonical.context import PatientContext
from canonical.errors import UpstreamRefused
from ledger.ledger import Ledger
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Need,
    Shipped,
    count,
    ended,
    eventually,
    fact,
    flow,
    install,
    raised,
    retry,
    take_over,
    used,
)

TAG = "ZZTESTERINVENTED"
PATIENT = PatientContext(patient_id=f"{TAG}-1", patient_name=f"{TAG}^PAT", account=f"{TAG}-9")


class Reviewer:
    """The one system outside that may see the patient."""

    system = "charge-review"

    def __init__(self, *failures: Exception) -> None:
        self.seen: list[tuple[PatientContext, str]] = []
        self.failures = list(failures)

    async def review(self, need: Need, *, key: str, patient: PatientContext) -> Shipped:
        self.seen.append((patient, key))
        if self.failures:
            raise self.failures.pop(0)
        return Shipped(document="review 1")


def disclosing(reviewer: Reviewer, *, grant: bool):
    async def run(story, need):
        return await story.disclose(
            "charge review", reviewer.review, need, token=need.token, purpose="charge capture"
        )

    return flow(run, opens_patient_context=grant)


async def arrives(ledger: Ledger, token: str = "") -> str:
    """A document about a patient comes in; return its context token."""
    token = token or ledger.vault.new_token()
    need = Need(number="1", token=token)
    arrival = used(
        "1",
        body=f"PID|1||{TAG}-1||{TAG}^PAT\r".encode(),
        contexts=((token, PATIENT),),
        announcements=(fact("item-used", "1", need),),
    )
    await ledger.messages.receive(arrival)
    return token


async def places_of(ledger: Ledger, tag: str) -> list[str]:
    """Return every table that holds `tag` in any column, bytes included."""
    tables = await ledger.database.rows(
        "select table_name from information_schema.tables where table_schema = 'suture'"
    )
    assert len(tables) > 15
    found: list[str] = []
    for (table,) in tables:
        rows = await ledger.database.rows(f'select t::text from "{table}" t')
        text = "".join(row[0] for row in rows)
        if tag in text or tag.encode().hex() in text:
            found.append(table)
    return found


async def test_the_search_of_these_tests_finds_a_name_in_text_json_and_bytes(
    ledger: Ledger,
) -> None:
    await ledger.database.run("insert into client values ('x', $1)", f'["{TAG}"]')
    await ledger.database.run("insert into sealed_context values ('t', $1)", TAG.encode())
    await ledger.database.run("insert into transaction values ('tx_1', $1)", TAG)
    assert sorted(await places_of(ledger, TAG)) == ["client", "sealed_context", "transaction"]


async def test_a_flow_with_the_grant_shows_the_patient_to_its_effect_and_to_nobody_else(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    reviewer = Reviewer()
    install(ledger, disclosing(reviewer, grant=True))
    token = await arrives(ledger)
    ledger.worker.start()
    await ended(ledger)
    [(patient, key)] = reviewer.seen
    assert patient == PATIENT
    assert key.endswith("/charge review")
    assert await places_of(ledger, TAG) == []
    assert await count(ledger, "sealed_context", "token = $1", token) == 1
    assert TAG not in repr(patient) + str(patient) + caplog.text


async def test_each_opening_is_on_record_with_its_purpose(ledger: Ledger) -> None:
    reviewer = Reviewer(UpstreamRefused("no"))
    install(ledger, disclosing(reviewer, grant=True))
    await arrives(ledger)
    ledger.worker.start()
    task = await raised(ledger)
    accesses = await ledger.audit.recent(limit=9, kind="access")
    assert [one.action for _, _, one in accesses] == ["patient context opened"]
    await ledger.tasks.resolve(task.id, retry())
    await ended(ledger)
    accesses = await ledger.audit.recent(limit=9, kind="access")
    assert [one.action for _, _, one in accesses][::-1] == [
        "patient context opened",
        "patient context opened",
        "charge review",
    ]
    assert {one.transaction for _, _, one in accesses} == {task.transaction}
    opened = [
        hop.why
        for hop in await ledger.traces.hops(task.transaction or "")
        if hop.name == "patient context opened"
    ]
    assert opened == ["charge capture"] * 2


async def test_a_flow_without_the_grant_is_refused_and_a_person_is_told(ledger: Ledger) -> None:
    reviewer = Reviewer()
    install(ledger, disclosing(reviewer, grant=False))
    await arrives(ledger)
    ledger.worker.start()
    task = await raised(ledger)
    assert (task.reason, task.owner) == ("forbidden", "it-operations")
    assert "no grant" in task.detail
    assert reviewer.seen == []
    assert await ledger.audit.recent(limit=9, kind="access") == []
    assert await places_of(ledger, TAG) == []


async def test_an_error_that_quotes_the_patient_leaves_no_trace_of_it(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    install(ledger, disclosing(Reviewer(ValueError(f"bad name {TAG}")), grant=True))
    await arrives(ledger)
    ledger.worker.start()
    assert (await raised(ledger)).reason == "internal-fault"
    assert await places_of(ledger, TAG) == []
    assert TAG not in caplog.text


async def test_the_patient_was_shown_once_although_the_worker_died_afterwards(
    ledger: Ledger, opened: Opened
) -> None:
    reviewer, heir = Reviewer(), await opened()

    async def run(story, need):
        await story.disclose("charge review", reviewer.review, need, token=need.token, purpose="x")
        raise UpstreamRefused("what came next went wrong")

    install(ledger, flow(run, opens_patient_context=True))
    install(heir, disclosing(reviewer, grant=True))
    await arrives(ledger)
    ledger.worker.start()
    task = await raised(ledger)
    await ledger.worker.stop(grace=0)
    heir.worker.start()
    await heir.tasks.resolve(task.id, retry())
    await take_over(ledger, heir)
    await ended(heir)
    assert len(reviewer.seen) == 1


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("delete from sealed_context", "not-found"),
        ("update sealed_context set token = token || 'x'", "not-found"),
        ("update sealed_context set sealed = substring(sealed for 30)", "internal-fault"),
    ],
)
async def test_a_context_that_is_gone_or_damaged_is_a_task(
    ledger: Ledger, harm: str, reason: str
) -> None:
    reviewer = Reviewer()
    install(ledger, disclosing(reviewer, grant=True))
    await arrives(ledger)
    await ledger.database.run(harm)
    ledger.worker.start()
    assert (await raised(ledger)).reason == reason
    assert reviewer.seen == []


async def test_the_context_of_one_patient_does_not_open_under_the_token_of_another(
    ledger: Ledger,
) -> None:
    reviewer = Reviewer()
    install(ledger, disclosing(reviewer, grant=True))
    await arrives(ledger)
    other = ledger.vault.seal_context("ctx_other", PatientContext(patient_name=f"{TAG}^OTHER"))
    await ledger.database.run("update sealed_context set sealed = $1", other)
    ledger.worker.start()
    assert "does not open" in (await raised(ledger)).detail
    assert reviewer.seen == []


async def test_a_pseudonym_is_stable_and_says_nothing_without_the_key(
    ledger: Ledger, opened: Opened
) -> None:
    stranger = await opened(secret=b"another key of these tests, 32 b")
    mine = ledger.vault.pseudonym("case", "EHR", TAG)
    assert mine == ledger.vault.pseudonym("case", "EHR", TAG)
    others = {
        stranger.vault.pseudonym("case", "EHR", TAG),
        ledger.vault.pseudonym("encounter", "EHR", TAG),
        ledger.vault.pseudonym("case", "EHR", TAG + "1"),
        ledger.vault.pseudonym("case", "EH", "R" + TAG),
    }
    assert mine not in others
    assert len(others) == 4
    assert mine.startswith("case_")
    assert ledger.vault.pseudonym("case", "EHR", "") == ""


async def test_a_flow_carries_the_token_and_not_the_patient(ledger: Ledger) -> None:
    install(ledger, disclosing(Reviewer(), grant=True))
    token = await arrives(ledger)

    async def begun() -> bytes:
        rows = await ledger.database.rows("select id from flow")
        return await ledger.traces.facts_of(rows[0]["id"])

    assert msgspec.json.decode(await eventually(begun), type=Need).token == token
