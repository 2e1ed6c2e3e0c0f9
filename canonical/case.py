"""Surgical cases and preference cards."""

from datetime import datetime
from typing import Literal

import msgspec

from canonical.item import ItemId, Quantity

CaseChange = Literal["scheduled", "changed", "cancelled"]


class SurgicalCase(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A scheduled case without anything that names the patient.

    `case` and `encounter` are keyed pseudonyms made at the door; `context_token` opens the sealed
    patient context.
    """

    facility: str
    location: str
    procedure: str
    procedure_name: str = ""
    scheduled_at: datetime
    surgeon: str = ""
    change: CaseChange = "scheduled"
    case: str = ""
    encounter: str = ""
    context_token: str = ""


class PreferenceLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    item: ItemId
    quantity: Quantity


class PreferenceCard(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a procedure needs on the table; `surgeon` '' is the card for everybody."""

    procedure: str
    lines: tuple[PreferenceLine, ...]
    surgeon: str = ""
