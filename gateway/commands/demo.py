"""`suture demo`: the main job, end to end, on embedded PostgreSQL and Valkey."""

import argparse
import asyncio
import signal
import time
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from gateway.config import Config, load
from gateway.demo.people import Refused
from gateway.demo.report import invitation, report, show, write
from gateway.demo.servers import SandboxFailed
from gateway.demo.stage import Stage, open_stage
from gateway.demo.story import Story, StoryStuck
from gateway.demo.subscriber import subscribe, told_to

NAME = "demo"
HELP = "play the main job end to end, then keep serving until Ctrl-C"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exit", action="store_true", help="leave when the story is told")
    parser.add_argument("--pace", type=float, default=0.4, help="seconds between EDI documents")
    parser.add_argument("--config", type=Path, default=Path("gateway.toml"))


def run(given: argparse.Namespace) -> int:
    config = load(given.config)
    folder = Path(config.state_folder) / "demo"
    # A reader should not need a new token while the demonstration serves.
    server = msgspec.structs.replace(config.server, token_seconds=28_800)
    config = msgspec.structs.replace(config, state_folder=str(folder), server=server)
    return uvloop.run(_demo(config, given))


async def _demo(config: Config, given: argparse.Namespace) -> int:
    console = Console(highlight=False)
    began = time.monotonic()
    console.print(
        "[bold]Suture[/bold]: from a clinical event to a matched, posted, audited order\n"
    )
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        async with open_stage(
            config, pace=given.pace, say=lambda text: _line(console, "setup", text)
        ) as stage:
            ready = time.monotonic() - began
            _line(console, "setup", f"gateway ready on {stage.running.url} after {ready:.1f} s")
            code = await _play(console, stage, began, Path(config.state_folder))
            if not given.exit and not code:
                console.print("\nServing until Ctrl-C.")
                await stopped.wait()
            return code
    except SandboxFailed as exc:
        console.print(f"[red]{exc}[/red]")
        return 1


async def _play(console: Console, stage: Stage, began: float, folder: Path) -> int:
    story = Story(stage, lambda who, text: _line(console, who, text))
    subscription = await subscribe(stage)
    try:
        with console.status("the story runs …"):
            outcome = await story.play()
    except (StoryStuck, Refused) as exc:
        console.print(f"\n[red]The story is stuck.[/red] {exc}")
        return 1
    told = await report(stage, outcome, time.monotonic() - began)
    file = write(told, folder)
    console.print()
    show(console, told)
    console.print(
        f"\noutcome {told.outcome}, {len(told.hops)} hops, {told.elapsed_seconds} s → {file}"
    )
    heard = await told_to(stage, subscription)
    _line(console, "events", f"{len(heard.events)} were delivered to {heard.stream}:")
    _line(console, "", " · ".join(heard.events))
    console.print()
    for line in invitation(stage, told):
        console.print(line, soft_wrap=True, markup=False)
    return 0 if told.outcome == "matched" else 1


def _line(console: Console, who: str, text: str) -> None:
    console.print(f"  [cyan]{who:>7}[/cyan]  {text}", soft_wrap=True)
