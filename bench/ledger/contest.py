"""The whole bench: by hand, beside DBOS, with a long past, with many waits; on one PostgreSQL."""

import os

import msgspec

from bench.conditions import conditions
from bench.ledger.by_hand import COMPARISONS as BY_HAND
from bench.ledger.by_hand import rows_by_hand
from bench.ledger.engines import DBOS, GONE, OURS, Kind, Lengths, Plan, dbos_is_missing, round_of
from bench.ledger.ground import Ground, Past, past_of, prepared
from bench.ledger.naive import SESSIONS
from bench.ledger.six_steps import STEPS
from bench.ledger.waits import BOUNDS, rows_of_waits
from bench.meter import PostgresMeter
from bench.report import Comparison, Row, Trial
from bench.rounds import Bench, Contender, Measured, Settings, in_turn
from ledger.database import named_database
from ledger.settings import LedgerSettings

_LENGTHS, _QUICK_LENGTHS = Lengths(2.0, 0.3), Lengths(0.1, 0.0)
_IN_FLIGHT, _IN_FLIGHT_OUTSIDE = (1, 50, 200), (1, 50)
_WORKERS = (1, 2)
_LATENCY = 0.005
_BUSY = 50
_MILLION = 1_000_000
_QUICK_HISTORY, _QUICK_WAITS = 500, 40
_DATABASES = ("ours", "theirs", OURS.name, DBOS.name, "empty", "nobody", "waits")

_EMPTY, _PAST, _SHRUNK = "flows empty ledger", "flows one million", "flows shrunk past"
_CONTAINS = {
    "suture": "document kept, flow claimed by any worker; step fenced, with hop and chained audit",
    "DBOS": "no document; async workflow run where it began; pool 20, uvloop, no logs",
}


def _name(by: str, callers: int, workers: int = 1, latency: float = 0.0) -> str:
    return f"flows {by} {callers}x{workers}{' outside' if latency else ''}"


def _comparisons() -> tuple[Comparison, ...]:
    def against_dbos(callers: int, workers: int = 1, latency: float = 0.0) -> Comparison:
        two = "ByTwo" if workers == 2 else ""
        return Comparison(
            name=f"flowsVsDbosAt{callers}{two}{'Outside' if latency else ''}",
            of=_name("suture", callers, workers, latency),
            against=_name("DBOS", callers, workers, latency),
            by="rate",
            target=25 if (callers, workers, latency) == (_BUSY, 1, 0.0) else None,
        )

    return (
        *(against_dbos(callers, workers) for workers in _WORKERS for callers in _IN_FLIGHT),
        *(against_dbos(callers, latency=_LATENCY) for callers in _IN_FLIGHT_OUTSIDE),
        Comparison(
            name="cpuVsDbosAt50", of=_name("suture", _BUSY), against=_name("DBOS", _BUSY), by="cpu"
        ),
        *(
            Comparison(
                name=f"twoWorkersVsOneAt{callers}",
                of=_name("suture", callers, 2),
                against=_name("suture", callers),
                by="rate",
                target=1.3,
            )
            for callers in _IN_FLIGHT[1:]
        ),
        Comparison(name="cpuAtOneMillionVsEmpty", of=_PAST, against=_EMPTY, by="cost", limit=1.1),
        Comparison(name="flowsAtOneMillionVsEmpty", of=_PAST, against=_EMPTY, by="rate"),
        *BY_HAND,
    )


async def measure(settings: Settings) -> Measured:
    """Measure everything; `quick` takes a short past and few waits."""
    if settings.quick:
        history, waits = (
            min(settings.history, _QUICK_HISTORY),
            min(settings.waits, _QUICK_WAITS),
        )
        settings = msgspec.structs.replace(settings, history=history, waits=waits)
    async with prepared(settings, _DATABASES) as ground:
        # First: what autovacuum does to a million others is not what waits cost.
        waiting = await rows_of_waits(ground, settings)
        try:
            past = await past_of(ground, settings)
        except GONE as exc:  # its row is void then, as any that meets no database
            past = Past(named_database(ground.dsn, "past_lost"), f"lost: {type(exc).__name__}")
        by_hand = await rows_by_hand(ground, settings)
        contenders = [*_beside_dbos(ground, settings), *_with_past(ground, past, settings)]
        engines = await in_turn(contenders, settings)
    return Measured([*engines, *waiting, *by_hand], _conditions(ground, past, engines))


def _beside_dbos(ground: Ground, settings: Settings) -> list[Contender]:
    missing = {"suture": "", "DBOS": dbos_is_missing()}
    if settings.quick:
        missing["DBOS"] = "--quick starts no engine of others"
    cases = [(callers, workers, 0.0) for workers in _WORKERS for callers in _IN_FLIGHT]
    cases += [(callers, 1, _LATENCY) for callers in _IN_FLIGHT_OUTSIDE]
    return [
        _contender(
            _row(kind, callers, workers, latency, why=missing[kind.name]),
            Plan(kind, ground.databases[kind.name], callers, workers, latency),
            (ground.meter, settings),
        )
        for callers, workers, latency in cases
        for kind in (OURS, DBOS)
    ]


def _with_past(ground: Ground, past: Past, settings: Settings) -> list[Contender]:
    """Two ledgers, one of them empty in the beginning, measured in turn."""
    million = past.missing
    rows = {_EMPTY: ("an empty ledger", ground.databases["empty"], "")}
    if settings.history < _MILLION:
        million = f"the past was shrunk to {settings.history:,} (HISTORY)"
        what = f"a ledger with {settings.history:,} finished transactions"
        rows[_SHRUNK] = (what, past.dsn, past.missing)
    rows[_PAST] = ("a ledger with 1,000,000 finished transactions", past.dsn, million)
    return [
        _contender(
            msgspec.structs.replace(
                _row(OURS, _BUSY, 1, 0.0, why=why), name=name, by=f"suture, {what}"
            ),
            Plan(OURS, dsn, _BUSY, 1),
            (ground.meter, settings),
        )
        for name, (what, dsn, why) in rows.items()
    ]


def _row(kind: Kind, callers: int, workers: int, latency: float, *, why: str) -> Row:
    told = [f"flows of {STEPS} recorded steps", f"{callers} in flight"]
    told += [f"{workers} workers"] if workers > 1 else []
    told += [f"each step {latency * 1e3:g} ms outside"] if latency else []
    return Row(
        name=_name(kind.name, callers, workers, latency),
        what=", ".join(told),
        by=kind.name,
        unit="flows",
        contains=_CONTAINS[kind.name],
        state="not run" if why else "measured",
        why=why,
    )


def _contender(row: Row, plan: Plan, means: tuple[PostgresMeter, Settings]) -> Contender:
    meter, settings = means

    async def measured() -> Trial:
        return await round_of(plan, _QUICK_LENGTHS if settings.quick else _LENGTHS, meter)

    return Contender(row, None if row.state == "not run" else measured)


def _conditions(ground: Ground, past: Past, engines: list[Row]) -> dict[str, str]:
    return conditions(
        *("asyncpg", "uvloop", "msgspec"),
        postgresql=f"{ground.version}, embedded, unix socket, fsync and synchronous_commit on",
        past=past.missing or past.told,
        sessions=f"suture {LedgerSettings().connections} and DBOS 20 a worker, by hand {SESSIONS}",
        cores=_saturation({row.name: row for row in engines}),
        measured="closed loop until all that began has ended, after a checkpoint; every round"
        " starts the engines anew and warms them up; rows are counted in the database afterwards",
        cpu="of the engine's processes; PostgreSQL's, all its processes, is told beside it",
    )


def _saturation(rows: dict[str, Row]) -> str:
    """Say what one and two workers left of the machine: why a second one helps, or does not."""
    told: list[str] = []
    for workers in _WORKERS:
        row = rows[_name("suture", _BUSY, workers)]
        if row.cores is not None and row.postgres_cores is not None:
            own, its = row.cores.median, row.postgres_cores.median
            who = "one worker" if workers == 1 else "two workers"
            told.append(f"{who} {own:.2f} and PostgreSQL {its:.2f}")
    why = "two share what is in flight, so that each commits half as much at a time"
    return f"kept busy at {_BUSY} in flight: {'; '.join(told)}; of {os.cpu_count()}; {why}"


BENCH = Bench("ledger", "Keeping records on PostgreSQL", _comparisons(), measure, BOUNDS)
