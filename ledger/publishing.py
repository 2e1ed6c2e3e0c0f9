"""What a flow says to subscribers outside."""

from collections.abc import Sequence

from canonical.events import kind_of
from canonical.published import Published
from ledger.catalogue import encoded
from ledger.flow_run import FlowRun
from ledger.ids import derived_id
from ledger.rows import OutboxRow


def publish(run: FlowRun, told: Sequence[Published], subject: str) -> None:
    """Publish these events once, in the commit of the run's next record.

    What was recorded before is on disk: whoever resumes this flow comes by here again. A flow that
    is being undone says nothing new.
    """
    name, known = run.recall(published_name(told, subject))
    if known is not None:
        return
    run.stop_at_the_end_of_the_records()
    flow, names = run.flow, list[str]()
    for payload in told:
        kind = kind_of(payload)
        names.append(kind.name)
        run.pending.append(
            OutboxRow(
                derived_id("evt", flow.id, name, kind.type),
                flow.transaction,
                kind.type,
                subject,
                encoded(payload),
                payload.facility,
                kind.data_class,
                flow.message or flow.id,
            )
        )
    run.remember_note(name, "publish", ", ".join(names))


def published_name(told: Sequence[Published], subject: str) -> str:
    """Return the name of the step that tells these events."""
    return f"publish {kind_of(told[0]).name} {subject}"
