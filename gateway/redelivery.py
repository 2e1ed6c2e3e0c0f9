"""Reads a refused document again through the door it came by."""

from canonical.errors import StateConflict
from gateway.wiring import Doors
from ledger.ledger import Ledger
from system_apis.ehr.hl7v2_feed.intake import UNREADABLE


class Redelivery:
    """Hands kept documents to their doors again, byte-exact."""

    def __init__(self, ledger: Ledger, doors: Doors) -> None:
        self._ledger = ledger
        self._doors = doors

    async def redeliver(self, message: str) -> None:
        """Read the document again; when it is refused again, that is a new task."""
        if not await self.read_by_a_door(message):
            raise StateConflict("nobody reads this kind of document any more", where=message)

    async def read_by_a_door(self, message: str) -> bool:
        """Hand the document to the door it came by; False where there is none for its kind."""
        kept = await self._ledger.messages.kept(message)
        if kept.channel == "edi":
            await self._doors.x12.accept(kept.body, kept.party)
        elif self._doors.fhir is not None and kept.kind.startswith("FHIR "):
            await self._doors.fhir.accept(kept.body, kept.party)
        elif kept.channel == "mllp" or kept.kind == UNREADABLE or "^" in kept.kind:
            await self._doors.hl7.accept(kept.body, "mllp" if kept.channel == "mllp" else "http")
        else:
            return False
        return True
