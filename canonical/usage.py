"""What was used on a patient: the clinical event that moves stock."""

from datetime import date, datetime

import msgspec

from canonical.item import ItemCode, ItemId, Quantity


class UsageLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One item used, as the sender named it: any codes it knows, most specific first.

    `reference` is the sender's own id of the line ('' where it gives none): the same one counts
    once.
    """

    codes: tuple[ItemCode, ...]
    quantity: Quantity
    description: str = ""
    lot: str = ""
    serial: str = ""
    expires: date | None = None
    reference: str = ""


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Actual usage in one procedure. `case`, `encounter` are pseudonyms; `context_token` opens
    the patient context. `corrects` says that the same document takes something back first.
    """

    facility: str
    location: str
    occurred_at: datetime
    lines: tuple[UsageLine, ...]
    source: str = ""
    procedure: str = ""
    clinician: str = ""
    cost_center: str = ""
    case: str = ""
    encounter: str = ""
    context_token: str = ""
    corrects: bool = False


class UsageReversal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Usage that is taken back: `lines` as the sender named them, with the quantity that was not
    used after all; and everything that was reported under `names`, each a thing of the sender's by
    all the names it may go by. `context_token` opens the patient context.
    """

    facility: str
    occurred_at: datetime | None = None
    lines: tuple[UsageLine, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    source: str = ""
    case: str = ""
    encounter: str = ""
    context_token: str = ""


class NothingUsed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A charge or procedure document that concerns no supply: taken note of, nothing follows."""

    facility: str
    source: str


class ResolvedUsage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A usage line after the crosswalk: our item, in its base unit, lot and serial checked.
    `reference` is the sender's own id of the line.
    """

    item: ItemId
    description: str
    quantity: Quantity
    lot: str = ""
    serial: str = ""
    implant: bool = False
    reference: str = ""
