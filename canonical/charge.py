"""Cost postings and charge-review records."""

from datetime import date

import msgspec

from canonical.item import ItemId, Quantity
from canonical.money import Money


class CostPosting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The cost of what a case used: from the cost centre's supply expense to the case, or where it
    `takes_back` the other way. No patient in it.
    """

    facility: str
    cost_center: str
    on: date
    amount: Money
    reference: str
    case: str = ""
    takes_back: bool = False


class PostedJournal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The ERP's journal entry."""

    document: str
    year: str
    amount: Money


class ChargeLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    item: ItemId
    description: str
    quantity: Quantity
    lot: str = ""
    serial: str = ""


class ChargeReview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a charge reviewer sees: items used, under the context token; the reviewer's system
    opens it.
    """

    context_token: str
    facility: str
    occurred_on: date
    procedure: str
    lines: tuple[ChargeLine, ...]
    movement: str = ""


class RecordedCharge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The identifiers the charge-review system gave to the record, one a line."""

    ids: tuple[str, ...]


class ChargeCredit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One recorded charge that is taken back: `id` is the record's, `quantity` what is taken back,
    `whole` that nothing of it is left.
    """

    id: str
    quantity: Quantity
    whole: bool


class ChargeReversal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a charge reviewer is told is wrong, under the context token of the usage."""

    context_token: str
    facility: str
    occurred_on: date
    credits: tuple[ChargeCredit, ...]
