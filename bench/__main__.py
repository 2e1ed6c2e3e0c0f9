"""`python -m bench [NAME…]`: measure, print a table, and write `.suture/bench/<name>.json`.

Exit status: 0 when every row was measured, 1 when one is void. Nothing here fails for being slow.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from bench import codecs, edge
from bench.ledger import contest as ledger
from bench.report import Report, bounded, compared, write
from bench.rounds import Bench, Settings
from bench.table import show
from canonical.clock import utc_now
from canonical.errors import Failure
from gateway.embedded.place import place_of

BENCHES: dict[str, Bench] = {each.BENCH.name: each.BENCH for each in (codecs, ledger, edge)}
_ROUNDS = 5
_HISTORY, _WAITS = 1_000_000, 100_000
_PRINTED_WIDTH = 150


def main(words: list[str] | None = None) -> int:
    """Run the benches that are named, or all of them."""
    given = _arguments().parse_args(words)
    reports: dict[str, Report] = {}
    try:
        with _home() as home:
            for name in given.bench or BENCHES:
                reports[name] = _run(BENCHES[name], given, home)
    except Failure as exc:
        print(f"bench: {exc}\n  next: {exc.fix}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(reports), indent=2).decode())
    return 1 if any(report.void for report in reports.values()) else 0


def _run(bench: Bench, given: argparse.Namespace, home: Path) -> Report:
    """Measure one, write its report, and show it to whoever looks."""
    with _progress(bench.name) as say:
        settings = Settings(
            rounds=given.rounds,
            quick=given.quick,
            home=home,
            kept=given.out,
            say=say,
            history=given.history,
            waits=given.waits,
        )
        report = uvloop.run(_report(bench, settings))
    file = write(report, given.out)
    if not given.json:
        console = _console()
        show(console, report)
        console.print(f"  [dim]report[/dim] {file}", highlight=False)
    return report


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Suture beside real peers.")
    named = f"of {', '.join(BENCHES)}; all of them when none is named"
    parser.add_argument("bench", nargs="*", type=_bench, metavar="NAME", help=named)
    parser.add_argument("--rounds", type=_positive, default=_ROUNDS)
    parser.add_argument("--quick", action="store_true", help="a few operations only")
    parser.add_argument("--json", action="store_true", help="print the reports for machines")
    parser.add_argument("--out", type=Path, default=Path(".suture/bench"), metavar="FOLDER")
    past = "finished transactions in the ledger that has a past"
    parser.add_argument("--history", type=_positive, default=_HISTORY, metavar="N", help=past)
    waiting = "flows that wait in the ledger of waits"
    parser.add_argument("--waits", type=_positive, default=_WAITS, metavar="N", help=waiting)
    return parser


def _bench(name: str) -> str:
    if name not in BENCHES:
        raise argparse.ArgumentTypeError(f"{name} is not of {', '.join(BENCHES)}")
    return name


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number, at least 1")
    return int(text)


async def _report(bench: Bench, settings: Settings) -> Report:
    _stop_when_told()
    measured = await bench.measure(settings)
    rows = {row.name: row for row in measured.rows}
    comparisons = tuple(compared(each, rows) for each in bench.comparisons)
    return Report(
        name=bench.name,
        title=bench.title,
        at=utc_now(),
        quick=settings.quick,
        rounds=settings.rounds,
        ratios={each.name: each.ratio.median if each.ratio else None for each in comparisons},
        comparisons=comparisons,
        bounds=tuple(bounded(each, rows) for each in bench.bounds),
        rows=tuple(measured.rows),
        conditions=measured.conditions,
    )


def _stop_when_told() -> None:
    """Let SIGINT and SIGTERM end the bench by the way out, on which servers are stopped."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)


@contextlib.contextmanager
def _home() -> Generator[Path]:
    """Give a folder for servers of our own, and remove all that they leave behind."""
    with tempfile.TemporaryDirectory(prefix="suture-bench-") as folder:
        home = Path(folder)
        try:
            yield home
        finally:
            for server in ("postgres", "valkey"):
                shutil.rmtree(place_of(server, home, "").folder.parent, ignore_errors=True)


@contextlib.contextmanager
def _progress(name: str) -> Generator[Callable[[str], None]]:
    """Say on standard error what is being measured, as long as a person looks."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _text: None
        return
    with console.status(f"{name}: starting") as status:
        yield lambda text: status.update(f"{name}: {text}")


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PRINTED_WIDTH)


if __name__ == "__main__":
    sys.exit(main())
