"""Contract prices with effective dates (owner: procurement)."""

from datetime import date

import msgspec

from canonical.item import ItemId
from canonical.money import Money


class ContractPrice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one supplier charges for one `unit` of an item, from `valid_from` to `valid_to`, both
    included.
    """

    contract: str
    supplier: str
    item: ItemId
    unit: str
    price: Money
    valid_from: date
    valid_to: date
    supplier_sku: str = ""

    def is_effective(self, on: date) -> bool:
        """Return whether the price holds on that day."""
        return self.valid_from <= on <= self.valid_to
