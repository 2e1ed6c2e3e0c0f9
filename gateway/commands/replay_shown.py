"""How replays look on a terminal."""

from rich.console import Console
from rich.table import Table

from ledger.judgement import QUIET, Judgement, Preview
from ledger.replay import ReplayBegun

_COLOURS = {"fails": "red", "would-wait": "yellow", "would-ask-a-person": "yellow"}
_LONGEST = 60


def show_preview(console: Console, seen: Preview) -> None:
    """Print what a replay would do: a line a step, a line a field that differs."""
    versions = seen.version_before
    if seen.version_after != seen.version_before:
        versions = f"{seen.version_before} → {seen.version_after}"
    console.print(
        f"[bold]{seen.name}[/bold] {seen.flow}  version {versions}, {seen.mapping},"
        f" from «{seen.from_step}»",
        soft_wrap=True,
    )
    for field in seen.facts:
        console.print(_field("the facts", field.path, field.before, field.after), markup=False)
    for step in seen.steps:
        _show_step(console, step)
    counted = ", ".join(f"{number} {verdict}" for verdict, number in seen.summary.items())
    outcome = "something would change" if seen.changes else "nothing would change"
    console.print(f"[bold]{outcome}[/bold]; it would end {seen.ends} ({counted})", soft_wrap=True)


def _show_step(console: Console, step: Judgement) -> None:
    colour = "dim" if step.verdict in QUIET else _COLOURS.get(step.verdict, "cyan")
    why = f"  {step.why}" if step.why and step.verdict not in ("recorded", "suppressed") else ""
    text = f"[{colour}]{step.verdict:>24}[/{colour}]  "
    console.print(text, end="")
    console.print(f"{step.system:<10.10}  {step.name}{why}", markup=False, soft_wrap=True)
    for field in step.differences:
        line = _field("", field.path, field.before, field.after)
        console.print(line, markup=False, soft_wrap=True)


def _field(what: str, path: str, before: bytes, after: bytes) -> str:
    return f"{what:>24}    {path}: {_short(before)} → {_short(after)}"


def _short(value: bytes) -> str:
    text = bytes(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def show_begun(console: Console, begun: ReplayBegun, status: str) -> None:
    """Print which flow tells the story again, and where it stands."""
    console.print(
        f"{begun.name}/{begun.version}: flow {begun.flow} replays {begun.replay_of}: {status}",
        soft_wrap=True,
    )
    if status in ("queued", "ready"):
        console.print("  next: nobody has run it yet: start `suture worker` or `suture serve`")
    elif status != "done":
        console.print(f"  next: suture trace {begun.transaction}", soft_wrap=True)


def summary_table(verdicts: dict[str, int], flows: int, changing: int) -> Table:
    """Return how often each verdict was given."""
    table = Table(title=f"{flows} flows, {changing} would change something", box=None)
    table.add_column("verdict")
    table.add_column("steps", justify="right")
    for verdict, number in sorted(verdicts.items(), key=lambda pair: -pair[1]):
        table.add_row(verdict, str(number))
    return table
