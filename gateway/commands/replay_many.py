"""Many replays from the command line: a summary before, a bar meanwhile, and going on after."""

import argparse
from collections import Counter

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from canonical.errors import Failure
from gateway.commands.replay_shown import summary_table
from ledger.bulk_replay import ReplayJob, Selection
from ledger.ledger import Ledger


async def replay_many(
    ledger: Ledger, given: argparse.Namespace, selection: Selection, by: str
) -> int:
    """Preview what is meant, or open a bulk replay, or go on with one."""
    if given.preview and not given.resume:
        return await _preview(ledger, given, selection)
    if given.resume:
        job = await ledger.bulk_replays.job(given.resume)
    else:
        job = await ledger.bulk_replays.open(selection, by=by, reason=given.reason)
    console = Console(highlight=False, stderr=True)
    if not given.json:
        console.print(f"{job.id}: {job.total} flows; go on with: suture replay --resume {job.id}")
    done = await _driven(ledger, job, console, given)
    if given.json:
        print(msgspec.json.encode(done).decode())
    else:
        console.print(
            f"{done.begun} replayed, {done.refused} refused, {done.held} wait for news or a person"
        )
    return 0 if not (done.refused or done.held) else 1


async def _driven(
    ledger: Ledger, job: ReplayJob, console: Console, given: argparse.Namespace
) -> ReplayJob:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    shown = console.is_terminal and not given.json
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not shown) as bar:
        line = bar.add_task("replaying", total=job.total)

        def progress(standing: ReplayJob) -> None:
            ended = standing.begun + standing.refused - standing.running
            bar.update(line, completed=ended, description=f"replaying ({standing.running} running)")

        return await ledger.bulk_replays.drive(job.id, in_flight=given.in_flight, progress=progress)


async def _preview(ledger: Ledger, given: argparse.Namespace, selection: Selection) -> int:
    total = await ledger.bulk_replays.chosen(selection)
    console = Console(highlight=False, stderr=True)
    verdicts, refused, flows, changing = Counter[str](), Counter[str](), 0, list[str]()
    shown = console.is_terminal and not given.json
    with Progress(console=console, disable=not shown) as bar:
        line = bar.add_task("looking", total=total)
        async for seen in ledger.bulk_replays.previews(selection):
            bar.advance(line)
            if isinstance(seen, Failure):
                refused[f"{seen.slug}: {seen.detail}"] += 1
                continue
            flows += 1
            verdicts.update(seen.summary)
            if seen.changes:
                changing.append(seen.flow)
    told = {
        "flows": flows,
        "verdicts": dict(verdicts),
        "changing": changing,
        "refused": dict(refused),
    }
    if given.json:
        print(msgspec.json.encode(told).decode())
        return 0
    out = Console(highlight=False)
    out.print(summary_table(verdicts, flows, len(changing)))
    for why, number in refused.items():
        out.print(f"refused {number}: {why}", markup=False)
    for flow in changing[:20]:
        out.print(f"would change: {flow}", markup=False)
    return 0
