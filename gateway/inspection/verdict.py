"""What an inspection says. A value of a patient has no place in any of these.

A document is read, refused by one named failure, or crashed: an exception escaped that is no
failure of the vocabulary, which is a defect of ours and never one of the document.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from canonical.errors import Failure
from gateway.inspection.formats import Format

SEALED: Final = "sealed"
UNTYPED: Final = "untyped"
"""The type of a message that does not say what it is, or in no code."""

_MOST_TYPES: Final = 4


class Refusal(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A named failure: which one, where, what would have been right, and what to do."""

    slug: str
    detail: str
    where: str = ""
    expected: str = ""
    fix: str = ""


def refusal(failure: Failure) -> Refusal:
    """Say a failure of the vocabulary."""
    return Refusal(
        slug=failure.slug,
        detail=failure.detail,
        where=failure.where,
        expected=failure.expected,
        fix=failure.fix,
    )


class Canonical(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A canonical object and what it is called."""

    object: str
    value: msgspec.Struct


class Structure(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a message consists of: how often each segment or resource type occurs, and no values."""

    segments: dict[str, int] = {}
    resources: dict[str, int] = {}
    bundle: str = ""


class Opinion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What another implementation says about our verdict; `none` where it has no say."""

    by: str
    says: Literal["agree", "disagree", "none"]
    text: str


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One message, transaction set or resource: canonical where we have a mapping for it."""

    type: str
    version: str = ""
    canonical: tuple[Canonical, ...] = ()
    patient_context: str = ""
    structure: Structure | None = None
    failure: Refusal | None = None
    note: str = ""
    second_opinion: Opinion | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What stands or falls together: an HL7 message, an X12 interchange, a FHIR resource."""

    body: bytes
    messages: tuple[Message, ...]

    @property
    def is_refused(self) -> bool:
        return any(message.failure for message in self.messages)


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a document, and what is wrong with the document around them."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    failure: Refusal | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """About one document: read if all of it is, else refused by its first failure."""

    file: str
    verdict: Literal["read", "refused", "crashed"]
    format: Format
    type: str
    failure: Refusal | None = None
    exception: str = ""
    notes: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()


def kind(messages: Iterable[Message]) -> str:
    """Name the types a document holds: `ORU^R01`, `810+850`."""
    names = list(dict.fromkeys(message.type for message in messages))
    more = "+…" if len(names) > _MOST_TYPES else ""
    return "+".join(names[:_MOST_TYPES]) + more or UNTYPED
