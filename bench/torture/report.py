"""What a person reads, and what a machine reads, of one run."""

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.conditions import conditions
from bench.torture.run import Outcome

_SHOWN = 20


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`.suture/torture/report.json`: `lost`, `doubled` and `stuck` are zero, or it has failed."""

    kills: int
    lost: int
    doubled: int
    stuck: int
    outcome: Outcome
    conditions: dict[str, str]


def report(outcome: Outcome) -> Report:
    verdict = outcome.verdict
    return Report(
        kills=sum(outcome.kinds.values()),
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        stuck=len(verdict.stuck),
        outcome=outcome,
        conditions=conditions("asyncpg", "uvloop"),
    )


def write(told: Report, folder: Path) -> Path:
    """Write `report.json`; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "report.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return file


def show(console: Console, told: Report) -> None:
    """Print the table."""
    outcome = told.outcome
    table = Table(
        title=f"torture: {told.kills} kills in {outcome.seconds:.0f} s, seed {outcome.seed}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    table.add_column("what")
    table.add_column("how many", justify="right")
    for kind, count in sorted(outcome.kinds.items(), key=lambda pair: -pair[1]):
        table.add_row(kind, f"{count:,}")
    table.add_section()
    for what, figure in _figures(outcome):
        table.add_row(what, figure)
    table.add_section()
    for what, count in (("lost", told.lost), ("doubled", told.doubled), ("stuck", told.stuck)):
        table.add_row(what, f"[{'red' if count else 'green'}]{count}[/]")
    console.print()
    console.print(table)
    found = [*outcome.verdict.lost, *outcome.verdict.doubled, *outcome.verdict.stuck]
    for line in found[:_SHOWN]:
        console.print(f"  [red]{line}[/red]", highlight=False)
    if len(found) > _SHOWN:
        console.print(f"  … and {len(found) - _SHOWN} more in the report")


def _figures(outcome: Outcome) -> list[tuple[str, str]]:
    verdict, took = outcome.verdict, outcome.takeovers
    return [
        ("processes started", f"{outcome.starts:,}"),
        ("documents acknowledged", f"{verdict.sent:,}"),
        ("  of them duplicates", f"{verdict.duplicates:,}"),
        ("flows done", f"{verdict.flows:,} ({verdict.flows / outcome.seconds:.0f}/s)"),
        ("effects outside", f"{verdict.effects:,}"),
        ("  repeated with the same key", f"{verdict.repeated:,}"),
        ("audit records verified", f"{verdict.audited:,}"),
        (f"takeovers measured (lease {outcome.lease:g} s)", f"{took.count:,}"),
        ("  median, longest", f"{_seconds(took.median)}, {_seconds(took.longest)}"),
        ("drained in", f"{outcome.drained_in:g} s"),
    ]


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} s"
