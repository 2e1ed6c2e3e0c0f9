"""What usage to replenishment needs of others, in canonical words."""

from datetime import date, datetime
from typing import Protocol

from canonical.charge import ChargeReview, CostPosting, PostedJournal, RecordedCharge
from canonical.context import PatientContext
from canonical.inventory import Lot, Movement, ParLevel, PostedMovement, Reservation, StockLevel
from canonical.item import Item, ItemCode, ItemId
from canonical.location import Location


class MasterRecords(Protocol):
    """Master data the hospital keeps in Suture's registry."""

    async def location(self, facility: str, location: str) -> Location: ...
    async def par_levels(self, facility: str, location: str) -> list[ParLevel]: ...
    async def resolve(self, codes: tuple[ItemCode, ...]) -> ItemId: ...
    async def today(self, facility: str) -> date: ...
    async def day_at(self, facility: str, moment: datetime) -> date: ...


class StockBook(Protocol):
    """Items and stock as the ERP counts them."""

    async def item(self, item: ItemId) -> Item: ...
    async def lot(self, item: ItemId, facility: str, location: str, number: str) -> Lot: ...
    async def stock(self, item: ItemId, facility: str, location: str) -> StockLevel: ...
    async def post_movement(self, movement: Movement, *, key: str) -> PostedMovement: ...
    async def take_back_movement(
        self, movement: Movement, done: PostedMovement | None, /, *, key: str
    ) -> PostedMovement | None: ...
    async def release(self, reservation: Reservation, *, key: str) -> Reservation: ...


class CostBook(Protocol):
    """Cost accounting."""

    async def post_cost(self, posting: CostPosting, *, key: str) -> PostedJournal: ...
    async def take_back_cost(
        self, posting: CostPosting, done: PostedJournal | None, /, *, key: str
    ) -> PostedJournal | None: ...


class ChargeDesk(Protocol):
    """Where charge reviewers work; the only port that sees the patient."""

    async def record_charge(
        self, charge: ChargeReview, *, key: str, patient: PatientContext
    ) -> RecordedCharge: ...
    async def take_back_charge(
        self,
        charge: ChargeReview,
        done: RecordedCharge | None,
        /,
        *,
        key: str,
        patient: PatientContext,
    ) -> RecordedCharge: ...
