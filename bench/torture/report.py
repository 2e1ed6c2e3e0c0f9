"""What a person reads, and what a machine reads, of one run."""

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.conditions import conditions
from bench.torture.outage import Outage
from bench.torture.run import Outcome
from bench.torture.walk import Walked

_SHOWN = 20


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`.suture/torture/report.json`: everything but `kills` is zero, or the ledger has failed.

    `kills` are those at random and those at every point; `laws` are the laws of the ERP's books
    that the main story or the outage broke.
    """

    kills: int
    lost: int
    doubled: int
    stuck: int
    laws: int
    at_random: Outcome | None
    at_every_point: dict[str, Walked]
    outage: Outage | None
    conditions: dict[str, str]

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.stuck or self.laws)

    @property
    def findings(self) -> list[str]:
        """Everything that is wrong, in words."""
        verdicts = [walked.verdict for walked in self.at_every_point.values()]
        laws = [law for walked in self.at_every_point.values() for law in walked.laws]
        if self.at_random is not None:
            verdicts.append(self.at_random.verdict)
        if self.outage is not None:
            verdicts.append(self.outage.verdict)
            laws += self.outage.laws
        found = [line for each in verdicts for line in (*each.lost, *each.doubled, *each.stuck)]
        return [*found, *laws]


def report(outcome: Outcome | None, walks: dict[str, Walked], out: Outage | None) -> Report:
    verdicts = [walked.verdict for walked in walks.values()]
    laws = sum(len(walked.laws) for walked in walks.values())
    if out is not None:
        verdicts.append(out.verdict)
        laws += len(out.laws)
    kills = sum(len(walked.points) for walked in walks.values())
    if outcome is not None:
        verdicts.append(outcome.verdict)
        kills += sum(outcome.kinds.values())
    return Report(
        kills=kills,
        lost=sum(len(verdict.lost) for verdict in verdicts),
        doubled=sum(len(verdict.doubled) for verdict in verdicts),
        stuck=sum(len(verdict.stuck) for verdict in verdicts),
        laws=laws,
        at_random=outcome,
        at_every_point=walks,
        outage=out,
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
    table = Table(
        title=f"torture: {told.kills:,} kills",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    table.add_column("what")
    table.add_column("how many", justify="right")
    if told.at_random is not None:
        _at_random(table, told.at_random)
    for name, walked in told.at_every_point.items():
        table.add_row(f"died at a point of {name} ({walked.seconds:.0f} s)", "")
        for flow, count in walked.deaths.items():
            table.add_row(f"  {flow}", f"{count:,}")
        table.add_section()
    if told.outage is not None:
        _outage(table, told.outage)
    sums = {"lost": told.lost, "doubled": told.doubled, "stuck": told.stuck}
    for what, count in {**sums, "laws broken": told.laws}.items():
        table.add_row(what, f"[{'red' if count else 'green'}]{count}[/]")
    console.print()
    console.print(table)
    for line in told.findings[:_SHOWN]:
        console.print(f"  {line}", style="red", markup=False, highlight=False)
    if len(told.findings) > _SHOWN:
        console.print(f"  … and {len(told.findings) - _SHOWN} more in the report")


def _at_random(table: Table, outcome: Outcome) -> None:
    verdict, took = outcome.verdict, outcome.takeovers
    table.add_row(f"killed at random under load, seed {outcome.seed}", "")
    for kind, count in sorted(outcome.kinds.items(), key=lambda pair: -pair[1]):
        table.add_row(f"  {kind}", f"{count:,}")
    figures = {
        "seconds": f"{outcome.seconds:,.0f}",
        "processes started": f"{outcome.starts:,}",
        "documents acknowledged": f"{verdict.sent:,}",
        "  of them duplicates": f"{verdict.duplicates:,}",
        "flows done": f"{verdict.flows:,} ({verdict.flows / outcome.seconds:.0f}/s)",
        "effects outside": f"{verdict.effects:,}",
        "  repeated with the same key": f"{verdict.repeated:,}",
        "  taken back": f"{verdict.undone:,}",
        "audit records verified": f"{verdict.audited:,}",
        f"takeovers measured (lease {outcome.lease:g} s)": f"{took.count:,}",
        "  median, longest": f"{_seconds(took.median)}, {_seconds(took.longest)}",
        "drained in": f"{outcome.drained_in:g} s",
    }
    for what, figure in figures.items():
        table.add_row(what, figure)
    table.add_section()


def _outage(table: Table, out: Outage) -> None:
    table.add_row(f"PostgreSQL away for {out.seconds:g} s under load", "")
    table.add_row("  requisitions acknowledged", f"{out.acknowledged:,}")
    table.add_row("  answered 503 with Retry-After", f"{out.refused:,}")
    table.add_row("  acknowledged again after", _seconds(out.resumed_in))
    table.add_section()


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} s"
