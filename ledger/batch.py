"""One batch of the writer: what it adds up to, and the one call that writes it.

Arrivals and acts say first what they want written; the records of flows come with their fences.
A write whose flow has been taken over is left out, and the rest is written without it.
"""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import msgspec

from ledger.audit.evidence import completed
from ledger.audit_trail import AuditChain, Evidence
from ledger.database import Connection
from ledger.rows import (
    EntryRow,
    FenceRow,
    FlowRow,
    OutboxRow,
    QueueRow,
    Row,
    SignalRow,
    StepRow,
    TakenRow,
    keep_rows,
)

if TYPE_CHECKING:
    from asyncpg import Record

FlowStatus = Literal["queued", "ready", "waiting", "stuck", "done", "abandoned", "cancelled"]
ENDED = ("done", "abandoned", "cancelled")
CONTEXT = "contextToken"

Standing = Literal["kept", "cancel-wanted", "lease-lost"]
"""What became of a flow's write: kept; kept, and somebody wants the flow cancelled; refused."""


class LeaseLost(Exception):
    """Another worker owns this flow now: stop at once, write nothing more."""


class ClaimedFlow(msgspec.Struct, kw_only=True):
    """A flow under this worker's lease."""

    id: str
    transaction: str
    message: str | None
    name: str
    version: str
    key: str
    facts: str
    attempts: int
    crashes: int
    owner: str
    epoch: int
    cancel: str | None = None
    replay_of: str | None = None
    claimed_at: datetime = datetime.min.replace(tzinfo=UTC)
    asked_at: float = 0.0
    lease_ends: float = math.inf

    def database_time(self) -> datetime:
        """Return what the database's clock shows now: deadlines of all workers go by it."""
        return self.claimed_at + timedelta(seconds=time.monotonic() - self.asked_at)

    replay: str | None = None


class FlowWrite(msgspec.Struct, kw_only=True):
    """What one flow writes at one moment: rows, and where it stands afterwards. All of it or
    nothing.
    """

    flow: ClaimedFlow
    rows: list[Row]
    status: FlowStatus | None = None
    run_in: float = 0.0
    attempts: int = 0
    failure: str | None = None
    result: str | None = None
    taken_signal: int | None = None
    unwinding: bool = False

    def fence(self) -> FenceRow:
        flow = self.flow
        begun_anew = self.gets_on and (flow.attempts > 0 or flow.crashes > 0)
        touch = self.status is not None or begun_anew
        where = (self.status, self.run_in, self.attempts, self.failure, self.result)
        return FenceRow(flow.id, flow.owner, flow.epoch, touch, self.unwinding, *where)

    @property
    def gets_on(self) -> bool:
        """Whether a step is recorded: only then do the tries of the next one count from nothing."""
        return any(isinstance(row, StepRow) for row in self.rows)

    def standing_rows(self) -> Iterator[Row]:
        """Yield what follows from where the flow stands afterwards."""
        if self.taken_signal is not None:
            yield TakenRow(self.taken_signal, self.flow.id)
        if self.status in ENDED:
            yield QueueRow(self.flow.name, self.flow.key)

    @property
    def stops_waiting(self) -> bool:
        return self.taken_signal is not None or self.status in ENDED

    @property
    def wakes(self) -> bool:
        """Whether somebody may have something to do now."""
        return self.status in (*ENDED, "ready") or any(
            isinstance(row, FlowRow | SignalRow) for row in self.rows
        )

    def evidence(self) -> Iterator[Evidence]:
        facility = _place.decode(self.flow.facts).facility or ""
        for row in self.rows:
            if isinstance(row, EntryRow):
                yield _hop_evidence(self.flow, row, facility)
            elif isinstance(row, OutboxRow):
                yield Evidence(
                    kind="event",
                    actor=self.flow.name,
                    action=row.type,
                    outcome="published",
                    transaction=self.flow.transaction,
                    facility=row.facility,
                )


class Batch:
    """What one batch writes: rows and audit records of arrivals and acts, and writes of flows."""

    def __init__(self, connection: "Connection[Record]") -> None:
        self.connection = connection
        self.rows: list[Row] = []
        self.evidence: list[Evidence] = []
        self.writes: list[FlowWrite] = []
        self.wakes = False
        self.changed: set[str] = set()

    async def keep(self, chain: AuditChain) -> dict[int, Standing]:
        """Write everything under the chain's lock; return where each flow's write stands, by id."""
        writes = list(self.writes)
        while True:
            records = [*self.evidence, *(fact for write in writes for fact in write.evidence())]
            rows = [*self.rows, *chain.draw(records)]
            for write in writes:
                rows += (write.fence(), *write.rows, *write.standing_rows())
            held = await keep_rows(
                self.connection,
                rows,
                locks=(chain.lock,),
                over=[write.flow.id for write in writes if write.stops_waiting],
                asleep=[write.flow.id for write in writes if write.status == "waiting"],
            )
            if len(held) == len(writes):
                break
            writes = [writes[place] for place, _ in held]
        for write in writes:
            self.changed.add(write.flow.transaction)
            self.wakes = self.wakes or write.wakes
        wanted = {id(writes[place]) for place, cancelled in held if cancelled}
        return {id(write): "cancel-wanted" if id(write) in wanted else "kept" for write in writes}

    def complete(self, since: int, known: dict[str, str]) -> None:
        """Say of the records that were added since then on whose behalf that was."""
        if known:
            self.evidence[since:] = [completed(told, known) for told in self.evidence[since:]]

    async def flush(self) -> None:
        """Write the rows so far: the next look at the tables sees them."""
        rows, self.rows = self.rows, []
        await keep_rows(self.connection, rows)


@lru_cache(maxsize=256)
def _named_versions(versions: str) -> dict[str, str]:
    return msgspec.json.decode(versions, type=dict[str, str])


def _hop_evidence(flow: ClaimedFlow, row: EntryRow, facility: str) -> Evidence:
    disclosed = row.kind == "disclose"
    return Evidence(
        kind="access" if disclosed else "transformation",
        actor=row.actor or flow.name,
        action=row.hop,
        outcome=row.outcome,
        object=(_opened_context(row) if disclosed else "") or row.system,
        transaction=flow.transaction,
        detail=_named_versions(row.versions),
        purpose=row.why if disclosed else "",
        facility=facility,
    )


def _opened_context(row: EntryRow) -> str:
    """Return the token of the context that was opened: by it people ask who saw the patient."""
    return msgspec.json.decode(row.input or "{}", type=_Opened).context_token


class _Opened(msgspec.Struct):
    context_token: str = msgspec.field(name=CONTEXT, default="")


class _Place(msgspec.Struct):
    facility: str | None = None


_place = msgspec.json.Decoder(_Place)
