"""One run of one flow under one lease: what is recorded, what is in hand, and how it is written
down.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from canonical.clock import Clock
from canonical.context import PatientContext
from canonical.errors import Failure, NotFound
from ledger.batch import CONTEXT, ClaimedFlow, FlowStatus, FlowWrite, LeaseLost, Standing
from ledger.catalogue import Catalogue, FlowDefinition, encoded
from ledger.crowds import Crowds
from ledger.database import Database
from ledger.former import earlier_key_note
from ledger.provenance import destination_of, parameter_names, system_of, versions_of
from ledger.rows import EntryRow, Row, StepRow
from ledger.settings import LedgerSettings
from ledger.step_journal import StepJournal
from ledger.vault import Vault
from ledger.writer import Writer

if TYPE_CHECKING:
    from asyncpg import Record


class Suspended(Exception):
    """The flow sleeps: its wait is written down, its coroutine ends here and runs again when
    woken.
    """


class CancelWanted(Exception):
    """Somebody wants the flow cancelled: it goes no further, and what it did is undone."""


class Rewound(Exception):
    """The records of a flow that is being undone end here."""


class Undo(NamedTuple):
    """What takes back one recorded step; `run` is told the step's own name. `in_doubt`: nobody
    knows whether the step happened.
    """

    name: str
    run: Callable[[str], Awaitable[None]]
    in_doubt: bool = False


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What every run shares."""

    database: Database
    writer: Writer
    journal: StepJournal
    catalogue: Catalogue
    vault: Vault
    clock: Clock
    settings: LedgerSettings
    crowds: Crowds


class FlowRun:
    """The state of one run. `pending` rows go into the next write.

    While it is `rewinding`, what is recorded is told again to find what there is to undo; after
    that it is `unwinding`.
    """

    def __init__(
        self,
        platform: Platform,
        flow: ClaimedFlow,
        definition: FlowDefinition,
        steps: "list[Record]",
    ) -> None:
        self.flow = flow
        self.definition = definition
        self.catalogue = platform.catalogue
        self.now = platform.clock
        self.pending: list[Row] = []
        self.rewinding = self.unwinding = flow.cancel is not None
        self.undos: list[Undo] = []
        self.line = frozenset((flow.id,))
        self.keys: dict[str, str] = {}
        self.at = ""
        self.outside = False
        self.has_effects = any(row["kind"] in ("effect", "disclose", "announce") for row in steps)
        self._platform = platform
        self._recorded: dict[str, bytes] = {
            row["name"]: str(row["output"]).encode() for row in steps
        }
        self._number = max((row["number"] for row in steps), default=0)
        self._told: dict[str, int] = {}
        self._signal: int | None = None

    def recall(self, name: str) -> tuple[str, bytes | None]:
        """Return the step's own name (a second «stock» is «stock #2») and its record."""
        own = self.next_name(name)
        self._told[name] = self._told.get(name, 0) + 1
        known = self._recorded.get(own)
        if known is None:
            self.at = own
        return own, known

    def next_name(self, name: str) -> str:
        """Return what the next step of that name is called."""
        count = self._told.get(name, 0) + 1
        return name if count == 1 else f"{name} #{count}"

    def stop_at_the_end_of_the_records(self) -> None:
        """Raise `Rewound` where the run only looks for what there is to undo."""
        if self.rewinding:
            raise Rewound

    def key(self, name: str) -> str:
        """Return the idempotency key of an effect: the same on every try. In a replay it may be
        that of the flow that did it.
        """
        return self.keys.get(name) or f"{self.flow.id}/{name}"

    async def call(
        self, call: Callable[..., Awaitable[Any]], args: tuple[Any, ...], **more: Any
    ) -> Any:
        """Be outside: one of so many calls that this worker has open to that destination."""
        if time.monotonic() > self.flow.lease_ends:  # it slept, and somebody else may be at it
            raise LeaseLost
        crowds, destination = self._platform.crowds, destination_of(call, args)
        crowds.enter(destination)
        self.outside = True
        try:
            return await call(*args, **more)
        finally:
            self.outside = False
            crowds.leave(destination)

    def remember(
        self,
        name: str,
        kind: str,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        result: Any,
        began: float,
    ) -> None:
        """Keep a finished step in hand, with its hop."""
        output = encoded(result)
        named = dict(zip(parameter_names(call), args, strict=False))
        self._keep(name, kind, output)
        flow = self.flow
        self.pending.append(
            EntryRow(
                flow.transaction,
                name,
                kind,
                system_of(call, kind),
                self.now(),
                flow_id=flow.id,
                input=encoded(named),
                output=output,
                versions=versions_of(call, kind, self._flow_version),
                why=earlier_key_note(self.keys[name]) if name in self.keys else "",
                milliseconds=(time.perf_counter() - began) * 1e3,
            )
        )

    def remember_hop(self, name: str, kind: str, system: str, known: str, **hop: Any) -> None:
        """Keep a step that is not told anew, with what its hop says."""
        self._keep(name, kind, known)
        self.pending.append(self._hop(name, kind, system)._replace(**hop))

    def remember_signal(self, name: str, signal: "Record", *, actor: str = "") -> None:
        """Keep what was waited for, with its event; the signal is taken in the same write."""
        facts, event = str(signal["facts"]), str(signal["event"])
        self._signal = int(signal["id"])
        self._keep(name, "wait", f'{{"event":"{event}","facts":{facts}}}')
        came = signal["at"].isoformat(timespec="milliseconds")
        hop = self._hop(name, "wait", "outside")
        self.pending.append(hop._replace(output=facts, actor=actor, why=f"{event}, came {came}"))

    def is_recorded(self, name: str) -> bool:
        return name in self._recorded

    def recorded(self, name: str) -> bytes:
        """Return a step that is known to be recorded."""
        return self._recorded[name]

    def remember_found(self, name: str, output: str) -> None:
        """Keep what was read from the ledger itself."""
        self._keep(name, "ask", output)
        self.pending.append(self._hop(name, "ask", "ledger")._replace(output=output))

    def remember_claim(self, name: str, output: str) -> None:
        """Keep whose a name is; a person's «retry» asks again."""
        self._keep(name, "ask", output)

    def remember_note(self, name: str, kind: str, why: str) -> None:
        """Keep that something was said, with its hop."""
        self._keep(name, kind, "true")
        self.pending.append(self._hop(name, kind, "ledger")._replace(why=why))

    def tell(self, hop: str, kind: str, system: str, why: str, outcome: str = "done") -> None:
        """Add a hop that is no step."""
        self.pending.append(self._hop(hop, kind, system)._replace(why=why, outcome=outcome))

    @property
    def settings(self) -> LedgerSettings:
        return self._platform.settings

    @property
    def _flow_version(self) -> str:
        return f"{self.flow.name}/{self.flow.version}"

    def _keep(self, name: str, kind: str, output: str) -> None:
        self._number += 1
        self.pending.append(StepRow(self.flow.id, name, self._number, kind, output))
        self._recorded[name] = output.encode()

    def _hop(self, hop: str, kind: str, system: str) -> EntryRow:
        flow = self.flow
        versions = encoded({"flow": self._flow_version})
        return EntryRow(
            flow.transaction, hop, kind, system, self.now(), flow_id=flow.id, versions=versions
        )

    async def flush(
        self,
        *,
        status: FlowStatus | None = None,
        run_in: float = 0.0,
        attempts: int = 0,
        failure: Failure | None = None,
        result: msgspec.Struct | None = None,
    ) -> None:
        """Write down what is in hand; a run whose lease is lost stops here."""
        if not self.pending and status is None:
            return
        write = FlowWrite(
            flow=self.flow,
            rows=self.pending,
            status=status,
            run_in=run_in,
            attempts=attempts,
            failure=None if failure is None else _described(failure),
            result=None if result is None else encoded(result),
            taken_signal=self._signal,
            unwinding=self.unwinding,
        )
        self.pending, self._signal = [], None
        standing: Standing = await self._platform.writer.submit(write)
        if standing == "lease-lost":
            raise LeaseLost
        if write.gets_on:
            self.flow.attempts = self.flow.crashes = 0
        if standing == "cancel-wanted" and not self.unwinding and status is None:
            raise CancelWanted

    async def first_signal(self, events: list[str], key: str) -> "Record | None":
        """Write down what is in hand (a wait may be long), then look for the signal."""
        await self.flush()
        return await self._platform.journal.first_signal(events, key, self.flow.id)

    @property
    def journal(self) -> StepJournal:
        return self._platform.journal

    async def title(self) -> str:
        return await self._platform.journal.title_of(self.flow.transaction)

    async def submit(self, act: object) -> Any:
        """Have an act performed that is not this flow's own record."""
        return await self._platform.writer.submit(act)

    async def open_context(self, token: str, purpose: str) -> PatientContext:
        """Open a sealed patient context; the opening is a hop and an access record."""
        row = await self._platform.database.row(
            "select sealed from sealed_context where token = $1", token
        )
        if row is None:
            raise NotFound("no such patient context", where=token)
        hop = self._hop("patient context opened", "disclose", "ledger")
        self.pending.append(hop._replace(why=purpose, input=encoded({CONTEXT: token})))
        return self._platform.vault.open_context(token, bytes(row["sealed"]))


def _described(failure: Failure) -> str:
    facts = {
        "slug": failure.slug,
        "detail": failure.detail,
        "where": failure.where,
        "expected": failure.expected,
        "fix": failure.fix,
    }
    return encoded({name: value for name, value in facts.items() if value})
