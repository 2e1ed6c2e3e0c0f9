"""The door for partners' interchanges: kept, answered with 997/999 or TA1, announced.

One arrival per interchange. The answer is committed together with what it acknowledges, so the
same interchange gets the same answer again. A set that contradicts itself (totals, hierarchy,
units) is rejected in the 997 with the element named; one that is sound but beyond us becomes a
task for a person.
"""

import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from canonical.clock import Clock
from canonical.errors import IdentityConflict, MalformedMessage
from canonical.request import Reference
from canonical.supplier import TradingPartner
from canonical.task import TaskDraft
from ledger.arrival import Arrival
from ledger.message_store import MessageStore
from standards.x12.acknowledgement import (
    answers_with_999,
    functional_acknowledgement,
    interchange_acknowledgement,
)
from standards.x12.control import ACCEPTED
from standards.x12.envelope import Group, InterchangeHeader
from standards.x12.reader import header, interchanges
from standards.x12.writer import OutgoingGroup, OutgoingInterchange, write
from system_apis.edi.x12.mapping import VERSION
from system_apis.edi.x12.reading import Reading, reading_of

Partners = Callable[[str, str], Awaitable[TradingPartner | None]]
"""The trading partner with this ISA05 and ISA06."""


class X12Intake:
    """Takes in what partners send. `own` holds our ISA qualifiers and ids."""

    def __init__(
        self,
        messages: MessageStore,
        partners: Partners,
        own: frozenset[tuple[str, str]],
        clock: Clock,
    ) -> None:
        self._messages = messages
        self._partners = partners
        self._own = own
        self._clock = clock

    async def accept(self, raw: bytes, partner_client: str) -> bytes:
        """Take in a transmission and return our answer to it; '' where X12 forbids one.

        Raises `MalformedMessage` only where there is no readable ISA to address an answer to.
        """
        answers = [await self._accept(piece, partner_client) for piece in interchanges(raw)]
        return b"".join(answers)

    async def _accept(self, body: bytes, client: str) -> bytes:
        digest = hashlib.sha256(body).hexdigest()
        try:
            top = header(body)
        except MalformedMessage as failure:
            await self._messages.receive(_unreadable(body, client, digest, failure))
            raise
        known = await self._partners(top.sender_qualifier, top.sender)
        reading = reading_of(body, top, known, self._own, client)
        partner = None if reading.is_foreign else known
        arrival = Arrival(
            channel="edi",
            kind=" ".join(["X12", *dict.fromkeys(reading.kinds)]),
            sender=partner.supplier if partner else client,
            body=body,
            mapping=VERSION,
            answer=await self._answer(reading, partner, digest),
            identity=reading.identity or f"x12|broken|{digest}",
            control_id=top.control,
            announcements=tuple(reading.facts),
            references=(Reference("isa13", top.control),),
            refusal=reading.task(partner),
        )
        try:
            accepted = await self._messages.receive(arrival)
        except IdentityConflict as conflict:
            return await self._refuse_conflict(arrival, top, partner, conflict)
        return accepted.answer

    async def _answer(self, reading: Reading, partner: TradingPartner | None, digest: str) -> bytes:
        top = reading.top
        groups = [group for group in reading.groups if group.functional_id != "FA"]
        wanted = top.wants_ta1 or reading.note != ACCEPTED
        if not (groups or wanted):
            return b""
        counter = _counter(top, partner)
        number = await self._messages.control_number(counter, f"answer/{digest}")
        outgoing = list[OutgoingGroup]()
        for modern in (False, True):
            own = tuple(group for group in groups if answers_with_999(group) is modern)
            if own:
                control = number
                if outgoing:
                    control = await self._messages.control_number(counter, f"answer/{digest}/999")
                outgoing.append(_acknowledging(own, control))
        notes = (interchange_acknowledgement(top, reading.note),) if wanted else ()
        return write(
            OutgoingInterchange(
                sender_qualifier=top.receiver_qualifier,
                sender=top.receiver,
                receiver_qualifier=top.sender_qualifier,
                receiver=top.sender,
                at=self._clock(),
                control=number,
                groups=tuple(outgoing),
                notes=notes,
                version=top.version,
                test=top.test,
                delimiters=top.delimiters,
            )
        )

    async def _refuse_conflict(
        self,
        arrival: Arrival,
        top: InterchangeHeader,
        partner: TradingPartner | None,
        conflict: IdentityConflict,
    ) -> bytes:
        """Keep the second interchange of this control number too, and say so with a TA1."""
        digest = hashlib.sha256(arrival.body).hexdigest()
        reading = Reading(top)
        reading.refuse_whole(
            IdentityConflict(
                conflict.detail,
                where="ISA13 again",
                expected="a new control number",
                fix="ask the partner which of the two interchanges counts",
            )
        )
        accepted = await self._messages.receive(
            msgspec.structs.replace(
                arrival,
                identity=f"{arrival.identity}|conflict|{digest}",
                answer=await self._answer(reading, partner, f"{digest}/conflict"),
                announcements=(),
                refusal=reading.task(partner),
            )
        )
        return accepted.answer


def _counter(top: InterchangeHeader, partner: TradingPartner | None) -> str:
    """Name the counter of our numbers; what a stranger is answered uses up none of a partner's."""
    name = partner.supplier if partner else f"{top.sender_qualifier}:{top.sender}"
    return f"{name}/isa13"


def _acknowledging(groups: tuple[Group, ...], control: int) -> OutgoingGroup:
    sets = tuple(functional_acknowledgement(group) for group in groups)
    return OutgoingGroup(
        sender=groups[0].receiver,
        receiver=groups[0].sender,
        control=control,
        sets=sets,
        version=sets[0].convention or "004010",
    )


def _unreadable(body: bytes, client: str, digest: str, failure: MalformedMessage) -> Arrival:
    return Arrival(
        channel="edi",
        kind="X12",
        sender=client,
        body=body,
        answer=b"",
        identity=f"x12|unreadable|{client}|{digest}",
        refusal=TaskDraft(
            reason=failure.slug,
            title=f"{client} sent something that is no X12 interchange",
            detail=str(failure),
            owner="integration",
            actions=("retry", "abandon"),
            affected=client,
            fix="ask the partner to send X12 with a complete ISA header",
        ),
    )
