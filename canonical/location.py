"""Facilities, storage locations and cost centres."""

import msgspec

from canonical.money import Money


class Location(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A place that holds stock. `facility` is the ERP plant; `cost_center` bears what is used
    here.
    """

    id: str
    facility: str
    name: str = ""
    cost_center: str = ""


class CostCenter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A cost centre with what is left of its budget (owner: ERP)."""

    id: str
    name: str
    active: bool = True
    budget: Money | None = None
    committed: Money | None = None
