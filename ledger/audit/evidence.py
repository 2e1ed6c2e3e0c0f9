"""What an audit record says, and the four kinds of evidence that records are (SEC-07)."""

from typing import Literal

import msgspec

EvidenceKind = Literal["message", "transformation", "approval", "access"]

KINDS: dict[EvidenceKind, tuple[str, ...]] = {
    "message": ("message", "event"),
    "transformation": ("transformation",),
    "approval": ("approval",),
    "access": ("access", "call", "master-data"),
}
"""Message histories, transformation logs, approval evidence, access records: which records are."""

EVIDENCE_OF: dict[str, EvidenceKind] = {
    kind: evidence for evidence, kinds in KINDS.items() for kind in kinds
}


class Evidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One record of the trail, without patient data.

    `kind` is one of those in `KINDS`: call, message, event, transformation, approval, access,
    master-data.
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


encode_evidence = msgspec.json.Encoder().encode
decode_evidence = msgspec.json.Decoder(Evidence).decode
