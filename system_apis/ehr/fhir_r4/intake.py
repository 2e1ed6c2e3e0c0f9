"""The FHIR door: a posted resource is read, mapped, kept and answered, in that order.

Rules:
1. The answer leaves after the ledger's commit; a repetition gets the kept answer and has no effect.
2. A document that cannot be used is kept too, with a task for a person, and its sender gets the
   failure as an OperationOutcome. A task holds places and expectations, never values.
3. A procedure that used no device is accepted: there is nothing to do, and nothing wrong.
4. Another body under an identity that is taken is a conflict: kept apart, with a task.
5. What cannot be kept is not answered here: the failure is raised, and the sender tries again.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from canonical.clock import Clock
from canonical.context import PatientContext
from canonical.errors import Failure, IdentityConflict, MalformedMessage, NothingToPost
from canonical.request import Reference
from canonical.task import TaskDraft
from canonical.usage import NothingUsed, UsageEvent, UsageReversal
from ledger.arrival import Announcement, Arrival
from ledger.message_store import MessageStore
from ledger.vault import Vault
from standards.fhir import codec
from standards.fhir.resources import (
    Bundle,
    BundleEntry,
    BundleType,
    CodeableConcept,
    EntryResponse,
    Known,
    OperationOutcome,
    OutcomeIssue,
)
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.fhir_r4.mapping import VERSION, usage_facts

_OK: Final = 200
_CLOCKS_DIFFER: Final = timedelta(hours=24)
"""What wrong clocks and days without a time may add up to."""

_ANSWERS: Final[dict[str, BundleType]] = {
    "transaction": "transaction-response",
    "batch": "batch-response",
}


class _Name(NamedTuple):
    """What a document is called, as far as it could be read."""

    kind: str
    control_id: str
    identity: str


class FhirIntake:
    """Takes the FHIR documents of one feed into the ledger."""

    def __init__(self, messages: MessageStore, vault: Vault, feed: FhirFeed, clock: Clock) -> None:
        self._messages = messages
        self._vault = vault
        self._feed = feed
        self._clock = clock

    async def accept(self, raw: bytes, sender: str) -> tuple[int, bytes]:
        """Return the HTTP status and FHIR body that answer `raw`, after it is kept."""
        try:
            resource = codec.read(raw)
        except Failure as failure:
            name = _name(raw, sender, _as_far_as_readable(raw))
            return await self._refused(raw, sender, name, failure)
        name = _name(raw, sender, _described(resource))
        try:
            arrival = self._arrival(raw, sender, resource, name)
        except Failure as failure:
            return await self._refused(raw, sender, name, failure)
        try:
            accepted = await self._messages.receive(arrival)
        except IdentityConflict as conflict:
            return await self._refused(raw, sender, name, conflict)
        return _OK, accepted.answer

    async def _refused(
        self, raw: bytes, sender: str, name: _Name, failure: Failure
    ) -> tuple[int, bytes]:
        try:
            accepted = await self._messages.receive(self._refusal(raw, sender, name, failure))
        except IdentityConflict as conflict:
            return await self._refused(raw, sender, name, conflict)
        taken = accepted.duplicate and _was_taken(accepted.answer)
        return (_OK if taken else failure.status), accepted.answer

    def _arrival(self, raw: bytes, sender: str, resource: Known, name: _Name) -> Arrival:
        kept = Arrival(
            channel="http",
            kind=name.kind,
            sender=sender,
            body=raw,
            mapping=VERSION,
            answer=codec.encode(_accepted(resource)),
            identity=name.identity,
            control_id=name.control_id,
        )
        try:
            facts, patient = usage_facts(resource, self._feed)
        except NothingToPost:
            nothing = Announcement(
                event="nothing-used",
                key=name.identity,
                facts=NothingUsed(facility=self._feed.facility, source=sender),
                title=f"{name.kind} without supplies",
            )
            return msgspec.structs.replace(kept, announcements=(nothing,))
        for fact in facts:
            _refuse_future(fact, self._clock())
        token = self._vault.new_token()
        return msgspec.structs.replace(
            kept,
            announcements=tuple(self._announcement(name, fact, patient, token) for fact in facts),
            contexts=((token, patient),),
        )

    def _announcement(
        self, name: _Name, fact: UsageEvent | UsageReversal, patient: PatientContext, token: str
    ) -> Announcement:
        facility = self._feed.facility
        encounter = self._vault.pseudonym("encounter", facility, patient.encounter)
        case = self._vault.pseudonym("case", facility, patient.case_number)
        _refuse_nul(patient.procedure_id)
        joins = (Reference("case", case), Reference("encounter", encounter))
        names = (*joins, Reference("fhir", patient.procedure_id))
        return Announcement(
            event="item-used" if isinstance(fact, UsageEvent) else "usage-reversed",
            key=encounter or case or name.identity,
            facts=msgspec.structs.replace(
                fact, encounter=encounter, case=case, context_token=token
            ),
            title=_title(fact),
            references=tuple(one for one in names if one.value),
            joins=tuple(one for one in joins if one.value),
        )

    def _refusal(self, raw: bytes, sender: str, name: _Name, failure: Failure) -> Arrival:
        apart = (
            f"|{hashlib.sha256(raw).hexdigest()}" if isinstance(failure, IdentityConflict) else ""
        )
        draft = TaskDraft(
            reason=failure.slug,
            title=f"{name.kind} from {sender} refused: {failure.title.lower()}",
            detail=str(failure),
            owner="integration",
            actions=("retry", "abandon"),
            affected=f"usage reported by {sender} at {self._feed.facility}",
            fix=failure.fix or "have the sender correct the document and send it again",
        )
        return Arrival(
            channel="http",
            kind=name.kind,
            sender=sender,
            body=raw,
            answer=codec.encode(codec.outcome(failure)),
            identity=name.identity + apart,
            control_id=name.control_id,
            refusal=draft,
        )


def _title(fact: UsageEvent | UsageReversal) -> str:
    if isinstance(fact, UsageReversal):
        return "Usage that was entered in error"
    return f"Usage: {fact.procedure or 'no procedure named'}"


def _refuse_future(fact: UsageEvent | UsageReversal, now: datetime) -> None:
    if fact.occurred_at and fact.occurred_at > now + _CLOCKS_DIFFER:
        raise MalformedMessage(
            "used in the future", where="$", expected="a time of use that has passed"
        )


def _refuse_nul(name: str) -> None:
    if "\0" in name:
        raise MalformedMessage("a NUL in an identifier", where="$", expected="readable characters")


def _was_taken(answer: bytes) -> bool:
    """Tell from a kept answer whether the document was accepted the first time."""
    kept = codec.read(answer)
    return not (
        isinstance(kept, OperationOutcome)
        and any(issue.severity == "error" for issue in kept.issue)
    )


def _as_far_as_readable(raw: bytes) -> tuple[str, str, str]:
    try:
        found = codec.describe(raw)
    except Failure:
        return "document", "", ""
    return found.resource_type, found.id, found.meta.version_id


def _described(resource: Known) -> tuple[str, str, str]:
    own = resource.identifier.value if isinstance(resource, Bundle) else ""
    return type(resource).__name__, own or resource.id, resource.meta.version_id


def _name(raw: bytes, sender: str, described: tuple[str, str, str]) -> _Name:
    """Name a document by type, id and version, or by its content where it has no version.

    What could not be read may say anything there, also what can neither be kept nor shown.
    """
    kind, control_id, version = (each if each.isprintable() else "?" for each in described)
    identity = "|".join(
        ("fhir", sender, kind, control_id, version or hashlib.sha256(raw).hexdigest())
    )
    return _Name(f"FHIR {kind}", control_id, identity)


def _accepted(resource: Known) -> Known:
    """Answer a transaction or batch entry by entry (2.36.4.3), anything else by an outcome."""
    if isinstance(resource, Bundle) and resource.type in _ANSWERS:
        taken = BundleEntry(response=EntryResponse(status="202 Accepted"))
        return Bundle(type=_ANSWERS[resource.type], entry=(taken,) * len(resource.entry))
    issue = OutcomeIssue(
        severity="information",
        code="informational",
        details=CodeableConcept(text="Kept; what was used is being processed"),
    )
    return OperationOutcome(issue=(issue,))
