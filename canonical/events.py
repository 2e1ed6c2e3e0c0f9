"""The event taxonomy: what may be published, in one table.

A type is `org.suture.<event>.v<version>` (CloudEvents 1.0 `type`, reverse-DNS). Subscriptions,
AsyncAPI, the outbox and its subscribers read this table; nothing is published that is not in it.
An event without a payload is planned: its producer does not exist yet, and nobody can get it.

Criticality says how soon somebody has to know: `safety` within a case, `operations` within the day,
`record` for the books. Data classes are those of access: `supply` and `financial`, never `phi`.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from canonical import published as p
from canonical import published_trade as t
from canonical.errors import InvalidRequest

PREFIX: Final = "org.suture."

Criticality = Literal["safety", "operations", "record"]
OutwardClass = Literal["supply", "financial"]


class EventKind(msgspec.Struct, frozen=True):
    """One row of the taxonomy; `row` is the inventory's id, `producer` the flow that tells it."""

    row: str
    name: str
    title: str
    producer: str
    criticality: Criticality
    data_class: OutwardClass
    payload: type[p.Published] | None
    version: int = 1

    @property
    def type(self) -> str:
        return f"{PREFIX}{self.name}.v{self.version}"

    @property
    def planned(self) -> bool:
        return self.payload is None


_TASKS: Final = "ledger (any task)"
_USAGE: Final = "usage-to-replenishment"
_ORDER: Final = "order-to-receipt"
_BUY: Final = "requisition-to-order"

TAXONOMY: tuple[EventKind, ...] = (
    EventKind(
        "EVT-01", "order.placed", "Order placed", _BUY, "operations", "supply", t.OrderPlaced
    ),
    EventKind(
        "EVT-02",
        "item.received",
        "Item received",
        "receiving",
        "operations",
        "supply",
        t.ItemReceived,
    ),
    EventKind(
        "EVT-03", "item.consumed", "Item consumed", _USAGE, "operations", "supply", p.ItemConsumed
    ),
    EventKind(
        "EVT-04",
        "charge.eligible",
        "Charge eligible",
        _USAGE,
        "operations",
        "financial",
        p.ChargeEligible,
    ),
    EventKind(
        "EVT-05",
        "invoice.matched",
        "Invoice matched",
        "invoice-matching",
        "record",
        "financial",
        t.InvoiceMatched,
    ),
    EventKind(
        "EVT-05",
        "invoice.rejected",
        "Invoice rejected",
        "invoice-matching",
        "record",
        "financial",
        t.InvoiceRejected,
    ),
    EventKind(
        "EVT-06",
        "exception.escalated",
        "Exception escalated",
        _TASKS,
        "operations",
        "supply",
        p.TaskRaised,
    ),
    EventKind(
        "EVT-06",
        "decision.overdue",
        "Decision overdue",
        _TASKS,
        "operations",
        "supply",
        p.DecisionOverdue,
    ),
    EventKind(
        "EVT-07",
        "case.scheduled",
        "Case scheduled",
        "case-demand",
        "safety",
        "supply",
        p.CaseScheduled,
    ),
    EventKind(
        "EVT-08",
        "procedure.usage",
        "Procedure usage",
        _USAGE,
        "operations",
        "supply",
        p.ProcedureUsage,
    ),
    EventKind(
        "EVT-09",
        "medication.administered",
        "Medication administered",
        "a pharmacy feed",
        "safety",
        "supply",
        None,
    ),
    EventKind(
        "EVT-10",
        "patient.discharged",
        "Patient discharged",
        "an ADT feed",
        "operations",
        "supply",
        None,
    ),
    EventKind(
        "EVT-11",
        "inventory.moved",
        "Inventory moved",
        f"{_USAGE}, usage-reversal, receiving",
        "operations",
        "supply",
        p.InventoryMoved,
    ),
    EventKind(
        "EVT-12",
        "order.acknowledged",
        "Order acknowledged",
        _ORDER,
        "operations",
        "supply",
        t.OrderAcknowledged,
    ),
    EventKind(
        "EVT-12", "order.shipped", "Order shipped", _ORDER, "operations", "supply", t.OrderShipped
    ),
    EventKind("EVT-12", "order.closed", "Order closed", _ORDER, "record", "supply", t.OrderClosed),
    EventKind(
        "EVT-13",
        "approval.decided",
        "Approval decided",
        _BUY,
        "operations",
        "supply",
        t.ApprovalDecided,
    ),
    EventKind(
        "EVT-13",
        "decision.requested",
        "Decision requested",
        _TASKS,
        "operations",
        "supply",
        p.TaskRaised,
    ),
    EventKind(
        "EVT-13",
        "requisition.raised",
        "Requisition raised",
        f"case-demand, {_USAGE}",
        "operations",
        "supply",
        t.RequisitionRaised,
    ),
    EventKind(
        "EVT-14",
        "workforce.updated",
        "Workforce update",
        "a workforce connector",
        "record",
        "supply",
        None,
    ),
    EventKind(
        "EVT-15",
        "claim.adjudicated",
        "Claim adjudicated",
        "a billing connector",
        "record",
        "financial",
        None,
    ),
    EventKind(
        "EVT-16",
        "supply.short",
        "Supply shortage",
        "case-demand",
        "safety",
        "supply",
        p.SupplyShortage,
    ),
    EventKind(
        "EVT-17",
        "operations.alert",
        "Operational alert",
        _TASKS,
        "operations",
        "supply",
        p.TaskRaised,
    ),
    EventKind(
        "EVT-18",
        "subscription.ping",
        "Test of a subscription",
        "a person",
        "record",
        "supply",
        p.Ping,
    ),
)

BY_TYPE: Mapping[str, EventKind] = MappingProxyType({kind.type: kind for kind in TAXONOMY})
AVAILABLE: tuple[EventKind, ...] = tuple(kind for kind in TAXONOMY if not kind.planned)

_BY_PAYLOAD: Mapping[type[p.Published] | None, EventKind] = MappingProxyType(
    {kind.payload: kind for kind in AVAILABLE if kind.payload is not p.TaskRaised}
)


def kind_of(payload: p.Published) -> EventKind:
    """Return the event that a payload tells. Tasks are told by the ledger itself, not by flows."""
    return _BY_PAYLOAD[type(payload)]


def wanted_types(names: Iterable[str]) -> tuple[str, ...]:
    """Return what a subscription names as whole types, or prefixes that end in `*`.

    `order.placed.v1` is one type, `order.placed` every version of it, `order.*` every event of
    orders, `*` all. Raises `InvalidRequest` for a name that nothing is published under.
    """
    return tuple(dict.fromkeys(_wanted(name.strip()) for name in names))


def _wanted(name: str) -> str:
    whole = name if name.startswith(PREFIX) else PREFIX + name
    wanted = whole if whole in BY_TYPE or whole.endswith("*") else f"{whole}.*"
    prefix = wanted.removesuffix("*")
    known = any(
        kind.type == wanted if wanted == prefix else kind.type.startswith(prefix)
        for kind in AVAILABLE
    )
    if not known or "*" in prefix:
        raise InvalidRequest(
            "no event is published under this name",
            where="$.types",
            expected=", ".join(kind.name for kind in AVAILABLE),
        )
    return wanted
