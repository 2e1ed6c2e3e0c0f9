"""What a reviewer looks for, and how that is told to the record of the call."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation

from canonical.errors import InvalidRequest
from canonical.request import RequestFacts
from experience_apis.security.views import AuditRow
from ledger.audit_trail import PLACE, Filters, Found
from ledger.ledger import Ledger

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Kind = Literal[
    "",
    "call",
    "message",
    "transformation",
    "approval",
    "access",
    "configuration",
    "event",
    "master-data",
    "retention",
    "alert",
]
AnyEvidence = Literal["", "message", "transformation", "approval", "access"]
PATIENT_LINKS = ("case", "encounter", "context")
"""Names that lead to one patient: two pseudonyms, and the token of a sealed context."""

_Word = Annotated[str, QueryParameter(max_length=64)]
_Time = Annotated[str | None, QueryParameter(schema_extra={"format": "date-time"})]


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """From when, up to when: `since` is included, `before` is not."""

    since: datetime | None = None
    before: datetime | None = None


class Sort(msgspec.Struct, frozen=True, kw_only=True):
    """Which sort of records. `outcome` is «refused», «ok», or the word of one refusal."""

    kind: Kind = ""
    evidence: AnyEvidence = ""
    outcome: str = ""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Whose records, and about what."""

    actor: str = ""
    object: str = ""
    transaction: str = ""
    facility: str = ""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for, as it was asked."""

    period: Period
    sort: Sort
    about: About
    linked: str
    filters: Filters

    def told(self, found: Iterable[object]) -> str:
        """Return the question for the record of this call: who reads the audit is audited.

        What a person typed may be anything, also a patient's number: it is told only where the
        trail itself knows it, which is where something was found.
        """
        asked = [
            *((name, getattr(self.sort, name)) for name in ("kind", "evidence", "outcome")),
            *((name, getattr(self.about, name)) for name in About.__struct_fields__),
            ("linked", self.linked),
        ]
        known = any(True for _ in found)
        said = (f"{name}={value if known else '…'}" for name, value in asked if value)
        return "audit " + (" ".join(said) or "all")


async def asked_period(since: _Time = None, before: _Time = None) -> Period:
    return Period(since=_moment(since, "since"), before=_moment(before, "before"))


async def asked_sort(
    kind: Annotated[Kind, QueryParameter()] = "",
    evidence: Annotated[AnyEvidence, QueryParameter()] = "",
    outcome: Annotated[str, QueryParameter(max_length=64, pattern="^[a-z0-9-]*$")] = "",
) -> Sort:
    return Sort(kind=kind, evidence=evidence, outcome=outcome)


async def asked_about(
    actor: Annotated[str, QueryParameter(max_length=128)] = "",
    object: Annotated[str, QueryParameter(max_length=256)] = "",  # noqa: A002 - its public name
    transaction: _Word = "",
    facility: _Word = "",
) -> About:
    return About(actor=actor, object=object, transaction=transaction, facility=facility)


async def looked_for(
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    asked: NamedDependency[SkipValidation[tuple[Period, Sort, About]]],
    linked: Annotated[str, QueryParameter(max_length=128)] = "",
    after: Annotated[str, QueryParameter(pattern=PLACE)] = "",
) -> Search:
    """Return what the address asks for; every filter left out is open.

    `linked` is any name of a patient-linked record: a transaction, a case, an encounter, a context
    token, a document. Whoever is limited to facilities sees records of these alone.
    """
    period, sort, about = asked
    filters = Filters(
        kind=sort.kind,
        evidence=sort.evidence or None,
        outcome=sort.outcome,
        actor=about.actor,
        object=about.object,
        transaction=about.transaction,
        facility=about.facility,
        since=period.since,
        before=period.before,
        after=after,
    )
    if linked:
        filters["linked"] = await ledger.audit.names_linked_to(linked, PATIENT_LINKS)
    if facts.principal is not None and facts.principal.facilities:
        filters["facilities"] = facts.principal.facilities
    return Search(period=period, sort=sort, about=about, linked=linked, filters=filters)


async def asked_together(
    period: NamedDependency[SkipValidation[Period]],
    sort: NamedDependency[SkipValidation[Sort]],
    about: NamedDependency[SkipValidation[About]],
) -> tuple[Period, Sort, About]:
    return period, sort, about


SEARCH = {
    "period": Provide(asked_period),
    "sort": Provide(asked_sort),
    "about": Provide(asked_about),
    "asked": Provide(asked_together),
    "search": Provide(looked_for),
}
"""The dependencies of a route that searches the trail: it takes `search`."""


def audit_row(found: Found) -> AuditRow:
    told = found.evidence
    fields = msgspec.structs.asdict(told)
    return AuditRow(
        id=found.id, at=found.at, evidence=told.evidence, refused=bool(told.refusal), **fields
    )


def _moment(text: str | None, where: str) -> datetime | None:
    """Read a moment strictly: parameters are otherwise taken for seconds, or for local time."""
    try:
        return msgspec.convert(text, Moment).astimezone(UTC) if text is not None else None
    except (msgspec.ValidationError, OverflowError) as exc:
        raise InvalidRequest(
            "not a moment", where=where, expected="RFC 3339 with its zone, such as …T08:30:00Z"
        ) from exc
