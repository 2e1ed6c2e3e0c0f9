"""A report for people: rows, ratios beside their targets, conditions."""

from rich.console import Console
from rich.table import Table

from bench.report import Comparison, Report, Row, Spread

_THOUSAND, _TEN, _ONE = 1000, 10, 1
_WIDE = 120
"""Columns from which ranges and notes fit beside the figures."""


def show(console: Console, told: Report) -> None:
    """Print one report; a narrow terminal gets medians, and the notes below them."""
    is_wide = console.width >= _WIDE
    console.print()
    console.print(_rows(told, is_wide=is_wide))
    console.print()
    console.print(_ratios(told))
    if told.quick:
        console.print("  quick: shows that everything runs; the figures mean nothing", style="bold")
    if not is_wide:
        for row in told.rows:
            console.print(f"  [dim]{row.what}, {row.by}[/dim] {_note(row)}", highlight=False)
    for name, said in told.conditions.items():
        console.print(f"  [dim]{name}[/dim] {said}", highlight=False)


def _rows(told: Report, *, is_wide: bool) -> Table:
    rounds = f"{told.rounds} round{'s' if told.rounds > 1 else ''}"
    table = Table(
        title=f"{told.name}: {told.title}, median{' (min to max)' if is_wide else ''} of {rounds}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    for name in ("what", "by"):
        table.add_column(name, overflow="fold")
    for name in ("per second", "CPU µs each"):
        table.add_column(name, justify="right", no_wrap=True)
    if is_wide:
        table.add_column("contains", overflow="fold")
    shown = ""
    for row in told.rows:
        what = row.what if row.what != shown else ""
        shown = row.what
        notes = (_note(row),) if is_wide else ()
        table.add_row(what, row.by, *_figures(row, is_wide=is_wide), *notes)
    return table


def _figures(row: Row, *, is_wide: bool) -> tuple[str, str]:
    if row.per_second is None or row.cpu_microseconds is None:
        return f"[red]{row.state}[/red]" if row.state == "void" else row.state, ""
    if is_wide:
        return f"{_told(row.per_second)} {row.unit}", _told(row.cpu_microseconds)
    return f"{_number(row.per_second.median)} {row.unit}", _number(row.cpu_microseconds.median)


def _note(row: Row) -> str:
    if row.state == "void":
        return f"[red]void: {row.why}[/red]"
    return f"not run: {row.why}" if row.state == "not run" else f"[dim]{row.contains}[/dim]"


def _ratios(told: Report) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    table.add_column("ratio", overflow="fold")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("of", style="dim")
    table.add_column("target", justify="right")
    for each in told.comparisons:
        value = (
            "[dim]none[/dim]" if each.ratio is None else f"[bold]{_told(each.ratio)}[/bold] times"
        )
        by = "CPU per operation" if each.by == "cpu" else "rate"
        table.add_row(each.name, value, by, _target(each))
    return table


def _target(wanted: Comparison) -> str:
    if wanted.target is None:
        return ""
    if wanted.ratio is None:
        return f"≥ {wanted.target:g}"
    met = wanted.ratio.median >= wanted.target
    return f"[{'green' if met else 'red'}]≥ {wanted.target:g}[/]"


def _told(spread: Spread) -> str:
    median = _number(spread.median)
    if len(spread.rounds) == 1:
        return median
    return f"{median} ({_number(spread.least)} to {_number(spread.most)})"


def _number(value: float) -> str:
    if value >= _THOUSAND:
        return f"{value:,.0f}"
    if value >= _TEN:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= _ONE else f"{value:.2f}"
