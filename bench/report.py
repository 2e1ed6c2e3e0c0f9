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
    """One round of one contender. `cpu` is seconds of the process measured; `fault` voids it."""

    operations: int
    seconds: float
    cpu: float
    fault: str = ""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The median of all rounds, their range, and each of them in order."""

    median: float
    least: float
    most: float
    rounds: tuple[float, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One contender. `contains` says what one operation does and what is left out."""

    name: str
    what: str
    by: str
    unit: str
    contains: str
    state: State
    why: str = ""
    per_second: Spread | None = None
    cpu_microseconds: Spread | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A ratio of two rows, round by round; above 1 is better for `of`.

    `by` is CPU time per operation or rate per second. `target` is what it should reach at least.
    """

    name: str
    of: str
    against: str
    by: Literal["cpu", "rate"]
    target: float | None = None
    ratio: Spread | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One bench. `ratios` is the medians of `comparisons` by name; null where a row is void."""

    name: str
    title: str
    at: datetime
    quick: bool
    rounds: int
    ratios: dict[str, float | None]
    comparisons: tuple[Comparison, ...]
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


def judged(row: Row, trials: list[Trial]) -> Row:
    """Return the row with its figures, or void with the first thing that went wrong."""
    fault = next((trial.fault or _fault(trial) for trial in trials if _is_faulty(trial)), "")
    if fault or not trials:
        return msgspec.structs.replace(row, state="void", why=fault or "no round was run")
    return msgspec.structs.replace(
        row,
        state="measured",
        per_second=spread([trial.operations / trial.seconds for trial in trials]),
        cpu_microseconds=spread([trial.cpu * 1e6 / trial.operations for trial in trials]),
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
    if wanted.by == "cpu":
        mine, theirs = against.cpu_microseconds, of.cpu_microseconds
    else:
        mine, theirs = of.per_second, against.per_second
    if mine is None or theirs is None:
        return wanted
    pairs = zip(mine.rounds, theirs.rounds, strict=True)
    return msgspec.structs.replace(wanted, ratio=spread([a / b for a, b in pairs]))


def write(told: Report, folder: Path) -> Path:
    """Write `<name>.json` for machines; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{told.name}.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return file
