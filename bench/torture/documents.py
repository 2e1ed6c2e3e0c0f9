"""What comes in: documents that start flows, or answer them. The same place is the same document.

A lane is one partner that sends its documents one after the other: what it sends at place 17 is
drawn from the seed, so that after a crash it sends the very same again.
"""

import random
from typing import NamedTuple

import msgspec

from canonical.context import PatientContext
from canonical.request import EventName, Reference
from ledger.arrival import Announcement, Arrival

_KINDS = ("supply", "supply", "chain", "chain", "approval", "charge", "delivery", "delivery")
_CHAINS = 3
"""Business keys with an order of their own in each lane."""


_CANCELLED = 0.5
"""The share of deliveries that are cancelled, and of those, that may be complete by then."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Something is wanted. `token` names the patient's sealed context where there is one."""

    number: str
    token: str = ""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a chain: pieces of one chain happen in the order of their numbers."""

    chain: str
    sequence: int

    @property
    def place(self) -> str:
        return f"{self.chain}#{self.sequence}"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner says to a need."""

    number: str
    words: str = "yes"


class Drawn(NamedTuple):
    """One place in a lane: what is sent, and which effects must have happened in the end.

    Where `undone`, somebody has the delivery cancelled after that: its effects must not remain.
    """

    arrivals: tuple[Arrival, ...]
    effects: tuple[tuple[str, str], ...]
    undone: bool = False


def drawn(seed: int, lane: str, place: int) -> Drawn:
    """Return what a lane sends at a place."""
    chance = random.Random(f"{seed} {lane} {place}")
    number = f"{lane}-{place}"
    kind = chance.choice(_KINDS)
    if kind == "supply":
        effects = tuple((what, number) for what in ("reserve", "ship", "bill", "book"))
        return Drawn((used(number), answered(number)), effects)
    if kind == "approval":
        return Drawn((wanted(number),), (("order", number),))
    if kind == "charge":
        return Drawn((charged(number),), ((f"charge {number}", number),))
    if kind == "delivery":
        undone = chance.random() < _CANCELLED
        is_over = not undone or chance.random() < _CANCELLED
        effects = (("deliver", number), ("account", number))
        news = (noticed(number),) if is_over else ()
        return Drawn((delivered(number), *news), effects, undone)
    # The place in the lane is the place in the chain: it grows, and need not be without gaps.
    link = Link(chain=f"{lane}/{chance.randrange(_CHAINS)}", sequence=place)
    return Drawn((linked(link),), (("append", link.place),))


def used(number: str) -> Arrival:
    """A document that starts the supply of a need."""
    return arrival(number, fact("item-used", number, Need(number=number)))


def answered(number: str, words: str = "yes") -> Arrival:
    """A document that answers a need: it belongs to a story, or to nobody."""
    told = fact("order-acknowledged", number, Answer(number=number, words=words))
    joined = msgspec.structs.replace(
        told, joins=(Reference("number", number),), references=(), must_join=True
    )
    return arrival(f"{number} answered {words}", joined)


def wanted(number: str) -> Arrival:
    """A document that needs a person's decision."""
    return arrival(number, fact("requisition-raised", number, Need(number=number)))


def delivered(number: str) -> Arrival:
    """A document that starts a delivery, which may be cancelled at any time."""
    return arrival(number, fact("goods-received", number, Need(number=number)))


def noticed(number: str) -> Arrival:
    """A document that a delivery waits for."""
    told = fact("shipment-notified", number, Answer(number=number))
    return arrival(f"{number} noticed", msgspec.structs.replace(told, references=()))


def charged(number: str) -> Arrival:
    """A document with a patient in it."""
    token = f"ctx_{number}"
    known = arrival(number, fact("nothing-used", number, Need(number=number, token=token)))
    context = PatientContext(case_number=number)
    return msgspec.structs.replace(known, contexts=((token, context),))


def linked(link: Link) -> Arrival:
    """A document that is one piece of a chain."""
    return arrival(link.place, fact("case-scheduled", link.chain, link))


def fact(event: EventName, number: str, facts: msgspec.Struct) -> Announcement:
    return Announcement(
        event=event,
        key=number,
        facts=facts,
        title=f"Need {number}",
        references=(Reference("number", number),),
    )


def arrival(identity: str, told: Announcement) -> Arrival:
    return Arrival(
        channel="mllp",
        kind="ORU^R01",
        sender="EHR",
        body=f"document {identity}".encode(),
        answer=f"AA {identity}".encode(),
        identity=f"torture|{identity}",
        control_id=identity,
        announcements=(told,),
        mapping="torture/1",
    )
