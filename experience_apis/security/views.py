"""What a security reviewer sees of the audit trail."""

from datetime import datetime
from typing import Literal

import msgspec

EvidenceKind = Literal["message", "transformation", "approval", "access"]


class AuditRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One record: who did what, to which object, how it ended. `id` is chain and number.

    `evidence` is which of the four kinds of evidence the record belongs to.
    """

    id: str
    at: datetime
    evidence: EvidenceKind
    kind: str
    actor: str
    action: str
    outcome: str
    object: str
    transaction: str
    correlation_id: str
    detail: dict[str, str]


class AuditPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Records, newest first; `next` goes into `after` to read on."""

    items: tuple[AuditRow, ...]
    next: str | None = None


class AuditKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key as a JWK."""

    kty: str
    crv: str
    x: str
    kid: str
    alg: str
    use: str


class AuditKeySet(msgspec.Struct, frozen=True, kw_only=True):
    keys: tuple[AuditKey, ...]
