"""What a measurement comes to: rows of rounds, and ratios between rows of the same rounds.

A row with a fault in any round is void: it has no figures, and no ratio is made of it. A peer that
is not installed is a row too, so that nobody takes silence for a win.
"""

import statistics
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

State = Literal["measured", "void", "not run"]


class Trial(NamedTuple):
    """One round of one contender; `fault` voids it.

    `cpu` is seconds of the processes measured, `postgres` those of the server's where they were
    read. `figures` are of their own kind, by name.
    """

    operations: int
    seconds: float
    cpu: float
    fault: str = ""
    postgres: float | None = None
    figures: dict[str, float] = {}


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The median of all rounds, their range, and each of them in order."""

    median: float
    least: float
    most: float
    rounds: tuple[float, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One contender. `contains` says what one operation does and what is left out.

    `cpu_microseconds` and `postgres_microseconds` are CPU of an operation, `cores` and
    `postgres_cores` how many cores that kept busy: of the processes measured, and of the server's.
    """

    name: str
    what: str
    by: str
    unit: str
    contains: str
    state: State
    why: str = ""
    per_second: Spread | None = None
    cpu_microseconds: Spread | None = None
    postgres_microseconds: Spread | None = None
    cores: Spread | None = None
    postgres_cores: Spread | None = None
    figures: dict[str, Spread] = {}


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A ratio of two rows, round by round.

    By `rate` per second or `cpu` time per operation, above 1 is better for `of`; `target` is what
    it should reach at least. By `cost`, `of` takes so many times the CPU of `against`, with that of
    PostgreSQL; `limit` is what it should not go beyond. `met` says whether the median does.
    """

    name: str
    of: str
    against: str
    by: Literal["cpu", "rate", "cost"]
    target: float | None = None
    limit: float | None = None
    ratio: Spread | None = None
    met: bool | None = None


class Bound(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A figure of a row that should not go beyond `limit`."""

    name: str
    of: str
    figure: str
    limit: float
    value: Spread | None = None
    met: bool | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One bench. `ratios` is the medians of `comparisons` by name; null where a row is void.

    Whether a target is met is told and never asserted: that is for a person to read.
    """

    name: str
    title: str
    at: datetime
    quick: bool
    rounds: int
    ratios: dict[str, float | None]
    comparisons: tuple[Comparison, ...]
    bounds: tuple[Bound, ...] = ()
    rows: tuple[Row, ...]
    conditions: dict[str, str]

    @property
    def void(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.state == "void")


def spread(values: list[float]) -> Spread:
    return Spread(
        median=statistics.median(values),
        least=min(values),
        most=max(values),
        rounds=tuple(values),
    )


def void(row: Row, why: str) -> Row:
    return msgspec.structs.replace(row, state="void", why=why)


def judged(row: Row, trials: list[Trial]) -> Row:
    """Return the row with its figures, or void with the first thing that went wrong."""
    fault = next((trial.fault or _fault(trial) for trial in trials if _is_faulty(trial)), "")
    if fault or not trials:
        return void(row, fault or "no round was run")
    row = msgspec.structs.replace(
        row,
        state="measured",
        per_second=spread([trial.operations / trial.seconds for trial in trials]),
        cpu_microseconds=spread([trial.cpu * 1e6 / trial.operations for trial in trials]),
        cores=spread([trial.cpu / trial.seconds for trial in trials]),
        figures={
            name: spread([trial.figures[name] for trial in trials]) for name in trials[0].figures
        },
    )
    server = [trial.postgres for trial in trials if trial.postgres is not None]
    if len(server) < len(trials):
        return row
    each = list(zip(server, trials, strict=True))
    return msgspec.structs.replace(
        row,
        postgres_microseconds=spread([cpu * 1e6 / trial.operations for cpu, trial in each]),
        postgres_cores=spread([cpu / trial.seconds for cpu, trial in each]),
    )


def _is_faulty(trial: Trial) -> bool:
    return bool(trial.fault or _fault(trial))


def _fault(trial: Trial) -> str:
    if not trial.operations or trial.seconds <= 0:
        return "nothing was done"
    return "" if trial.cpu > 0 else "it used no CPU: something else did the work"


def compared(wanted: Comparison, rows: dict[str, Row]) -> Comparison:
    """Return the comparison with its ratio, or without one where a row has no figures."""
    of, against = rows[wanted.of], rows[wanted.against]
    mine, theirs = _compared_figures(wanted, of, against)
    if not mine or not theirs:
        return wanted
    ratio = spread([a / b for a, b in zip(mine, theirs, strict=True)])
    met = None
    if wanted.target is not None:
        met = ratio.median >= wanted.target
    elif wanted.limit is not None:
        met = ratio.median <= wanted.limit
    return msgspec.structs.replace(wanted, ratio=ratio, met=met)


def _compared_figures(
    wanted: Comparison, of: Row, against: Row
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if wanted.by == "rate":
        return _rounds(of.per_second), _rounds(against.per_second)
    if wanted.by == "cpu":
        return _rounds(against.cpu_microseconds), _rounds(of.cpu_microseconds)
    return _whole_cost(of), _whole_cost(against)


def _whole_cost(row: Row) -> tuple[float, ...]:
    server = _rounds(row.postgres_microseconds)
    return tuple(map(sum, zip(_rounds(row.cpu_microseconds), server, strict=False)))


def _rounds(figure: Spread | None) -> tuple[float, ...]:
    return () if figure is None else figure.rounds


def bounded(wanted: Bound, rows: dict[str, Row]) -> Bound:
    """Return the bound with its value, or without one where the row has no figures."""
    value = rows[wanted.of].figures.get(wanted.figure)
    if value is None:
        return wanted
    return msgspec.structs.replace(wanted, value=value, met=value.median <= wanted.limit)


def write(told: Report, folder: Path) -> Path:
    """Write `<name>.json` for machines; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{told.name}.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return file
