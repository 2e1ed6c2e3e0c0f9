"""The timeline of operations: every hop in its business phase, nothing of the record lost."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest

import experience_apis.operations
from canonical.request import EventName
from canonical.task import TaskAction
from experience_apis.operations import views
from experience_apis.operations.views import TransactionView, transaction_list, transaction_view
from ledger.tasks import Task
from ledger.traces import FlowState, Hop, TransactionRow, TransactionTrace

BEGAN = datetime(2026, 5, 12, 7, 41, tzinfo=UTC)
CONSOLE = Path(experience_apis.operations.__file__).parent / "console"
AUDIT = CONSOLE.parent.parent / "security" / "console"
PAGES = {"/console": CONSOLE, "/console/audit": AUDIT}
FILES = sorted(file for folder in PAGES.values() for file in folder.iterdir())
SCRIPTS = [file for file in FILES if file.suffix == ".js"]


def a_hop(seq: int = 1, **facts: str) -> Hop:
    flow = facts.pop("flow", None)
    told = {"name": "something", "kind": "ask", "system": "ERP", "outcome": "done"}
    told |= {"actor": "", "why": ""}
    return Hop(
        seq=seq,
        at=BEGAN + timedelta(seconds=seq),
        versions={"flow": f"{flow}/1"} if flow else {},
        milliseconds=12.5,
        **(told | facts),
    )


def a_flow(name: str, status: str = "done", waits_for: str = "") -> FlowState:
    return FlowState(
        id=f"flow_{name}",
        name=name,
        version="1",
        status=status,
        attempts=0,
        started_at=BEGAN,
        waits_for=waits_for,
    )


def a_task(*actions: TaskAction, status: str = "open") -> Task:
    return Task(
        id="task_1",
        kind="decision",
        reason="price-changed",
        subject="4500000001",
        title="Another price",
        detail="",
        affected="",
        fix="",
        owner="procurement",
        actions=actions,
        status=status,
        raised_at=BEGAN,
    )


def told(*hops: Hop, flows: tuple[FlowState, ...] = (), tasks: tuple[Task, ...] = ()):
    trace = TransactionTrace(
        id="tx_1",
        title="Usage: 1 item(s) at OR-3",
        status="open",
        opened_at=BEGAN,
        changed_at=BEGAN,
        references=(("order", "4500000001"),),
        flows=flows,
        hops=hops,
    )
    return transaction_view(trace, tasks)


def as_json(shown: msgspec.Struct):
    return msgspec.json.decode(msgspec.json.encode(shown))


def state_of(view: TransactionView, phase: str) -> str:
    return next(one.state for one in view.phases if one.phase == phase)


@pytest.mark.parametrize(
    ("facts", "phase"),
    [
        ({"kind": "message", "why": "item-used", "system": "EHR^NORTH"}, "clinical"),
        ({"kind": "message", "why": "case-scheduled", "system": "EHR^NORTH"}, "clinical"),
        ({"kind": "effect", "flow": "usage-to-replenishment"}, "stock"),
        ({"kind": "ask", "flow": "case-demand"}, "stock"),
        ({"kind": "disclose", "flow": "usage-to-replenishment"}, "stock"),
        (
            {"kind": "announce", "flow": "usage-to-replenishment", "why": "requisition-raised"},
            "requisition",
        ),
        ({"kind": "effect", "flow": "requisition-to-order"}, "requisition"),
        ({"kind": "announce", "flow": "requisition-to-order", "why": "order-placed"}, "order"),
        ({"kind": "wait", "flow": "order-to-receipt", "why": "syntax-verdict, came …"}, "order"),
        ({"kind": "message", "why": "order-acknowledged", "system": "SUP-1"}, "order"),
        ({"kind": "message", "why": "shipment-notified", "system": "SUP-1"}, "order"),
        ({"kind": "message", "why": "goods-received", "system": "dock"}, "receipt"),
        ({"kind": "effect", "flow": "receiving"}, "receipt"),
        ({"kind": "message", "why": "invoice-received", "system": "SUP-1"}, "invoice"),
        ({"kind": "decide", "flow": "invoice-matching"}, "invoice"),
        ({"kind": "retry", "flow": "receiving", "outcome": "upstream-failed"}, "exceptions"),
        ({"kind": "task", "flow": "receiving", "outcome": "unknown-item"}, "exceptions"),
        ({"kind": "task", "flow": "order-to-receipt", "outcome": "overdue"}, "exceptions"),
        ({"kind": "task", "flow": "order-to-receipt"}, "exceptions"),
        ({"kind": "approval", "flow": "invoice-matching", "outcome": "accept"}, "exceptions"),
        ({"kind": "wait", "flow": "order-to-receipt", "why": "task-resolved, …"}, "exceptions"),
        ({"kind": "effect", "flow": "not-heard-of", "system": "EDI"}, "order"),
        ({"kind": "message", "why": "not-heard-of", "system": "EHR"}, "clinical"),
    ],
)
def test_a_hop_stands_in_the_phase_of_its_business(facts: dict[str, str], phase: str):
    assert told(a_hop(**facts)).hops[0].phase == phase


@pytest.mark.parametrize(
    ("facts", "phase"),
    [
        ({"kind": "task"}, "requisition"),
        ({"kind": "approval", "outcome": "approve"}, "requisition"),
        ({"kind": "wait", "why": "task-resolved, came …"}, "requisition"),
        ({"kind": "task", "outcome": "budget-exceeded"}, "exceptions"),
        ({"kind": "task", "outcome": "retry"}, "exceptions"),
    ],
)
def test_an_approval_is_the_ordinary_way_and_a_stuck_requisition_is_not(
    facts: dict[str, str], phase: str
):
    assert told(a_hop(flow="requisition-to-order", **facts)).hops[0].phase == phase


def test_a_resolved_task_is_placed_by_its_flow_even_without_versions():
    hop = msgspec.structs.replace(
        a_hop(kind="approval", outcome="approve"), flow="flow_requisition-to-order"
    )
    view = told(hop, flows=(a_flow("requisition-to-order"),))
    assert view.hops[0].phase == "requisition"


def test_every_event_has_a_phase():
    assert set(views._OF_EVENT) == set(get_args(EventName))


@pytest.mark.parametrize(
    ("kind", "outcome", "tone"),
    [
        ("effect", "done", "done"),
        ("retry", "upstream-timeout", "trouble"),
        ("task", "unknown-item", "trouble"),
        ("task", "done", "done"),
        ("task", "abandon", "decided"),
        ("approval", "approve", "decided"),
    ],
)
def test_trouble_and_decisions_stand_out(kind: str, outcome: str, tone: str):
    assert told(a_hop(kind=kind, outcome=outcome)).hops[0].tone == tone


def test_nothing_of_the_record_is_lost():
    hop = msgspec.structs.replace(
        a_hop(flow="receiving", actor="dock", why="because"),
        flow="flow_receiving",
        message="msg_1",
        input=msgspec.Raw(b'{"order":"1"}'),
        output=msgspec.Raw(b'{"document":"2"}'),
    )
    flow = msgspec.structs.replace(a_flow("receiving"), result=msgspec.Raw(b'{"lines":[]}'))
    task = a_task("accept", status="resolved")
    shown = as_json(told(hop, flows=(flow,), tasks=(task,)))
    for record, view in ((hop, "hops"), (flow, "flows"), (task, "tasks")):
        assert shown[view][0] | as_json(record) == shown[view][0]


def test_the_business_phases_are_always_told_in_order_and_exceptions_only_when_there_are_any():
    business = ["clinical", "stock", "requisition", "order", "receipt", "invoice"]
    assert [phase.phase for phase in told(a_hop()).phases] == business
    troubled = told(a_hop(kind="retry", outcome="upstream-failed"))
    assert [phase.phase for phase in troubled.phases] == [*business, "exceptions"]


def test_a_phase_knows_its_hops_its_time_and_its_work():
    view = told(
        a_hop(1, flow="receiving"), a_hop(2, flow="order-to-receipt"), a_hop(3, flow="receiving")
    )
    receipt = view.phases[4]
    assert (receipt.title, receipt.hops, receipt.milliseconds) == ("Receipt", (1, 3), 25.0)
    assert receipt.first_at == BEGAN + timedelta(seconds=1)
    assert receipt.last_at == BEGAN + timedelta(seconds=3)


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (["ready"], "running"),
        (["waiting", "ready"], "waiting"),
        (["done", "stuck", "waiting"], "stuck"),
        (["done", "abandoned"], "done"),
    ],
)
def test_a_phase_stands_where_its_most_pressing_flow_stands(statuses: list[str], state: str):
    flows = tuple(a_flow("order-to-receipt", status) for status in statuses)
    assert state_of(told(a_hop(flow="order-to-receipt"), flows=flows), "order") == state


def test_a_phase_without_hops_and_flows_is_still_ahead():
    assert state_of(told(a_hop(kind="message", why="item-used")), "invoice") == "ahead"


@pytest.mark.parametrize(("status", "state"), [("open", "stuck"), ("resolved", "done")])
def test_exceptions_need_a_person_as_long_as_a_task_is_open(status: str, state: str):
    hop = a_hop(kind="task", flow="order-to-receipt", outcome="overdue")
    assert state_of(told(hop, tasks=(a_task("retry", status=status),)), "exceptions") == state


def test_a_waiting_flow_says_for_what_and_in_which_phase():
    flow = told(flows=(a_flow("order-to-receipt", "waiting", "997 from the supplier"),)).flows[0]
    assert (flow.waits_for, flow.phase) == ("997 from the supplier", "order")


def test_giving_something_up_needs_a_reason():
    task = told(tasks=(a_task("accept", "reject", "abandon"),)).tasks[0]
    assert task.reason_needed == ("reject", "abandon")


def some_rows(count: int) -> list[TransactionRow]:
    return [
        TransactionRow(
            id=f"tx_{9 - number}",
            title="Usage",
            status="done",
            opened_at=BEGAN,
            changed_at=BEGAN,
            hops=1,
            open_tasks=0,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("rows", "shown", "following"), [(0, 0, None), (2, 2, None), (3, 3, None), (4, 3, "tx_7")]
)
def test_a_page_says_where_the_next_one_begins(rows: int, shown: int, following: str | None):
    page = transaction_list(some_rows(rows), 3)
    assert (len(page.items), page.next) == (shown, following)


@pytest.mark.parametrize("file", SCRIPTS, ids=str)
def test_a_script_never_makes_markup_or_code_out_of_text(file: Path):
    dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
    assert re.findall(dangerous, file.read_text()) == []


@pytest.mark.parametrize("folder", PAGES.values(), ids=PAGES)
def test_a_page_brings_its_own_files_and_nothing_inline(folder: Path):
    page = (folder / "index.html").read_text()
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", page) == []
    files = set(re.findall(r'(?:src|href)="([^"#]+)"', page)) - PAGES.keys()
    assert files
    for file in files:
        place, _, name = file.rpartition("/")
        assert (PAGES[place] / name).is_file(), file


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_of_the_page_can_be_read_in_one_sitting(file: Path):
    assert len(file.read_text().splitlines()) <= 300
