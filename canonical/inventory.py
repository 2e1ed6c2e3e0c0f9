"""Stock: balances, par levels, lots, reservations and movements."""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from canonical.item import ItemId, Quantity
from canonical.money import Money


class StockLevel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is where, in the item's base unit. `available` = on hand - reserved; `on_order` is
    what is on order or requested and not yet received.
    """

    item: ItemId
    facility: str
    location: str
    unit: str
    on_hand: Decimal
    reserved: Decimal = Decimal(0)
    on_order: Decimal = Decimal(0)

    @property
    def projected(self) -> Decimal:
        """On hand, less what is promised, plus what is coming."""
        return self.on_hand - self.reserved + self.on_order


class ParLevel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The replenishment rule of one item at one location, in base units."""

    item: ItemId
    facility: str
    location: str
    safety: Decimal
    par: Decimal
    supplier: str


class Lot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A batch of an item the hospital has received."""

    item: ItemId
    number: str
    on_hand: Decimal
    expires: date | None = None


class ReservationLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    item: ItemId
    quantity: Quantity
    location: str


class Reservation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Stock promised to a case. `case` is the case's pseudonym, never a patient's number."""

    case: str
    facility: str
    cost_center: str
    needed_on: date
    lines: tuple[ReservationLine, ...]
    number: str = ""


MovementKind = Literal["consumption", "consumption-reversal"]


class MovementLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One item that moves. `reverses` is the place, counted from 1, of the line that it takes back
    in the document that the movement takes back; 0 where it takes back none.
    """

    item: ItemId
    quantity: Quantity
    location: str
    lot: str = ""
    serial: str = ""
    reverses: int = 0


class PostedMovement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The ERP's receipt for a movement: document number, fiscal year and value."""

    document: str
    year: str
    value: Money


class Movement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Stock that leaves (or comes back) for a case, charged to a cost centre. `reverses` is the
    earlier movement that it takes back, in whole or in part.
    """

    kind: MovementKind
    facility: str
    cost_center: str
    on: date
    reference: str
    lines: tuple[MovementLine, ...]
    reservation: str = ""
    reverses: PostedMovement | None = None
