"""What people and programs hand in over HTTP, as an arrival like any other document."""

from collections.abc import Sequence

import msgspec

from canonical.context import PatientContext
from ledger.arrival import Announcement, Arrival
from ledger.message_store import MessageStore


class Submitted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a caller gets for a document that was kept: follow it under `transaction`.

    `id` is the business key of what was handed in; `duplicate` says that it came before.
    """

    id: str
    transaction: str
    message: str
    duplicate: bool = False


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """Who hands in what: `idempotency_key` is the caller's own, '' where it gives none."""

    kind: str
    client: str
    body: bytes
    idempotency_key: str = ""
    announcement: Announcement
    contexts: Sequence[tuple[str, PatientContext]] = ()


async def hand_in(messages: MessageStore, submission: Submission) -> Submitted:
    """Keep the document and announce its fact; the same key with the same body has one effect.

    Raises `IdentityConflict` where the key came before with another body.
    """
    key = submission.idempotency_key
    accepted = await messages.receive(
        Arrival(
            channel="http",
            kind=submission.kind,
            sender=submission.client,
            body=submission.body,
            answer=submission.announcement.key.encode(),
            identity=f"http|{submission.client}|{submission.kind}|{key}" if key else "",
            control_id=key,
            announcements=(submission.announcement,),
            contexts=tuple(submission.contexts),
        )
    )
    return Submitted(
        id=accepted.answer.decode(),
        transaction=accepted.transactions[0] if accepted.transactions else "",
        message=accepted.message,
        duplicate=accepted.duplicate,
    )
