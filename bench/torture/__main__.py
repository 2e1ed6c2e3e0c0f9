"""`python -m bench.torture`: kill everything at random under load, then count what is there.

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

from bench.torture.report import report, show, write
from bench.torture.run import Outcome, Wanted, run
from canonical.errors import Failure

_QUICK_KILLS = 12
_PRINTED_WIDTH = 120


def main(words: list[str] | None = None) -> int:
    """Run once and report."""
    given = _arguments().parse_args(words)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1, 10**6)
    wanted = Wanted(
        kills=_QUICK_KILLS if given.quick else given.kills,
        workers=given.workers,
        seed=seed,
        lease=given.lease,
    )
    folder = given.keep or Path(tempfile.mkdtemp(prefix="suture-torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _progress() as say:
            outcome = uvloop.run(_interruptible(wanted, folder, say))
    except asyncio.CancelledError:
        return 130
    except (Failure, ChildProcessError, TimeoutError) as exc:
        print(f"torture: {exc}\n  next: read the logs in {folder}", file=sys.stderr)
        return 2
    told = report(outcome)
    file = write(told, given.out)
    console = Console()
    console = console if console.is_terminal else Console(width=_PRINTED_WIDTH)
    show(console, told)
    console.print(f"  [dim]report[/dim] {file}, [dim]logs and accounts[/dim] {folder}")
    return 0 if outcome.verdict.is_clean else 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4, help="at most; at least 2 of them live")
    parser.add_argument("--seed", type=int, help="repeat the kills of an earlier run")
    parser.add_argument("--lease", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_KILLS} kills")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where logs and accounts go")
    parser.add_argument("--out", type=Path, default=Path(".suture/torture"), metavar="FOLDER")
    return parser


async def _interruptible(wanted: Wanted, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Let SIGINT and SIGTERM end the run by the way out, on which all processes are stopped."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await run(wanted, folder, say)


@contextlib.contextmanager
def _progress() -> Generator[Callable[[str], None]]:
    """Say on standard error how far it is: a line that changes, or a line now and then."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("starting") as status:
            yield status.update
        return
    said = -1

    def now_and_then(text: str) -> None:
        nonlocal said
        done = text.partition(" ")[0]
        tenth = int(done) // 50 if done.isdecimal() else said
        if tenth != said:
            said = tenth
            console.print(text, highlight=False)

    yield now_and_then


if __name__ == "__main__":
    sys.exit(main())
