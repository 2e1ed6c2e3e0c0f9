"""What the deliverer asks of whoever reaches subscribers: one call, with an outcome and no
surprise.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ledger.outbox import Event


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to, and what signs. `generation` counts the replays of the subscription."""

    subscription: str
    kind: str
    address: str
    generation: int = 0
    secrets: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the events were heard, in order; where not all, why the next one was not.

    `gone`: the subscriber wants no more, ever. `hopeless`: this event will not get through however
    often it is tried. `retry_after` is the subscriber's own word, in seconds. `error` quotes no
    body.
    """

    delivered: int
    error: str = ""
    gone: bool = False
    hopeless: bool = False
    retry_after: float = 0.0


class Sender(Protocol):
    """Reaches one kind of subscriber. It raises nothing: what goes wrong is an outcome."""

    at_once: int
    """How many events one call may carry."""

    async def send(self, target: Target, events: Sequence[Event]) -> Outcome: ...
