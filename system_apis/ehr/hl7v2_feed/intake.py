"""One HL7 v2 message from its bytes to its acknowledgement; it is kept before it is answered.

Rules:
1. What is read and mapped announces its fact; what is not becomes a refusal with a task. Both are
   kept with the answer they get, so that a repetition gets the same answer and has no effect.
2. A charge message that charges no supply is accepted: there is nothing to do, and nothing wrong.
3. A control id that comes again with other content is a conflict: it is kept under its own
   digest, becomes a task, and is rejected (code 205).
4. What cannot be kept is answered with an error: the sender still has it and will send it again.
5. A task's text holds places and expectations, never values: a message is full of patients.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from canonical.case import SurgicalCase
from canonical.clock import Clock
from canonical.context import PatientContext
from canonical.errors import (
    Failure,
    IdentityConflict,
    MalformedMessage,
    NothingToPost,
    UnknownPartner,
    UnsupportedMessage,
)
from canonical.request import Reference
from canonical.task import TaskDraft
from canonical.usage import NothingUsed, UsageEvent, UsageReversal
from ledger.arrival import Announcement, Arrival
from ledger.message_store import MessageStore
from ledger.vault import Vault
from standards.hl7v2.acknowledgement import (
    MISSING,
    Header,
    acknowledgement,
    header,
    is_acknowledgement,
    refusal,
)
from standards.hl7v2.message import Message
from standards.hl7v2.reader import read
from system_apis.ehr.hl7v2_feed.mapping import VERSION, surgical_case, usage_facts
from system_apis.ehr.hl7v2_feed.wire import Feed

UNREADABLE = "unreadable"
"""The kind of a message whose MSH-9 says nothing that could be one."""

_KIND = re.compile(r"[A-Z][A-Z0-9]{2}\^[A-Z][A-Z0-9]{2}")
_LONGEST_CONTROL_ID = 199


class _Names(NamedTuple):
    """The pseudonyms of a message's case and encounter, and its context token."""

    case: str
    encounter: str
    token: str


class Hl7Intake:
    """Takes messages from any channel. `feeds` are tried in order against MSH-4.1."""

    def __init__(
        self, messages: MessageStore, vault: Vault, feeds: Sequence[Feed], clock: Clock
    ) -> None:
        self._messages = messages
        self._vault = vault
        self._feeds = feeds
        self._clock = clock

    async def accept(self, raw: bytes, channel: Literal["mllp", "http"]) -> bytes | None:
        """Keep one message and return its acknowledgement; None where none is due."""
        head = header(raw)
        if is_acknowledgement(head):
            return None
        arrival = self._arrival(raw, channel, head)
        try:
            accepted = await self._messages.receive(arrival)
        except IdentityConflict as exc:
            return await self._conflict(arrival, head, exc)
        except Failure as exc:
            return self._answer(head, exc, kept=False)
        return accepted.answer or None

    async def broken(self, failure: Failure, partial: bytes, peer: str) -> None:
        """Keep what arrived of a message that never became one, with a task.

        A piece of a message is never read again: it could pass for the whole. The same piece from
        the same peer is one open task, however often it comes.
        """
        named = _sender(header(partial)).strip("|")
        digest = hashlib.sha256(partial).hexdigest()
        arrival = Arrival(
            channel="mllp",
            kind=UNREADABLE,
            sender=named or peer,
            body=partial,
            answer=b"",
            identity=f"mllp|piece|{peer}|{digest}",
            refusal=msgspec.structs.replace(
                _task(UNREADABLE, failure), affected=named or peer, actions=("acknowledge",)
            ),
        )
        try:
            await self._messages.receive(arrival)
        except Failure:
            # Nothing was acknowledged, so the sender still has the message and sends it again.
            return

    def _arrival(self, raw: bytes, channel: Literal["mllp", "http"], head: Header) -> Arrival:
        kind = "^".join((head.first(9), head.first(9, 2)))
        kept = Arrival(
            channel=channel,
            kind=kind if _KIND.fullmatch(kind) else UNREADABLE,
            sender=_sender(head),
            body=raw,
            mapping=VERSION,
            answer=b"",
            identity=_identity(head),
            control_id=head.raw(10),
        )
        try:
            announcements, contexts = self._facts(raw)
        except Failure as exc:
            return msgspec.structs.replace(
                kept, answer=self._answer(head, exc) or b"", refusal=_task(kept.kind, exc)
            )
        return msgspec.structs.replace(
            kept,
            answer=self._answer(head) or b"",
            announcements=announcements,
            contexts=contexts,
            references=(Reference("msh10", kept.control_id),),
        )

    async def _conflict(
        self, arrival: Arrival, head: Header, exc: IdentityConflict
    ) -> bytes | None:
        answer = self._answer(head, exc)
        digest = hashlib.sha256(arrival.body).hexdigest()
        conflict = msgspec.structs.replace(
            arrival,
            identity=f"{arrival.identity}|{digest}",
            answer=answer or b"",
            announcements=(),
            contexts=(),
            references=(),
            refusal=_task(arrival.kind, exc),
        )
        try:
            accepted = await self._messages.receive(conflict)
        except Failure as unkept:
            return self._answer(head, unkept, kept=False)
        return accepted.answer or None

    def _answer(
        self, head: Header, failure: Failure | None = None, *, kept: bool = True
    ) -> bytes | None:
        answer = acknowledgement(
            head,
            control_id=secrets.token_hex(10),
            at=self._clock(),
            refused=refusal(failure, kept=kept) if failure else None,
        )
        return answer or None

    def _facts(
        self, raw: bytes
    ) -> tuple[tuple[Announcement, ...], tuple[tuple[str, PatientContext], ...]]:
        """Read, route by MSH-9, map: what the message announces, and whom it concerns."""
        message = read(raw)
        _check_control_id(message)
        if message.type not in {"SIU", "DFT"}:
            raise UnsupportedMessage(
                "not a message of this feed", where="MSH-9.1", expected="SIU or DFT"
            )
        feed = self._feed(message)
        if message.type == "SIU":
            case, context = surgical_case(message, feed)
            names = self._names(context, feed)
            return (_case_announced(case, names, message),), ((names.token, context),)
        try:
            facts, context = usage_facts(message, feed)
        except NothingToPost:
            if message.first("FT1") is None:
                raise
            nothing = Announcement(
                event="nothing-used",
                key=message.control_id,
                facts=NothingUsed(facility=feed.facility, source=message.text("MSH", 3, 1, 1)),
                title="Charges without supplies",
            )
            return (nothing,), ()
        names = self._names(context, feed)
        told = tuple(_usage_announced(each, names, message) for each in facts)
        return told, ((names.token, context),)

    def _feed(self, message: Message) -> Feed:
        facility = message.text("MSH", 4, 1, 1)
        for feed in self._feeds:
            if feed.serves(facility):
                return feed
        raise UnknownPartner(
            "no feed is configured for this sending facility",
            where="MSH-4",
            expected="a configured sending-facility",
            fix="add a feed for the sender, or correct MSH-4",
        )

    def _names(self, context: PatientContext, feed: Feed) -> _Names:
        return _Names(
            self._vault.pseudonym("case", feed.facility, context.case_number),
            self._vault.pseudonym("encounter", feed.facility, context.encounter),
            self._vault.new_token(),
        )


def _check_control_id(message: Message) -> None:
    control_id = message.control_id
    if not control_id:
        raise MalformedMessage(MISSING, where="MSH-10", expected="a message control id")
    if len(control_id) > _LONGEST_CONTROL_ID:
        raise MalformedMessage(
            "the control id is too long", where="MSH-10", expected="at most 199 characters"
        )


def _case_announced(case: SurgicalCase, names: _Names, message: Message) -> Announcement:
    facts = msgspec.structs.replace(
        case, case=names.case, encounter=names.encounter, context_token=names.token
    )
    return Announcement(
        event="case-scheduled",
        key=names.case,
        facts=facts,
        title=f"Surgical case: {case.procedure_name or case.procedure or case.change}",
        references=_references(names, message),
        joins=(Reference("case", names.case),),
    )


def _usage_announced(
    fact: UsageEvent | UsageReversal, names: _Names, message: Message
) -> Announcement:
    """Announce usage, or that it is taken back; what is of one encounter is dealt with in order."""
    title = f"Credit: {len(fact.lines)} item(s)"
    if isinstance(fact, UsageEvent):
        title = f"Usage: {len(fact.lines)} item(s) at {fact.location}"
    joins = (Reference("case", names.case), Reference("encounter", names.encounter))
    return Announcement(
        event="item-used" if isinstance(fact, UsageEvent) else "usage-reversed",
        key=names.encounter or names.case,
        facts=msgspec.structs.replace(
            fact, case=names.case, encounter=names.encounter, context_token=names.token
        ),
        title=title,
        references=_references(names, message),
        joins=tuple(one for one in joins if one.value),
    )


def _references(names: _Names, message: Message) -> tuple[Reference, ...]:
    found = (
        Reference("msh10", message.control_id),
        Reference("case", names.case),
        Reference("encounter", names.encounter),
    )
    return tuple(one for one in found if one.value)


def _sender(head: Header) -> str:
    return f"{head.first(3)}|{head.first(4)}"


def _identity(head: Header) -> str:
    """MSH-3, MSH-4 and MSH-10 name a message for good; without a control id nothing does."""
    control_id = head.raw(10)
    return "|".join(("hl7v2", head.raw(3), head.raw(4), control_id)) if control_id else ""


def _task(kind: str, failure: Failure) -> TaskDraft:
    place = f" at {failure.where}" if failure.where else ""
    expected = f"; expected {failure.expected}" if failure.expected else ""
    return TaskDraft(
        reason=failure.slug,
        title=f"HL7 message refused: {kind}",
        detail=f"{failure.detail}{place}{expected}",
        owner="integration",
        actions=("retry", "abandon"),
        fix=failure.fix,
    )
