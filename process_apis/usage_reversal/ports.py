"""What usage reversal needs of others, in canonical words."""

from datetime import date
from typing import Protocol

from canonical.charge import ChargeReversal, CostPosting, PostedJournal, RecordedCharge
from canonical.context import PatientContext
from canonical.inventory import Movement, PostedMovement
from canonical.item import Item, ItemCode, ItemId


class MasterRecords(Protocol):
    """Master data the hospital keeps in Suture's registry."""

    async def resolve(self, codes: tuple[ItemCode, ...]) -> ItemId: ...
    async def today(self, facility: str) -> date: ...


class StockBook(Protocol):
    """Items and stock as the ERP counts them."""

    async def item(self, item: ItemId) -> Item: ...
    async def post_movement(self, movement: Movement, *, key: str) -> PostedMovement: ...


class CostBook(Protocol):
    """Cost accounting."""

    async def post_cost(self, posting: CostPosting, *, key: str) -> PostedJournal: ...


class ChargeDesk(Protocol):
    """Where charge reviewers work; the only port that sees the patient."""

    async def credit_charge(
        self, reversal: ChargeReversal, *, key: str, patient: PatientContext
    ) -> RecordedCharge: ...
