"""What the ledger keeps in a second, beside the same PostgreSQL used by hand.

Everything is kept when it is counted: `synchronous_commit=on`, and after each round the rows in the
tables are compared with what callers were told. Both work in this process.
"""

import hashlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

import msgspec

from bench.hl7v2 import SAMPLES
from bench.ledger.ground import Ground
from bench.ledger.naive import Naive, open_naive
from bench.ledger.six_steps import STEPS, Flows, arrival
from bench.meter import PostgresMeter
from bench.report import Comparison, Row, Trial
from bench.rounds import Contender, Settings, in_flight, in_turn
from canonical.errors import Failure
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
    """A contender before it knows how many callers it has. `counted` counts what was kept."""

    kind: str
    by: str
    contains: str
    call: Call
    counted: Callable[[], Awaitable[int]]


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
    """Measure what is kept in this process, on the server of `dsn`."""
    async with AsyncExitStack() as stack:
        mine, theirs = ground.databases["ours"], ground.databases["theirs"]
        ours = await stack.enter_async_context(open_ledger(mine, secret=secrets.token_bytes(32)))
        flows = Flows(ours)
        ours.worker.start()
        stack.push_async_callback(ours.worker.stop)
        naive, counts = await stack.enter_async_context(_opened_naive(theirs))
        tasks = [*_of_suture(ours, flows), *_by_hand(naive, counts)]
        contenders = [
            _contender(task, callers, settings, ground.meter)
            for kind in _KINDS
            for callers in _CALLERS
            for task in tasks
            if task.kind == kind
        ]
        return await in_turn(contenders, settings)


@asynccontextmanager
async def _opened_naive(dsn: str) -> AsyncGenerator[tuple[Naive, Database]]:
    counts = await open_database(dsn, size=2)
    naive = await open_naive(dsn)
    try:
        yield naive, counts
    finally:
        await naive.pool.close()
        await counts.close()


def _of_suture(ledger: Ledger, flows: Flows) -> list[_Task]:
    async def keep() -> None:
        await ledger.messages.receive(arrival(_BODY))

    async def record() -> None:
        await ledger.record(_RECORD)

    def task(kind: str, contains: str, call: Call, kept: str) -> _Task:
        return _Task(kind, "suture", contains, call, _counting(ledger.database, kept))

    return [
        task(
            "messages",
            "sealed and kept, transaction opened, fact announced, audited and chained",
            keep,
            "select count(*) from message where kind = 'DFT^P03'",
        ),
        task(
            "flows",
            "message kept, flow claimed; each step fenced, with hop and chained audit; end",
            flows.run_one,
            "select count(*) from flow where status = 'done' and"
            f" (select count(*) from step where flow_id = flow.id) = {STEPS}",
        ),
        task(
            "audit",
            "hash-chained in order",
            record,
            "select count(*) from audit where kind = 'call'",
        ),
    ]


def _by_hand(naive: Naive, database: Database) -> list[_Task]:
    digest = hashlib.sha256(_BODY).digest()

    def task(kind: str, by: str, contains: str, call: Call, kept: str) -> _Task:
        return _Task(kind, by, contains, call, _counting(database, kept))

    return [
        task(
            "messages",
            _BY_HAND,
            "the body in one row: not sealed, no transaction, no audit",
            partial(naive.keep_message, digest, _BODY),
            "select count(*) from naive.message",
        ),
        task(
            "flows",
            _BY_HAND,
            "one step row a step: no claim, no fence, no hop, no audit",
            partial(naive.run_flow, STEPS),
            f"select count(*) / {STEPS} from naive.step where flow_id like 'bare-%'",
        ),
        task(
            "flows",
            _SAME_ROWS,
            "step, hop, audit and fence in one statement a step: no claim, no chain",
            partial(naive.run_full_flow, STEPS, _RECORD_BODY),
            "select count(*) from naive.flow where status = 'done' and"
            f" (select count(*) from naive.step where flow_id = flow.id) = {STEPS}",
        ),
        task(
            "audit",
            _BY_HAND,
            "no chain: with one, only one at a time could be written",
            partial(naive.keep_record, _RECORD_BODY),
            "select count(*) from naive.audit where kind = 'call'",
        ),
    ]


def _counting(database: Database, sql: str) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        row = await database.row(sql)
        return 0 if row is None else int(row[0])

    return count


_SHORT = {"suture": "suture", _BY_HAND: "by hand", _SAME_ROWS: "same rows"}


def _contender(task: _Task, callers: int, settings: Settings, server: PostgresMeter) -> Contender:
    unit, what = _KINDS[task.kind]
    row = Row(
        name=f"{task.kind} {_SHORT[task.by]} {callers}",
        what=f"{what}, {callers} in flight",
        by=task.by,
        unit=unit,
        contains=task.contains,
        state="measured",
    )
    seconds = _QUICK_SECONDS if settings.quick else _SECONDS

    async def measured() -> Trial:
        try:
            before = await task.counted()
            its = server.cpu()
            trial = await in_flight(task.call, callers, seconds)
            trial = trial._replace(postgres=server.cpu() - its)
            kept = await task.counted() - before
        except (Failure, OSError) as exc:
            return Trial(0, 0, 0, f"PostgreSQL is gone: {type(exc).__name__}")
        if trial.fault or kept == trial.operations:
            return trial
        fault = f"{trial.operations} were answered, {kept} are in the database"
        return trial._replace(fault=fault)

    return Contender(row, measured)
