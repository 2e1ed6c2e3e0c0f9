"""When the trail shows something that security must look at: `[alerts]` of gateway.toml."""

from datetime import time
from typing import Annotated

import msgspec


class _Rules(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A table of thresholds."""


class Threshold(_Rules, frozen=True, kw_only=True):
    """`count` within `seconds` is too much; 0 is never too much."""

    count: Annotated[int, msgspec.Meta(ge=0)]
    seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class WorkingDay(_Rules, frozen=True, kw_only=True):
    """From when to when patients' contexts are opened in the ordinary way, by a facility's clock.

    Empty texts are no rule. A day may end after midnight. Weekends count as out of hours unless
    `weekends`.
    """

    begins: Annotated[str, msgspec.Meta(pattern="^$|^[0-2][0-9]:[0-5][0-9]$")] = ""
    ends: Annotated[str, msgspec.Meta(pattern="^$|^[0-2][0-9]:[0-5][0-9]$")] = ""
    weekends: bool = True

    def __post_init__(self) -> None:
        if bool(self.begins) != bool(self.ends):
            raise ValueError("a day has both `begins` and `ends`, or neither")
        self.hours()

    def hours(self) -> tuple[time, time] | None:
        """Return when the day begins and ends; None where there is no rule."""
        if not self.begins:
            return None
        return time.fromisoformat(self.begins), time.fromisoformat(self.ends)


class AlertRules(_Rules, frozen=True, kw_only=True):
    """What is too much, by actor. The trail is looked at every `look_seconds`.

    `refusals`: calls refused (or from one address, where addresses are recorded). `facilities`:
    different facilities in the calls of one client. `contexts`: different patients whose context an
    actor opened, or whose story it was shown. `day`: when contexts may be opened. `except_actors`
    open contexts as their work: flows, and programs of the hospital's own.
    """

    look_seconds: Annotated[float, msgspec.Meta(ge=0.05)] = 30.0
    refusals: Threshold = Threshold(count=50, seconds=300.0)
    facilities: Threshold = Threshold(count=5, seconds=3600.0)
    contexts: Threshold = Threshold(count=50, seconds=3600.0)
    day: WorkingDay = WorkingDay()
    break_glass: bool = True
    except_actors: tuple[str, ...] = ()
