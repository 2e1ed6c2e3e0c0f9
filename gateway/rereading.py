"""Reads a kept document again with the mapping of today; nothing is kept, answered or announced."""

import msgspec

from canonical.clock import Clock
from canonical.errors import UnsupportedMessage
from gateway.config import Config
from gateway.redelivery import Redelivery
from gateway.wiring import STARTS, Systems, open_doors
from ledger.arrival import Accepted, Arrival, Departure
from ledger.ledger import Ledger
from ledger.message_store import KeptMessage, MessageStore
from ledger.replay_plan import FormerFlow

_SEALED = "context_token"
"""The field of a fact that opens its patient context: each reading would draw another one."""


class ReadingRoom(MessageStore):
    """A store that only notes what a door would have it keep."""

    def __init__(self, messages: MessageStore) -> None:  # what it reads is the real store's
        self._kept = messages
        self.read = list[Arrival]()

    async def kept(self, message: str) -> KeptMessage:
        return await self._kept.kept(message)

    async def receive(self, arrival: Arrival) -> Accepted:
        self.read.append(arrival)
        return Accepted(message="", duplicate=False, answer=arrival.answer)

    async def control_number(self, counter: str, key: str) -> int:
        del counter, key  # no answer leaves: it needs no number
        return 1

    async def keep(self, departure: Departure) -> str:
        raise UnsupportedMessage("a reading room sends nothing", where=departure.kind)


class Rereading:
    """What the kept document of a flow says today."""

    def __init__(self, config: Config, ledger: Ledger, systems: Systems, clock: Clock) -> None:
        self._config = config
        self._ledger = ledger
        self._systems = systems
        self._clock = clock

    async def reread(self, flow: FormerFlow, before: msgspec.Struct) -> msgspec.Struct | None:
        """Return the facts of that flow as they are read today; None where no document of ours
        began it.

        Raises `UnsupportedMessage` where it would be refused today.
        """
        if flow.message is None:
            return None
        room = ReadingRoom(self._ledger.messages)
        reading = msgspec.structs.replace(self._ledger, messages=room)
        doors = open_doors(self._config, reading, self._systems, self._clock)
        if not await Redelivery(reading, doors).read_by_a_door(flow.message):
            return None
        for arrival in room.read:
            if arrival.refusal is not None:
                raise UnsupportedMessage(
                    f"the document is refused today: {arrival.refusal.detail}", where=flow.message
                )
            for fact in arrival.announcements:
                if STARTS.get(fact.event) == flow.name and fact.key == flow.key:
                    return _under_the_same_seal(fact.facts, before)
        return None


def _under_the_same_seal(facts: msgspec.Struct, before: msgspec.Struct) -> msgspec.Struct:
    if not hasattr(facts, _SEALED):
        return facts
    return msgspec.structs.replace(facts, **{_SEALED: getattr(before, _SEALED)})
