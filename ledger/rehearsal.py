"""A replay told in memory: the same story, whose hands are tied. It writes nothing, calls no effect
and opens no patient context; what it would record becomes judgements.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from canonical.context import PatientContext
from canonical.errors import Failure
from canonical.published import Published
from canonical.request import EventName
from ledger.batch import ClaimedFlow
from ledger.catalogue import FlowDefinition, encoded
from ledger.differences import Difference, differences
from ledger.due_rows import AwaitedRow
from ledger.flow_run import FlowRun, Platform, Suspended
from ledger.former import RECORDED, Former, Past, said
from ledger.judgement import Judgement, Verdict
from ledger.provenance import parameter_names, result_type, system_of, versions_of
from ledger.publishing import published_name
from ledger.retelling import Retelling
from ledger.rows import ClaimRow, EntryRow
from ledger.step_journal import StepJournal

if TYPE_CHECKING:
    from asyncpg import Record

Ending = Literal["done", "waiting", "stuck", "unknown"]
Owner = tuple[str, str]

_SIGNAL = """
select id, event, facts, message_id, at from signal
where event = any($1::text[]) and key = $2 and id <> all($3::bigint[]) order by id limit 1"""

_TOLD_AS: Mapping[str, Verdict] = {
    "recorded": "recorded",
    "suppressed": "suppressed",
    "would-wait": "would-wait",
    "left standing": "left-standing",
}


class AnswerNeeded(Exception):
    """What follows depends on what another system would answer."""


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a rehearsal: how it ended, step by step, and its result as JSON."""

    ends: Ending
    steps: tuple[Judgement, ...]
    result: str | None = None


class RehearsedRun(FlowRun):
    """A run that keeps everything to itself. `taken` are the signals that its flow had before,
    `owners` who held which claim.
    """

    def __init__(
        self,
        platform: Platform,
        flow: ClaimedFlow,
        definition: FlowDefinition,
        steps: "Sequence[Record]",
        former: Former,
    ) -> None:
        super().__init__(platform, flow, definition, list(steps))
        self.database = platform.database
        self.former = former
        self.taken = list[int]()
        self.owners = dict[tuple[str, str], Owner]()
        self.steps = list[Judgement]()
        self._journal = RehearsedJournal(self)
        self._claimed = dict[tuple[str, str], Owner]()
        self.said = dict[str, str]()
        self._copied = {str(row["name"]): str(row["kind"]) for row in steps}

    def recall(self, name: str) -> tuple[str, bytes | None]:
        own, known = super().recall(name)
        if known is not None and own in self._copied:
            self.pending.append(
                self._hop(own, self._copied.pop(own), "")._replace(outcome=RECORDED)
            )
        return own, known

    def stand_in(self, name: str, output: str) -> None:
        """Go on as if the step had come to what it came to then."""
        self._recorded[name] = output.encode()

    async def call(
        self, call: Callable[..., Awaitable[Any]], args: tuple[Any, ...], **more: Any
    ) -> Any:
        return await call(*args, **more)

    async def submit(self, act: object) -> Any:
        del act  # nobody is to perform it

    async def flush(self, **_standing: Any) -> None:
        rows, self.pending = self.pending, []
        for row in rows:
            if isinstance(row, ClaimRow):
                self._claimed[row.kind, row.value] = (self.flow.id, self.flow.transaction)
            elif isinstance(row, AwaitedRow) and row.event != "task-resolved":
                hop = self._hop(row.name, "wait", "outside")
                self._judge(hop._replace(outcome="would-wait", why=f"{row.event} of {row.key}"))
            elif isinstance(row, EntryRow):
                self._judge(row)

    async def first_signal(self, events: list[str], key: str) -> "Record | None":
        await self.flush()
        row = await self.database.row(_SIGNAL, events, key, self.taken)
        if row is not None:
            self.taken.append(int(row["id"]))
        return row

    @property
    def journal(self) -> StepJournal:
        return self._journal

    def owner_known(self, kind: str, value: str, owner: Owner) -> Owner:
        """Return whose a name is: as the trace says, or `owner`, or this flow's for the asking."""
        known = self.owners.get((kind, value), owner)
        return known if known[0] else self._claimed.get((kind, value), known)

    def judge_effect(
        self, name: str, call: Callable[..., Any], args: tuple[Any, ...], *, undone: bool
    ) -> None:
        """Say that an effect would be done."""
        past, own = self.former.steps.get(name), f"{self.flow.name}/{self.flow.version}"
        why = "it has not been done before"
        if name in self.keys:
            why = "under the key of the earlier try: what has come of that one is not done twice"
        elif past is not None and not past.stands:
            why = "what was done before has been taken back"
        elif past is not None:
            why = "the earlier one is taken back first" if undone else "the earlier one stays too"
        content = said(parameter_names(call), args)
        self.steps.append(
            Judgement(
                name=name,
                kind="effect",
                system=system_of(call, "effect"),
                verdict="would-be-undone-and-done" if undone else "would-be-done",
                why=why,
                differences=() if past is None else differences(past.input, content),
                versions_before=_versions(past),
                versions_after=_read(versions_of(call, "effect", own)),
            )
        )

    def _judge(self, row: EntryRow) -> None:
        past = self.former.steps.get(row.hop)
        verdict, why = self._verdict(row, past), row.why
        if verdict is None:
            return
        fields: tuple[Difference, ...] = ()
        if verdict == "differs":
            fields = differences(None if past is None else past.output, row.output)
        elif verdict == "would-be-announced":
            fields = differences(self.former.said_before(row.hop), self.said.get(row.hop))
        self.steps.append(
            Judgement(
                name=row.hop.removesuffix(": asked"),
                kind=row.kind,
                system=row.system or (past.system if past else "ledger"),
                verdict=verdict,
                why=why,
                differences=fields,
                versions_before=_versions(past),
                versions_after=_versions(past) if verdict == "recorded" else _read(row.versions),
            )
        )

    def _verdict(self, row: EntryRow, past: Past | None) -> Verdict | None:
        if row.outcome in _TOLD_AS:
            return _TOLD_AS[row.outcome]
        if row.kind in ("ask", "decide", "wait"):
            same = past is not None and not differences(past.output, row.output)
            return "same" if same else "differs"
        if row.kind in ("announce", "publish"):
            return "would-be-announced"
        return "would-ask-a-person" if row.hop.endswith(": asked") else None


class RehearsedJournal(StepJournal):
    """Reads the real journal; names that are only thought of as claimed are the rehearsal's."""

    def __init__(self, run: RehearsedRun) -> None:
        super().__init__(run.database, 0)
        self._run = run

    async def owner_of(self, kind: str, value: str) -> Owner:
        return self._run.owner_known(kind, value, await super().owner_of(kind, value))


class Rehearsal(Retelling):
    """The story of a replay that is only thought of."""

    def __init__(self, run: RehearsedRun) -> None:
        super().__init__(run, run.former, run.database)
        self._rehearsed = run
        self._undone = set[str]()

    async def announce(
        self, event: EventName, facts: msgspec.Struct, *, key: str, undo: bool = False
    ) -> None:
        own = self._run.next_name(f"announce {event} {key}")
        self._rehearsed.said[own] = encoded(facts)
        await super().announce(event, facts, key=key, undo=undo)

    def publish(self, *told: Published, subject: str) -> None:
        own = self._run.next_name(published_name(told, subject))
        self._rehearsed.said[own] = encoded(told)
        super().publish(*told, subject=subject)

    async def _patient(self, token: str, purpose: str) -> PatientContext:
        del token, purpose  # it stays sealed: an effect that is not called sees nobody
        return cast("PatientContext", None)

    async def _effect(
        self,
        name: str,
        kind: str,
        call: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        **more: PatientContext,
    ) -> Any:
        """Say what would be done; go on with the answer of then, where there is one."""
        del kind, more
        await self._run.flush()
        self._rehearsed.judge_effect(name, call, args, undone=name in self._undone)
        past = self._former.steps.get(name)
        if past is None:
            raise AnswerNeeded
        self._rehearsed.stand_in(name, past.output)
        return msgspec.json.decode(past.output, type=result_type(call))

    async def _undo_earlier(self, own: str, past: Past, *undo: Any) -> None:
        del past, undo
        self._undone.add(own)

    async def _call_off_earlier(self, own: str, past: Past) -> None:
        del past
        self._undone.add(own)


async def rehearse(run: RehearsedRun) -> Rehearsed:
    """Tell the story to its end, or to where it would sleep, fail or need an answer."""
    story, result = Rehearsal(run), None
    ends: Ending = "done"
    try:
        facts = msgspec.json.decode(run.flow.facts, type=run.definition.facts)
        result = await run.definition.run(story, facts)
        story.conclude()
    except Suspended:
        ends = "waiting"
    except AnswerNeeded:
        ends = "unknown"
    except Failure as failure:
        await run.flush()
        ends = "unknown" if failure.retryable else "stuck"
        failed = Judgement(
            name=run.at, kind="task", system=failure.source, verdict="fails", why=str(failure)
        )
        run.steps.append(failed)
    await run.flush()
    told = None if result is None else encoded(result)
    return Rehearsed(ends=ends, steps=tuple(run.steps), result=told)


def _versions(past: Past | None) -> dict[str, str]:
    return {} if past is None else _read(past.versions)


def _read(versions: str) -> dict[str, str]:
    return msgspec.json.decode(versions, type=dict[str, str])
