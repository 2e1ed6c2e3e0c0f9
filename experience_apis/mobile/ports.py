"""What the scanner needs of others."""

from typing import Protocol

from canonical.inventory import StockLevel
from canonical.item import Item, ItemCode, ItemId, ScannedLabel


class Labels(Protocol):
    """Reads what a barcode says: GTIN, UDI (GS1, HIBCC, ICCBBA), or a number of the house."""

    def read(self, text: str) -> ScannedLabel: ...


class Crosswalk(Protocol):
    async def resolve(self, codes: tuple[ItemCode, ...]) -> ItemId: ...


class Places(Protocol):
    """The hospital's locations; one that is nowhere or in several facilities is unknown."""

    async def facility_of(self, location: str) -> str: ...


class Shelf(Protocol):
    """Items and stock as the ERP counts them."""

    async def item(self, item: ItemId) -> Item: ...
    async def stock(self, item: ItemId, facility: str, location: str) -> StockLevel: ...
