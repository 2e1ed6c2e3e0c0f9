"""Which flow an event starts: the one table that joins events to processes, filled by
`gateway/wiring.py`.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from canonical.request import EventName
from ledger.rows import FlowRow, Row, SignalRow, lock_number


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How often a step that failed for a while is tried again, and after how many seconds.

    The pause doubles from `first` up to `longest`, with jitter, and is never shorter than what the
    other side asked for. `attempts` 0 takes the ledger's own limit.
    """

    attempts: int = 0
    first: float = 0.5
    longest: float = 60.0

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after so many tries: half of it fixed, half by chance."""
        ceiling: float = min(self.first * 2 ** min(attempt - 1, 20), self.longest)
        return ceiling / 2 + random.random() * ceiling / 2  # noqa: S311 - jitter, not a secret


class FlowDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """One process as the ledger runs it.

    `run(story, facts)` is the flow; `facts` its input type; `owner` the team that gets its business
    exceptions; `opens_patient_context` the grant without which the ledger opens no context token.
    Flows stay on the `version` they began with: an older one stays installed until its last flow
    has ended.
    """

    name: str
    version: str
    facts: type[msgspec.Struct]
    run: Callable[..., Awaitable[msgspec.Struct | None]]
    owner: str
    opens_patient_context: bool = False
    retry: Retry = Retry()


class Catalogue:
    """The flows by name and the event that starts each; other events are waited for.

    It is filled once, before the worker starts: flows need the ledger, and the ledger the flows.
    """

    def __init__(self) -> None:
        self.flows: dict[tuple[str, str], FlowDefinition] = {}
        self._newest: dict[str, FlowDefinition] = {}
        self._starts: dict[EventName, FlowDefinition] = {}

    def install(self, flows: Sequence[FlowDefinition], starts: Mapping[EventName, str]) -> None:
        """Say which flows there are, and which event starts which.

        Of several versions of one flow the last one is started.
        """
        self.flows = {(flow.name, flow.version): flow for flow in flows}
        self._newest = {flow.name: flow for flow in flows}
        self._starts = {event: self._newest[name] for event, name in starts.items()}

    def newest(self, name: str) -> FlowDefinition | None:
        """Return the version of a flow that begins today."""
        return self._newest.get(name)

    def started_by(self, event: EventName) -> FlowDefinition | None:
        """Return the flow that an event starts; None where it is waited for."""
        return self._starts.get(event)

    def lock_of(self, event: EventName, key: str) -> int:
        """Return the lock under which `event` happens."""
        definition = self._starts.get(event)
        if definition is None:
            return lock_number("signal", event, key)
        return lock_number("queue", definition.name, key)

    def rows_for(
        self,
        *,
        event: EventName,
        key: str,
        facts: str,
        transaction: str,
        message: str | None,
        flow: str,
    ) -> list[Row]:
        """Return the rows that make `event` happen: a flow that starts, or a signal that is
        waited for.
        """
        definition = self._starts.get(event)
        if definition is None:
            return [SignalRow(transaction, message, event, key, facts)]
        return [
            FlowRow(flow, transaction, message, definition.name, definition.version, key, facts)
        ]


def encoded(value: Any) -> str:
    """Return a canonical value as JSON text."""
    return msgspec.json.encode(value).decode()
