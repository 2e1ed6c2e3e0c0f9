"""What an audit record says, the row that carries it, the four kinds of evidence (SEC-07)."""

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

EvidenceKind = Literal["message", "transformation", "approval", "access"]

KINDS: dict[EvidenceKind, tuple[str, ...]] = {
    "message": ("message", "event"),
    "transformation": ("transformation",),
    "approval": ("approval",),
    "access": ("access", "call", "configuration", "master-data", "retention"),
}
"""Message histories, transformation logs, approval evidence, access records: which records are."""

EVIDENCE_OF: dict[str, EvidenceKind] = {
    kind: evidence for evidence, kinds in KINDS.items() for kind in kinds
}


class Evidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One record of the trail, without patient data.

    `kind` is one of those in `KINDS`: call, message, event, transformation, approval, access,
    configuration, master-data, retention.
    """

    kind: str
    actor: str
    action: str
    outcome: str
    object: str = ""
    transaction: str = ""
    correlation_id: str = ""
    detail: dict[str, str] = {}

    @property
    def evidence(self) -> EvidenceKind:
        """Return which of the four kinds of evidence this is."""
        return EVIDENCE_OF.get(self.kind, "access")


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


encode_evidence = msgspec.json.Encoder().encode
decode_evidence = msgspec.json.Decoder(Evidence).decode
