"""Which flow an event starts: the one table that joins events to processes, filled by
`gateway/wiring.py`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from canonical.request import EventName
from ledger.rows import FlowRow, Row, SignalRow


class FlowDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """One process as the ledger runs it.

    `run(story, facts)` is the flow; `facts` its input type; `owner` the team that gets its business
    exceptions; `opens_patient_context` the grant without which the ledger opens no context token.
    """

    name: str
    version: str
    facts: type[msgspec.Struct]
    run: Callable[..., Awaitable[msgspec.Struct | None]]
    owner: str
    opens_patient_context: bool = False


class Catalogue:
    """The flows by name and the event that starts each; other events are waited for.

    It is filled once, before the worker starts: flows need the ledger, and the ledger the flows.
    """

    def __init__(self) -> None:
        self.flows: dict[str, FlowDefinition] = {}
        self._starts: dict[EventName, FlowDefinition] = {}

    def install(self, flows: Sequence[FlowDefinition], starts: Mapping[EventName, str]) -> None:
        """Say which flows there are, and which event starts which."""
        self.flows = {flow.name: flow for flow in flows}
        self._starts = {event: self.flows[name] for event, name in starts.items()}

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
