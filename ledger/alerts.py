"""An alert: one task for security, however often it is noticed within its window."""

from datetime import datetime
from functools import partial
from typing import NamedTuple

from canonical.task import TaskDraft
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.due_rows import TaskRow
from ledger.ids import derived_id
from ledger.rows import lock_number
from ledger.writer import Act

KIND = "alert"
OWNER = "security"

_RAISED = """
select exists (select 1 from task where kind = 'alert' and reason = $1 and subject = $2
               and raised_at > now() - make_interval(secs => $3))"""


class Alert(NamedTuple):
    """What was noticed: a pattern, who or what it is about, and within how many seconds it is one
    and the same alert.
    """

    pattern: str
    subject: str
    title: str
    detail: str
    fix: str
    seconds: float


def alerting(alert: Alert, at: datetime) -> Act:
    """Return the act that raises the task, unless there is one of this window; it answers whether
    it did.
    """
    return Act(partial(_raise, alert, at), (lock_number(KIND, alert.pattern, alert.subject),))


async def _raise(alert: Alert, at: datetime, batch: Batch) -> bool:
    if await batch.connection.fetchval(_RAISED, alert.pattern, alert.subject, alert.seconds):
        return False
    window = int(at.timestamp() // alert.seconds)
    task = derived_id("task", KIND, alert.pattern, alert.subject, str(window))
    draft = TaskDraft(
        reason=alert.pattern,
        title=alert.title,
        detail=alert.detail,
        owner=OWNER,
        actions=("acknowledge",),
        subject=alert.subject,
        fix=alert.fix,
    )
    batch.rows.append(TaskRow.from_draft(task, draft, KIND))
    batch.evidence.append(
        Evidence(
            kind=KIND,
            actor="suture",
            action=f"alert: {alert.pattern}",
            outcome="raised",
            object=task,
            detail={"about": alert.subject, "noticed": alert.detail},
        )
    )
    return True
