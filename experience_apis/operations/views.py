"""What the operations console shows: transactions as lines, and one as a timeline in phases.

The record is read by attribute (`ledger.traces`, `ledger.tasks`), because views know no ledger. All
raw fields of a hop stay: the phase only says where in the business story it belongs.

    phase         a hop is there because of
    exceptions    what went wrong or late, and what people did about it
    clinical      a case or usage that was reported
    stock         case-demand, usage-to-replenishment
    requisition   requisition-to-order, a person's approval included
    order         order-to-receipt, and what the supplier sends
    receipt       receiving
    invoice       invoice-matching
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, get_args

import msgspec

from canonical.task import Resolution, TaskAction

Phase = Literal["clinical", "stock", "requisition", "order", "receipt", "invoice", "exceptions"]
PhaseState = Literal["ahead", "running", "waiting", "stuck", "done"]
Tone = Literal["done", "trouble", "decided"]

_TITLES: dict[Phase, str] = {
    "clinical": "Clinical event",
    "stock": "Stock and cost",
    "requisition": "Requisition and approval",
    "order": "Order and supplier",
    "receipt": "Receipt",
    "invoice": "Invoice",
    "exceptions": "Exceptions",
}
_OF_FLOW: dict[str, Phase] = {
    "case-demand": "stock",
    "usage-to-replenishment": "stock",
    "requisition-to-order": "requisition",
    "order-to-receipt": "order",
    "receiving": "receipt",
    "invoice-matching": "invoice",
}
_OF_EVENT: dict[str, Phase] = {
    "case-scheduled": "clinical",
    "item-used": "clinical",
    "nothing-used": "clinical",
    "usage-reversed": "clinical",
    "charge-credited": "stock",
    "order-change-answered": "order",
    "charge-eligible": "stock",
    "requisition-raised": "requisition",
    "order-placed": "order",
    "syntax-verdict": "order",
    "order-acknowledged": "order",
    "shipment-notified": "order",
    "goods-received": "receipt",
    "receipt-posted": "receipt",
    "invoice-received": "invoice",
    "invoice-matched": "invoice",
}
# For hops of a flow or event that this page has not heard of.
_OF_SYSTEM: dict[str, Phase] = {"EHR": "clinical", "EDI": "order"}
_ELSEWHERE: Phase = "stock"

_ACTIONS: tuple[str, ...] = get_args(TaskAction)
_NEED_REASON: frozenset[TaskAction] = frozenset(("abandon", "decline", "reject"))


class TransactionLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of the list. `status` is open, attention (a task is open) or done."""

    id: str
    title: str
    status: str
    opened_at: datetime
    changed_at: datetime
    hops: int
    open_tasks: int


class TransactionList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of transactions, newest first; `next` goes into `before` to read on."""

    items: tuple[TransactionLine, ...]
    next: str | None = None


class HopView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One hop as the ledger has it, with its `phase` and whether it means `trouble`."""

    seq: int
    at: datetime
    name: str
    kind: str
    system: str
    outcome: str
    versions: dict[str, str]
    actor: str
    why: str
    milliseconds: float
    flow: str | None = None
    message: str | None = None
    input: msgspec.Raw
    output: msgspec.Raw
    phase: Phase = _ELSEWHERE
    tone: Tone = "done"


class FlowView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where one flow stands, and what it waits for."""

    id: str
    name: str
    version: str
    status: str
    attempts: int
    started_at: datetime
    waits_for: str = ""
    ended_at: datetime | None = None
    result: msgspec.Raw
    phase: Phase = _ELSEWHERE


class TaskView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task; `reason_needed` are the actions that are refused without a reason."""

    id: str
    kind: str
    reason: str
    subject: str
    title: str
    detail: str
    affected: str
    fix: str
    owner: str
    actions: tuple[TaskAction, ...]
    status: str
    raised_at: datetime
    transaction: str | None = None
    flow: str | None = None
    message: str | None = None
    resolved_at: datetime | None = None
    resolution: Resolution | None = None
    tier: str = ""
    due_at: datetime | None = None
    escalated_at: datetime | None = None
    resolution_seconds: float | None = None
    reason_needed: tuple[TaskAction, ...] = ()


class PhaseView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One phase: its hops by `seq`, when it ran, the time its hops took, and how it stands."""

    phase: Phase
    title: str
    state: PhaseState
    hops: tuple[int, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None
    milliseconds: float = 0.0


class TransactionView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A transaction, whole. `phases` has the business phases in order, also those still ahead."""

    id: str
    title: str
    status: str
    opened_at: datetime
    changed_at: datetime
    references: tuple[tuple[str, str], ...]
    flows: tuple[FlowView, ...]
    hops: tuple[HopView, ...]
    phases: tuple[PhaseView, ...] = ()
    tasks: tuple[TaskView, ...] = ()


def transaction_list(rows: Sequence[msgspec.Struct], limit: int) -> TransactionList:
    """Return a page of `limit` lines; a row more than that says that there is a next page."""
    lines = msgspec.convert(rows, tuple[TransactionLine, ...], from_attributes=True)
    more = len(lines) > limit > 0
    return TransactionList(items=lines[:limit], next=lines[limit - 1].id if more else None)


def transaction_view(trace: msgspec.Struct, tasks: Iterable[msgspec.Struct]) -> TransactionView:
    """Return the timeline of a `TransactionTrace` with its tasks."""
    told = msgspec.convert(trace, TransactionView, from_attributes=True)
    flow_names = {flow.id: flow.name for flow in told.flows}
    hops = tuple(_placed(hop, _flow_name(hop, flow_names)) for hop in told.hops)
    shown = tuple(_task_view(task) for task in tasks)
    phases = _phases(hops, told.flows, open_tasks=any(task.status == "open" for task in shown))
    flows = tuple(
        msgspec.structs.replace(flow, phase=_OF_FLOW.get(flow.name, _ELSEWHERE))
        for flow in told.flows
    )
    return msgspec.structs.replace(told, hops=hops, flows=flows, tasks=shown, phases=phases)


def _placed(hop: HopView, flow: str) -> HopView:
    return msgspec.structs.replace(hop, phase=_phase(hop, flow), tone=_tone(hop))


def _task_view(task: msgspec.Struct) -> TaskView:
    view = msgspec.convert(task, TaskView, from_attributes=True)
    needed = tuple(action for action in view.actions if action in _NEED_REASON)
    return msgspec.structs.replace(view, reason_needed=needed)


def _flow_name(hop: HopView, names: dict[str, str]) -> str:
    return names.get(hop.flow or "") or hop.versions.get("flow", "").partition("/")[0]


def _tone(hop: HopView) -> Tone:
    if hop.kind in ("approval", "task") and hop.outcome in _ACTIONS:
        return "decided"
    return "trouble" if hop.kind in ("retry", "task") and hop.outcome != "done" else "done"


def _phase(hop: HopView, flow: str) -> Phase:
    event = hop.why.partition(",")[0]
    if hop.kind in ("task", "approval", "retry") or event == "task-resolved":
        # An approval above the threshold is the ordinary way; every other question is a deviation.
        ordinary = hop.kind != "retry" and (hop.kind != "task" or hop.outcome == "done")
        asked = ordinary and flow == "requisition-to-order"
        return "requisition" if asked else "exceptions"
    if hop.kind in ("message", "announce") and event in _OF_EVENT:
        return _OF_EVENT[event]
    return _OF_FLOW.get(flow) or _OF_SYSTEM.get(hop.system, _ELSEWHERE)


def _phases(
    hops: Sequence[HopView], flows: Sequence[FlowView], *, open_tasks: bool
) -> tuple[PhaseView, ...]:
    told: dict[Phase, list[HopView]] = {phase: [] for phase in _TITLES}
    for hop in hops:
        told[hop.phase].append(hop)
    views = list[PhaseView]()
    for phase, own in told.items():
        if phase == "exceptions":
            if own:
                views.append(_phase_view(phase, own, "stuck" if open_tasks else "done"))
            continue
        stands = {flow.status for flow in flows if _OF_FLOW.get(flow.name) == phase}
        views.append(_phase_view(phase, own, _state(stands, begun=bool(own))))
    return tuple(views)


def _state(stands: set[str], *, begun: bool) -> PhaseState:
    if "stuck" in stands:
        return "stuck"
    if "waiting" in stands:
        return "waiting"
    if "ready" in stands:
        return "running"
    return "done" if begun else "ahead"


def _phase_view(phase: Phase, hops: Sequence[HopView], state: PhaseState) -> PhaseView:
    return PhaseView(
        phase=phase,
        title=_TITLES[phase],
        state=state,
        hops=tuple(hop.seq for hop in hops),
        first_at=hops[0].at if hops else None,
        last_at=hops[-1].at if hops else None,
        milliseconds=round(sum(hop.milliseconds for hop in hops), 2),
    )
