"""What a security reviewer sees of the audit trail."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

EvidenceKind = Literal["message", "transformation", "approval", "access"]


class AuditRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One record: who did what, to which object, how it ended. `id` is chain and number.

    `evidence` is which of the four kinds of evidence the record belongs to. `actor` is the person
    where there is one, and `client` then the program that person works with. `policy` names the
    configuration that was in force; `refused` is whether it ended in a refusal or a failure.
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
    client: str = ""
    purpose: str = ""
    facility: str = ""
    policy: str = ""
    address: str = ""
    refused: bool = False


class AuditPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Records, newest first; `next` goes into `after` to read on."""

    items: tuple[AuditRow, ...]
    next: str | None = None


Number = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class PatientNumbers(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A case or an encounter by the number that the facility's EHR gives it."""

    kind: Literal["case", "encounter"]
    facility: Number
    number: Number


class PatientLinks(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The pseudonym to search for, whether anything goes by it, and the transactions of whoever it
    leads to.
    """

    name: str
    known: bool
    transactions: tuple[str, ...]


class BrokenLinkView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What does not hold: record `seq` of `chain`, or the checkpoint of that number, and how."""

    chain: str
    seq: int
    reason: str


class VerdictView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of verifying; `signed` of the `records` are stated by a checkpoint. `checkpoint` is
    the newest one as number:hash, to be written down elsewhere. `pinned` is whether the key known
    here vouches for all.
    """

    records: int
    signed: int
    removed: int
    chains: int
    checkpoints: int
    checkpoint: str
    key: str
    pinned: bool | None
    broken: tuple[BrokenLinkView, ...]


class AuditCheckView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a verification is: `read` of about `total` records; `verdict` when it is done."""

    id: str
    asked_by: str
    asked_at: datetime
    status: Literal["queued", "running", "done", "failed"]
    read: int
    total: int
    ended_at: datetime | None = None
    verdict: VerdictView | None = None


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
