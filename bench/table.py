"""A report for people: rows, ratios beside their targets, conditions."""

from rich.console import Console
from rich.table import Table

from bench.report import Bound, Comparison, Report, Row, Spread

_THOUSAND, _TEN, _ONE = 1000, 10, 1
_SERVER = ("PostgreSQL µs", "cores", "its")
"""CPU of the server for one operation; cores kept busy by what is measured, and by the server."""
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
    has_server = any(row.postgres_microseconds for row in told.rows)
    for name in ("per second", "CPU µs each", *(_SERVER if has_server else ())):
        table.add_column(name, justify="right", no_wrap=True)
    if is_wide:
        table.add_column("contains", overflow="fold")
    shown = ""
    for row in told.rows:
        what = row.what if row.what != shown else ""
        shown = row.what
        notes = (_note(row),) if is_wide else ()
        server = _server_figures(row) if has_server else ()
        table.add_row(what, row.by, *_figures(row, is_wide=is_wide), *server, *notes)
    return table


def _figures(row: Row, *, is_wide: bool) -> tuple[str, str]:
    if row.per_second is None or row.cpu_microseconds is None:
        return f"[red]{row.state}[/red]" if row.state == "void" else row.state, ""
    if is_wide:
        return f"{_told(row.per_second)} {row.unit}", _told(row.cpu_microseconds)
    return f"{_number(row.per_second.median)} {row.unit}", _number(row.cpu_microseconds.median)


def _server_figures(row: Row) -> tuple[str, ...]:
    figures = (row.postgres_microseconds, row.cores, row.postgres_cores)
    return tuple("" if figure is None else _number(figure.median) for figure in figures)


def _note(row: Row) -> str:
    if row.state == "void":
        return f"[red]void: {row.why}[/red]"
    if row.state == "not run":
        return f"not run: {row.why}"
    figures = ", ".join(f"{name} {_number(said.median)}" for name, said in row.figures.items())
    return f"[dim]{row.contains}[/dim]{figures and f' {figures}'}"


def _ratios(told: Report) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    table.add_column("ratio", overflow="fold")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("of", style="dim")
    table.add_column("target", justify="right")
    for each in told.comparisons:
        value = f"[bold]{_told(each.ratio)}[/bold] times" if each.ratio else _NONE
        table.add_row(each.name, value, _BY[each.by], _target(each))
    for bound in told.bounds:
        value = f"[bold]{_told(bound.value)}[/bold]" if bound.value else _NONE
        table.add_row(bound.name, value, bound.figure, _target(bound))
    return table


_NONE = "[dim]none[/dim]"
_BY = {
    "cpu": "CPU per operation",
    "rate": "rate",
    "cost": "CPU per operation, PostgreSQL's included",
}


def _target(wanted: Comparison | Bound) -> str:
    target = wanted.target if isinstance(wanted, Comparison) else None
    if target is None and wanted.limit is None:
        return ""
    text = f"≤ {wanted.limit:g}" if target is None else f"≥ {target:g}"
    if wanted.met is None:
        return text
    return f"[green]{text} met[/]" if wanted.met else f"[red]{text} not met[/]"


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
    return f"{value:.1f}" if value >= _ONE else f"{round(value, 2) + 0.0:.2f}"  # no -0.00
