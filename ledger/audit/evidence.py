"""What an audit record says, the row that carries it, the four kinds of evidence (SEC-07)."""

from datetime import datetime
from functools import cache
from typing import Literal, NamedTuple

import msgspec

from canonical.errors import Failure
from canonical.request import CALL

EvidenceKind = Literal["message", "transformation", "approval", "access"]

KINDS: dict[EvidenceKind, tuple[str, ...]] = {
    "message": ("message", "event"),
    "transformation": ("transformation",),
    "approval": ("approval",),
    "access": ("access", "call", "configuration", "master-data", "retention", "alert"),
}
"""Message histories, transformation logs, approval evidence, access records: which records are."""

EVIDENCE_OF: dict[str, EvidenceKind] = {
    kind: evidence for evidence, kinds in KINDS.items() for kind in kinds
}


class Evidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One record of the trail, without patient data.

    `kind` is one of those in `KINDS`: call, message, event, transformation, approval, access,
    configuration, master-data, retention, alert. `actor` is the person where there is one, and
    `client` then whom that person works with. `policy` is the version of the configuration that was
    in force, `address` where the caller was, if that is recorded at all.
    """

    kind: str
    actor: str
    action: str
    outcome: str
    object: str = ""
    transaction: str = ""
    correlation_id: str = ""
    detail: dict[str, str] = {}
    client: str = ""
    purpose: str = ""
    facility: str = ""
    policy: str = ""
    address: str = ""

    @property
    def evidence(self) -> EvidenceKind:
        """Return which of the four kinds of evidence this is."""
        return EVIDENCE_OF.get(self.kind, "access")

    @property
    def refusal(self) -> str:
        """Return what was refused or failed, as a word; '' where it went well."""
        said = self.outcome
        if self.kind == "call" and said.isdecimal():
            return said if not _FIRST_GOOD <= int(said) < _FIRST_BAD else ""
        return said if said in _refusals() else ""


_FIRST_GOOD, _FIRST_BAD = 100, 400


@cache
def _refusals() -> frozenset[str]:
    """Return the words of an outcome that was none: every failure, and what people say of it."""
    found, classes = {"refused", "failed", "denied"}, [Failure]
    while classes:
        failure = classes.pop()
        found.add(failure.slug)
        classes += failure.__subclasses__()
    return frozenset(found)


def circumstances() -> dict[str, str]:
    """Return what every record of the call in hand says alike; nothing in a worker."""
    facts = CALL.get()
    if facts is None:
        return {}
    who = facts.principal
    told = {
        "correlation_id": facts.correlation_id,
        "client": who.client if who and who.subject else "",
        "purpose": who.purpose if who else "",
        "facility": facts.seen_facility,
        "policy": facts.policy,
    }
    return {name: value for name, value in told.items() if value}


def completed(told: Evidence, known: dict[str, str]) -> Evidence:
    """Return the record with what it leaves open and the circumstances say."""
    left = {name: value for name, value in known.items() if not getattr(told, name)}
    return msgspec.structs.replace(told, **left) if left else told


class AuditRow(NamedTuple):
    """The composite type of the migrations, field for field, that carries a record to its table.

    A batch's rows are a piece of one chain: the first says which, from what number, and when.
    """

    chain: str | None
    seq: int | None
    kind: str
    transaction_id: str | None
    record: bytes
    hash: bytes
    at: datetime | None
    actor: str | None
    object: str | None = None
    facility: str | None = None
    refusal: str | None = None


encode_evidence = msgspec.json.Encoder().encode
decode_evidence = msgspec.json.Decoder(Evidence).decode
