"""One document from its bytes to its verdict. Nothing escapes from here."""

from collections.abc import Callable
from typing import Final

import msgspec

from canonical.errors import Failure, UnsupportedMessage
from gateway.inspection import fhir, hl7v2, x12
from gateway.inspection.formats import READABLE, Format, Sniffed, sniffed
from gateway.inspection.verdict import (
    UNTYPED,
    Contents,
    Message,
    Opinion,
    Part,
    Verdict,
    kind,
    refusal,
)

Second = Callable[[Format, Part], Opinion]
"""Another implementation's opinion about one part."""

_READERS: Final[dict[Format, Callable[[bytes], Contents]]] = {
    "HL7": hl7v2.contents,
    "X12": x12.contents,
    "FHIR": fhir.contents,
}


def inspected(name: str, body: bytes, second: Second | None = None) -> Verdict:
    """Say what is in the document `name`."""
    found = sniffed(body)
    if found.format not in READABLE:
        return Verdict(
            file=name,
            verdict="refused",
            format=found.format,
            type="",
            failure=refusal(_unread(found)),
        )
    try:
        return _verdict(name, found.format, body, second)
    except Exception as exc:  # noqa: BLE001 - what escapes from a codec is the finding itself
        return Verdict(
            file=name,
            verdict="crashed",
            format=found.format,
            type=UNTYPED,
            exception=type(exc).__name__,
        )


def _verdict(name: str, form: Format, body: bytes, second: Second | None) -> Verdict:
    contents = _READERS[form](body)
    messages = tuple(
        message for part in contents.parts for message in _with_opinion(form, part, second)
    )
    first = next((message.failure for message in messages if message.failure), None)
    failure = contents.failure or first
    return Verdict(
        file=name,
        verdict="refused" if failure else "read",
        format=form,
        type=kind(messages),
        failure=failure,
        notes=contents.notes,
        messages=messages,
    )


def _unread(found: Sniffed) -> Failure:
    what = found.instead or f"{found.format}: recognised, not read yet"
    return UnsupportedMessage(what, expected="HL7 v2, X12 or FHIR JSON")


def _with_opinion(form: Format, part: Part, second: Second | None) -> tuple[Message, ...]:
    if second is None:
        return part.messages
    opinion = second(form, part)
    return tuple(
        msgspec.structs.replace(message, second_opinion=opinion) for message in part.messages
    )
