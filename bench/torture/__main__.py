"""`python -m bench.torture`: kill at random under load, then at every point, then count.

Exit status: 0 when nothing was lost, doubled or stuck; 1 otherwise; 2 when the run itself failed.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import uvloop
from rich.console import Console

from bench.torture.outage import outage
from bench.torture.report import Report, report, show, write
from bench.torture.run import Wanted, run
from bench.torture.walk import Walked, main_story, small
from canonical.errors import Failure
from gateway.demo.story import StoryStuck

_PARTS = ("random", "small", "story", "outage")
_QUICK_KILLS = 10
_QUICK_SHARE = {"small": 0.1, "story": 0.02}
_OUTAGE_SECONDS, _QUICK_OUTAGE_SECONDS = 30.0, 3.0
_PATIENCE, _QUICK_PATIENCE = 900.0, 120.0
"""Seconds without what is waited for: the walk ends there with what it found."""
_PRINTED_WIDTH = 120


def main(words: list[str] | None = None) -> int:
    """Run the parts that are wanted, and report."""
    given = _arguments().parse_args(words)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="suture-torture-"))
    try:
        with _progress() as say:
            told = uvloop.run(_interruptible(given, folder, say))
    except asyncio.CancelledError:
        return 130
    except (Failure, ChildProcessError, TimeoutError, StoryStuck) as exc:
        print(f"torture: {exc}\n  next: read the logs in {folder}", file=sys.stderr)
        return 2
    file = write(told, given.out)
    console = Console()
    console = console if console.is_terminal else Console(width=_PRINTED_WIDTH)
    show(console, told)
    console.print(f"  report {file}, logs and accounts {folder}", style="dim", highlight=False)
    return 0 if told.is_clean else 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.torture", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[[], *_PARTS], help="all when none is named")
    parser.add_argument("--kills", type=int, default=1000, help="at random")
    parser.add_argument("--workers", type=int, default=4, help="at most; at least 2 of them live")
    parser.add_argument("--seed", type=int, help="repeat the kills of an earlier run")
    parser.add_argument("--lease", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_KILLS} kills, some points")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where logs and accounts go")
    parser.add_argument("--out", type=Path, default=Path(".suture/torture"), metavar="FOLDER")
    return parser


async def _interruptible(
    given: argparse.Namespace, folder: Path, say: Callable[[str], None]
) -> Report:
    """Let SIGINT and SIGTERM end the run by the way out, on which all processes are stopped."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await _parts(given, folder, say)


async def _parts(given: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> Report:
    wanted = given.part or _PARTS
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1, 10**6)
    share = _QUICK_SHARE if given.quick else dict.fromkeys(_PARTS, 1.0)
    patience = _QUICK_PATIENCE if given.quick else _PATIENCE
    for part in wanted:
        (folder / part).mkdir(parents=True, exist_ok=True)
    outcome, walks = None, dict[str, Walked]()
    if "random" in wanted:
        kills = _QUICK_KILLS if given.quick else given.kills
        told = Wanted(kills=kills, workers=given.workers, seed=seed, lease=given.lease)
        outcome = await run(told, folder / "random", say)
    if "small" in wanted:
        say("every point of the small flows")
        walks["small flows"] = await small(
            folder / "small", share=share["small"], seed=seed, patience=patience
        )
    if "story" in wanted:
        walks["the main story"] = await main_story(
            folder / "story", share=share["story"], seed=seed, say=say, patience=patience
        )
    out = None
    if "outage" in wanted:
        seconds = _QUICK_OUTAGE_SECONDS if given.quick else _OUTAGE_SECONDS
        out = await outage(folder / "outage", seconds=seconds, say=say)
    return report(outcome, walks, out)


@contextlib.contextmanager
def _progress() -> Generator[Callable[[str], None]]:
    """Say on standard error how far it is: a line that changes, or a line now and then."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("starting") as status:
            yield status.update
        return
    said = ""

    def now_and_then(text: str) -> None:
        nonlocal said
        done = text.partition(" of ")[0]
        if not done.isdecimal():
            said = ""
            console.print(text, highlight=False)
        elif done[:-2] != said:
            said = done[:-2]
            console.print(text, highlight=False)

    yield now_and_then


if __name__ == "__main__":
    sys.exit(main())
