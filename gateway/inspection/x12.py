"""X12 transmissions: every interchange, every group, every set, as the EDI door would judge them.

Sets we have no use for are read as far as their envelopes go. No value of a segment is shown: some
of those sets (837, 271) are about patients.
"""

import re
from collections import Counter
from typing import Final

import msgspec

from canonical.errors import Failure, MalformedMessage
from canonical.order import SyntaxVerdict
from gateway.inspection.verdict import (
    UNTYPED,
    Canonical,
    Contents,
    Message,
    Part,
    Structure,
    refusal,
)
from gateway.inspection.x12_faults import group_fault, set_fault
from standards.x12.conformance import examined
from standards.x12.control import GROUPS, SUPPORTED_RELEASES
from standards.x12.envelope import (
    Group,
    Interchange,
    InterchangeHeader,
    InterchangeVerdict,
    TransactionSet,
)
from standards.x12.grammar import SETS
from standards.x12.reader import interchanges, read
from system_apis.edi.x12.announcing import READERS
from system_apis.edi.x12.mapping import interchange_rejection

_SET_CODE: Final = re.compile(r"[0-9]{3}", re.ASCII)
_RELEASE: Final = re.compile(r"[0-9]{6}[A-Z0-9]{0,6}", re.ASCII)
_SEGMENT_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}", re.ASCII)
_OPENING: Final = re.compile(rb"(?<![A-Za-z0-9])ST[^A-Za-z0-9\s]([0-9]{3})(?![A-Za-z0-9])")
_NO_NAME: Final = "…"


def contents(body: bytes) -> Contents:
    """Cut a transmission into its interchanges and read each."""
    return Contents(parts=tuple(_part(piece) for piece in interchanges(body)))


def _part(piece: bytes) -> Part:
    try:
        found = read(piece)
    except MalformedMessage as failure:
        return Part(body=piece, messages=(Message(type=_guess(piece), failure=refusal(failure)),))
    messages = [message for interchange in found for message in _messages(interchange)]
    return Part(body=piece, messages=tuple(messages))


def _guess(piece: bytes) -> str:
    """Name the sets of a broken interchange, for the table."""
    found = dict.fromkeys(code.decode() for code in _OPENING.findall(piece))
    return "+".join(found) or UNTYPED


def _messages(interchange: Interchange) -> list[Message]:
    judged = examined(interchange)
    pairs = zip(interchange.groups, judged.groups, strict=True)
    found = [message for raw, group in pairs for message in _group(raw, group, judged.header)]
    found += [_interchange_verdict(each) for each in interchange.verdicts]
    return found or [Message(type="ISA", structure=Structure())]


def _group(raw: Group, group: Group, top: InterchangeHeader) -> list[Message]:
    """Judge a group we trade in by our grammar, any other one by its envelopes alone."""
    is_ours = raw.functional_id in GROUPS and raw.version.startswith(SUPPORTED_RELEASES)
    judged = group if is_ours else raw
    fault = group_fault(raw)
    found = list[Message]()
    for own, each in zip(raw.sets, judged.sets, strict=True):
        chosen = each if each.code in SETS else own
        message = _set(chosen, raw.version, top, is_ours=is_ours)
        if fault is not None:
            message = Message(
                type=message.type,
                version=message.version,
                structure=_structure(own),
                failure=refusal(fault),
            )
        found.append(message)
    if fault is not None and not found:
        found.append(Message(type="GS", failure=refusal(fault)))
    return found


def _set(each: TransactionSet, release: str, top: InterchangeHeader, *, is_ours: bool) -> Message:
    name = each.code if _SET_CODE.fullmatch(each.code) else UNTYPED
    version = release if _RELEASE.fullmatch(release) else ""
    structure = _structure(each)
    if not each.accepted:
        fault = set_fault(each)
        return Message(type=name, version=version, structure=structure, failure=refusal(fault))
    reader = READERS.get(each.code) if is_ours else None
    if reader is None:
        return Message(type=name, version=version, structure=structure)
    try:
        facts = reader(each, top.sender)
    except Failure as failure:
        return Message(type=name, version=version, structure=structure, failure=refusal(failure))
    canonical = tuple(_canonical(fact.facts) for fact in facts)
    return Message(type=name, version=version, canonical=canonical)


def _structure(each: TransactionSet) -> Structure:
    names = (segment[0] for segment in each.segments)
    return Structure(
        segments=dict(Counter(n if _SEGMENT_ID.fullmatch(n) else _NO_NAME for n in names))
    )


def _canonical(facts: msgspec.Struct) -> Canonical:
    return Canonical(object=type(facts).__name__, value=facts)


def _interchange_verdict(verdict: InterchangeVerdict) -> Message:
    """Show a TA1: in canonical words where it rejects an interchange."""
    rejection: SyntaxVerdict | None = interchange_rejection(verdict)
    if rejection is None:
        return Message(type="TA1", structure=Structure(segments={"TA1": 1}))
    return Message(type="TA1", canonical=(_canonical(rejection),))
