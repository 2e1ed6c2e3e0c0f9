"""The rows of what is waited for, promised and asked: each may have a deadline."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from canonical.deadline import Deadline
from canonical.task import TaskDraft


class AwaitedRow(NamedTuple):
    """What a flow waits for, and the terms of its deadline."""

    flow_id: str
    name: str
    event: str
    key: str
    due_at: datetime | None
    affected: str
    deadline: str = ""
    tier: str = ""
    owner: str = ""
    fix: str = ""


class DeadlineRow(NamedTuple):
    """Something a flow promised: kept with the step named `until`, or when the flow ends."""

    flow_id: str
    name: str
    kind: str
    tier: str
    until: str
    due_at: datetime
    affected: str
    owner: str
    fix: str


class TaskRow(NamedTuple):
    id: str
    transaction_id: str | None
    flow_id: str | None
    message_id: str | None
    kind: str
    reason: str
    subject: str
    title: str
    detail: str
    affected: str
    fix: str
    owner: str
    actions: list[str]
    deadline: str = ""
    tier: str = ""
    due_at: datetime | None = None

    @classmethod
    def from_draft(
        cls,
        task: str,
        draft: TaskDraft,
        kind: str,
        *,
        transaction: str | None = None,
        flow: str | None = None,
        message: str | None = None,
    ) -> "TaskRow":
        """Return the row of a drafted task."""
        return cls(
            task,
            transaction,
            flow,
            message,
            kind,
            draft.reason,
            draft.subject,
            draft.title,
            draft.detail,
            draft.affected,
            draft.fix,
            draft.owner,
            list(draft.actions),
        )


def awaited_rows(
    row: AwaitedRow, events: Iterable[str], within: timedelta | Deadline | None, now: datetime
) -> list[AwaitedRow]:
    """Return the rows of one wait for any of these events."""
    if isinstance(within, Deadline):
        row = row._replace(
            due_at=now + within.within,
            affected=within.affected,
            deadline=within.kind,
            tier=within.tier,
            owner=within.owner,
            fix=within.fix,
        )
    elif within is not None:
        row = row._replace(due_at=now + within)
    return [row._replace(event=event) for event in events]


def promised_row(flow: str, name: str, due: Deadline, until: str, now: datetime) -> DeadlineRow:
    """Return the row of a promise made now."""
    terms = (due.affected, due.owner, due.fix)
    return DeadlineRow(flow, name, due.kind, due.tier, until, now + due.within, *terms)


def with_deadline(row: TaskRow, due: Deadline | None, now: datetime) -> TaskRow:
    """Return a question as it stands when it has to be answered in time."""
    if due is None:
        return row
    return row._replace(deadline=due.kind, tier=due.tier, due_at=now + due.within)
