"""What comes in and goes out, as the ledger takes it: documents, and the facts they announce."""

from typing import Literal

import msgspec

from canonical.context import PatientContext
from canonical.request import EventName, Reference
from canonical.task import TaskDraft

Channel = Literal["mllp", "http", "edi", "mobile"]


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One fact a document announces.

    `key` is the business key: a waiting flow is found by (event, key), and flows of one key run in
    arrival order. The fact joins the transaction of the first reference in `joins` that is known,
    and otherwise opens a new one, called `title`. `must_join` refuses instead: it becomes a task.
    `references` are the names under which the transaction is found from now on.
    """

    event: EventName
    key: str
    facts: msgspec.Struct
    title: str
    references: tuple[Reference, ...] = ()
    joins: tuple[Reference, ...] = ()
    must_join: bool = False


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One document that came in.

    `identity` is the business key of design section 5 ('' where the document has none): the same
    identity with the same body is a duplicate and gets the kept `answer` again, with another body
    a conflict. `mapping` is the version that read it. `contexts` are sealed under their tokens in
    the same commit. `refusal` makes a task.
    """

    channel: Channel
    kind: str
    sender: str
    body: bytes
    answer: bytes
    identity: str = ""
    control_id: str = ""
    announcements: tuple[Announcement, ...] = ()
    contexts: tuple[tuple[str, PatientContext], ...] = ()
    references: tuple[Reference, ...] = ()
    refusal: TaskDraft | None = None
    mapping: str = ""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an arrival: its id, whether it was seen before, the answer to give, whom it
    belongs to.
    """

    message: str
    duplicate: bool
    answer: bytes
    transactions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """One document about to go out; kept before it is sent. `key` is its idempotency key."""

    channel: Channel
    kind: str
    recipient: str
    body: bytes
    key: str
    control_id: str = ""
    references: tuple[Reference, ...] = ()
