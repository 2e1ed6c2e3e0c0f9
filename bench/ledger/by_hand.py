"""What the ledger keeps in a second, beside the same PostgreSQL used by hand.

Everything is kept when it is counted: `synchronous_commit=on`, and after each round the rows in the
tables are compared with what callers were told. Both work in this process.
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

import msgspec

from bench.hl7v2 import SAMPLES
from bench.ledger.engines import GONE
from bench.ledger.ground import Ground
from bench.ledger.naive import Naive, open_naive
from bench.ledger.ours import SECRET
from bench.ledger.six_steps import STEPS, Flows, arrival
from bench.meter import PostgresMeter
from bench.report import Comparison, Row, Trial, void
from bench.rounds import Contender, Settings, in_flight, in_turn
from ledger.audit_trail import Evidence
from ledger.database import Database, open_database
from ledger.ledger import Ledger, open_ledger

_SECONDS = 0.5
_QUICK_SECONDS = 0.03
_CALLERS = (1, 50)
_BODY = SAMPLES[1].body
_RECORD = Evidence(
    kind="call",
    actor="bench",
    action="GET /process/v1/tasks",
    outcome="200",
    correlation_id="0123456789abcdef0123456789abcdef",
    detail={"status": "200", "ms": "1.0"},
)
_RECORD_BODY = msgspec.json.encode(_RECORD)

_KINDS = {
    "messages": ("messages", "HL7 messages kept and acknowledged"),
    "flows": ("flows", f"flows of {STEPS} recorded effect steps"),
    "audit": ("records", "audit records"),
}
_BY_HAND = "one INSERT, one commit each"
_SAME_ROWS = "by hand, the same rows"


Call = Callable[[], Awaitable[None]]


class _Task(NamedTuple):
    """A contender before it knows how many callers it has. `kept` counts what is on disk."""

    kind: str
    by: str
    contains: str
    kept: str

    @property
    def short(self) -> str:
        return {_BY_HAND: "by hand", _SAME_ROWS: "same rows"}.get(self.by, self.by)


_TASKS = (
    _Task(
        "messages",
        "suture",
        "sealed and kept, transaction opened, fact announced, audited and chained",
        "select count(*) from message where kind = 'DFT^P03'",
    ),
    _Task(
        "messages",
        _BY_HAND,
        "the body in one row: not sealed, no transaction, no audit",
        "select count(*) from naive.message",
    ),
    _Task(
        "flows",
        "suture",
        "message kept, flow claimed; each step fenced, with hop and chained audit; end",
        "select count(*) from flow where status = 'done' and"
        f" (select count(*) from step where flow_id = flow.id) = {STEPS}",
    ),
    _Task(
        "flows",
        _BY_HAND,
        "one step row a step: no claim, no fence, no hop, no audit",
        f"select count(*) / {STEPS} from naive.step where flow_id like 'bare-%'",
    ),
    _Task(
        "flows",
        _SAME_ROWS,
        "step, hop, audit and fence in one statement a step: no claim, no chain",
        "select count(*) from naive.flow where status = 'done' and"
        f" (select count(*) from naive.step where flow_id = flow.id) = {STEPS}",
    ),
    _Task(
        "audit",
        "suture",
        "hash-chained in order",
        "select count(*) from audit where kind = 'call'",
    ),
    _Task(
        "audit",
        _BY_HAND,
        "no chain: with one, only one at a time could be written",
        "select count(*) from naive.audit where kind = 'call'",
    ),
)


def _comparisons() -> tuple[Comparison, ...]:
    pairs = (("messages", "by hand"), ("flows", "by hand"), ("flows", "same rows"))
    return tuple(
        Comparison(
            name=f"{kind}Vs{''.join(map(str.capitalize, peer.split()))}At{callers}",
            of=f"{kind} suture {callers}",
            against=f"{kind} {peer} {callers}",
            by="rate",
        )
        for kind, peer in (*pairs, ("audit", "by hand"))
        for callers in _CALLERS
    )


COMPARISONS = _comparisons()


async def rows_by_hand(ground: Ground, settings: Settings) -> list[Row]:
    """Measure what is kept in this process, on the server of `ground`."""
    tasks = [(task, callers) for callers in _CALLERS for task in _TASKS]
    tasks.sort(key=lambda each: list(_KINDS).index(each[0].kind))
    rows = [_row(task, callers) for task, callers in tasks]
    try:
        async with AsyncExitStack() as stack:
            mine, theirs = ground.databases["ours"], ground.databases["theirs"]
            ours = await stack.enter_async_context(open_ledger(mine, secret=SECRET))
            flows = Flows(ours)
            ours.worker.start()
            stack.push_async_callback(ours.worker.stop)
            naive, counts = await stack.enter_async_context(_opened_naive(theirs))
            calls = _calls(ours, flows, naive)
            contenders = [
                _contender(
                    row,
                    (calls[task.kind, task.by], ours.database if task.by == "suture" else counts),
                    (task.kept, callers),
                    (ground.meter, settings),
                )
                for row, (task, callers) in zip(rows, tasks, strict=True)
            ]
            return await in_turn(contenders, settings)
    except GONE as exc:
        return [void(row, f"PostgreSQL: {type(exc).__name__}") for row in rows]


@asynccontextmanager
async def _opened_naive(dsn: str) -> AsyncGenerator[tuple[Naive, Database]]:
    counts = await open_database(dsn, size=2)
    naive = await open_naive(dsn)
    try:
        yield naive, counts
    finally:
        await naive.pool.close()
        await counts.close()


def _row(task: _Task, callers: int) -> Row:
    unit, what = _KINDS[task.kind]
    return Row(
        name=f"{task.kind} {task.short} {callers}",
        what=f"{what}, {callers} in flight",
        by=task.by,
        unit=unit,
        contains=task.contains,
        state="measured",
    )


def _calls(ledger: Ledger, flows: Flows, naive: Naive) -> dict[tuple[str, str], Call]:
    async def keep() -> None:
        await ledger.messages.receive(arrival(_BODY))

    async def record() -> None:
        await ledger.record(_RECORD)

    digest = hashlib.sha256(_BODY).digest()
    return {
        ("messages", "suture"): keep,
        ("messages", _BY_HAND): partial(naive.keep_message, digest, _BODY),
        ("flows", "suture"): flows.run_one,
        ("flows", _BY_HAND): partial(naive.run_flow, STEPS),
        ("flows", _SAME_ROWS): partial(naive.run_full_flow, STEPS, _RECORD_BODY),
        ("audit", "suture"): record,
        ("audit", _BY_HAND): partial(naive.keep_record, _RECORD_BODY),
    }


def _contender(
    row: Row,
    work: tuple[Call, Database],
    counted: tuple[str, int],
    means: tuple[PostgresMeter, Settings],
) -> Contender:
    (call, database), (sql, callers), (server, settings) = work, counted, means
    seconds = _QUICK_SECONDS if settings.quick else _SECONDS

    async def kept() -> int:
        found = await database.row(sql)
        return 0 if found is None else int(found[0])

    async def measured() -> Trial:
        try:
            before, its = await kept(), server.cpu()
            trial = await in_flight(call, callers, seconds)
            trial = trial._replace(postgres=server.cpu() - its)
            new = await kept() - before
        except GONE as exc:
            return Trial(0, 0, 0, f"PostgreSQL: {type(exc).__name__}")
        if trial.fault or new == trial.operations:
            return trial
        fault = f"{trial.operations} were answered, {new} are in the database"
        return trial._replace(fault=fault)

    return Contender(row, measured)
