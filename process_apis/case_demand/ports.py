"""What case demand needs of others, in canonical words."""

from datetime import date, datetime
from typing import Protocol

from canonical.case import PreferenceCard
from canonical.inventory import ParLevel, Reservation, StockLevel
from canonical.item import ItemId
from canonical.location import Location


class MasterRecords(Protocol):
    """Master data the hospital keeps in Suture's registry."""

    async def location(self, facility: str, location: str) -> Location: ...
    async def preference_card(self, procedure: str, surgeon: str) -> PreferenceCard: ...
    async def par_levels(self, facility: str, location: str) -> list[ParLevel]: ...
    async def day_at(self, facility: str, moment: datetime) -> date: ...


class StockBook(Protocol):
    """Stock as the ERP counts it."""

    async def stock(self, item: ItemId, facility: str, location: str) -> StockLevel: ...
    async def reserve(self, reservation: Reservation, *, key: str) -> Reservation: ...
    async def unreserve(
        self, reservation: Reservation, done: Reservation | None, /, *, key: str
    ) -> Reservation | None: ...
    async def release(self, reservation: Reservation, *, key: str) -> Reservation: ...
