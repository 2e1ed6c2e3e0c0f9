"""Deadlines: by when something is due, how much it matters, and who must know when it is late."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

Tier = Literal["critical", "urgent", "routine"]
"""How much a delay matters: to a case that is near, to the next one, or to the stock."""

DeadlineKind = Literal[
    "syntax-answer",
    "acknowledgement",
    "deviation",
    "shipment",
    "replenishment",
    "approval",
    "invoice-exception",
    "goods-for-invoice",
    "usage-posting",
]


class TierDeadlines(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """How long each thing may take in one tier, as ISO 8601 durations (`PT4H`, `P7D`); what is left
    out has its default.

    `syntax_answer` is the supplier's 997, `acknowledgement` its 855, `deviation` the buyer's word
    on an 855 that differs, `shipment` the next news of an order that is confirmed, `replenishment`
    the goods of an order, `approval` an approver's word, `invoice_exception` that of accounts
    payable, `goods_for_invoice` the receipt an invoice waits for, `usage_posting` the stock
    movement of what was used.
    """

    syntax_answer: timedelta | None = None
    acknowledgement: timedelta | None = None
    deviation: timedelta | None = None
    shipment: timedelta | None = None
    replenishment: timedelta | None = None
    approval: timedelta | None = None
    invoice_exception: timedelta | None = None
    goods_for_invoice: timedelta | None = None
    usage_posting: timedelta | None = None

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            given: timedelta | None = getattr(self, field.name)
            if given is not None and given <= timedelta():
                raise ValueError(f"{field.encode_name} is to be longer than nothing")


_TIERS: tuple[Tier, ...] = ("critical", "urgent", "routine")
_HOURS: dict[DeadlineKind, tuple[float, float, float]] = {
    "syntax-answer": (0.25, 1, 4),
    "acknowledgement": (1, 4, 24),
    "deviation": (1, 4, 24),
    "shipment": (12, 48, 168),
    "replenishment": (24, 72, 240),
    "approval": (1, 4, 48),
    "invoice-exception": (24, 48, 120),
    "goods-for-invoice": (24, 48, 120),
    "usage-posting": (0.25, 0.5, 2),
}
"""The defaults, in hours: critical, urgent, routine."""


class Deadlines(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """The deadlines of each tier, and what a tier is decided by.

    What is needed for a case within `surgery_window` is critical; implants and items of the ERP's
    material groups `urgent_groups` (such as trauma) are urgent.
    """

    surgery_window: timedelta = timedelta(hours=48)
    urgent_groups: tuple[str, ...] = ()
    critical: TierDeadlines = TierDeadlines()
    urgent: TierDeadlines = TierDeadlines()
    routine: TierDeadlines = TierDeadlines()

    def within(self, tier: Tier, kind: DeadlineKind) -> timedelta:
        """Return how long something of this kind may take in this tier."""
        own: TierDeadlines = getattr(self, tier)
        given: timedelta | None = getattr(own, kind.replace("-", "_"))
        return given or timedelta(hours=_HOURS[kind][_TIERS.index(tier)])


class ClinicalNeed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The case that something is bought for, without its patient: it travels with the purchase.

    `scheduled_at` is None for a case that is over: what it used is bought again.
    """

    case: str
    procedure: str = ""
    procedure_name: str = ""
    clinician: str = ""
    encounter: str = ""
    scheduled_at: datetime | None = None

    def words(self) -> str:
        """Say which case, and when."""
        what = " ".join(word for word in (self.procedure, self.procedure_name) if word)
        named = f"case {self.case}" + (f" ({what})" if what else "")
        if self.scheduled_at is None:
            return f"used in {named}"
        return f"{named} on {self.scheduled_at:%Y-%m-%d at %H:%M} UTC"


class Urgency(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How much a purchase matters, why, and for which case."""

    tier: Tier = "routine"
    why: str = ""
    need: ClinicalNeed | None = None

    def affected(self, *places: str) -> str:
        """Say who is affected by a delay: the case and its time, then the places and goods."""
        words = [self.need.words()] if self.need else []
        return "; ".join(word for word in (*words, *places) if word)


class Deadline(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something due `within` from now; when it is late, `owner` learns who is `affected`."""

    kind: DeadlineKind
    tier: Tier
    within: timedelta
    affected: str
    owner: str
    fix: str
