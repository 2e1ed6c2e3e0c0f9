"""`suture trace`: one business transaction, hop by hop, by any name people know."""

import argparse
import asyncio

import msgspec
from rich.console import Console

from gateway.commands.opening import configuration, opened
from ledger.tasks import Task
from ledger.traces import Hop, TransactionTrace

NAME = "trace"
HELP = "tell one transaction: by id, order number, MSH-10, ISA13, invoice number …"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("name", help="any name the transaction goes by")


def run(given: argparse.Namespace) -> int:
    return asyncio.run(_trace(given))


async def _trace(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        told = await ledger.traces.trace(await ledger.traces.find(given.name))
        tasks = await ledger.tasks.listed(status="open", transaction=told.id)
    if given.json:
        print(msgspec.json.encode({"transaction": told, "openTasks": tasks}).decode())
        return 0
    _show(Console(highlight=False), told, tasks)
    return 0


def _line(hop: Hop) -> str:
    versions = " ".join(version for name, version in hop.versions.items() if name != "flow")
    outcome = "" if hop.outcome == "done" else hop.outcome
    by = f"by {hop.actor}" if hop.actor and hop.actor != hop.system else ""
    extra = "  ".join(part for part in (outcome, by, versions, hop.why) if part)
    head = f"{hop.at:%H:%M:%S}.{hop.at.microsecond // 1000:03}  {hop.system:<14.14}  {hop.name}"
    return f"{head}  ({extra})" if extra else head


def _show(console: Console, told: TransactionTrace, tasks: list[Task]) -> None:
    console.print(f"[bold]{told.id}[/bold]  {told.title}  ({told.status})")
    console.print("  " + ", ".join(f"{kind} {value}" for kind, value in told.references))
    for flow in told.flows:
        waits = f", waits for {flow.waits_for}" if flow.waits_for else ""
        console.print(f"  flow {flow.name}/{flow.version}: {flow.status}{waits}")
    for hop in told.hops:
        console.print(_line(hop), soft_wrap=True, markup=False)
    for task in tasks:
        console.print(
            f"  open task {task.id}: {task.title}\n    {task.detail}\n    next: {task.fix}"
        )
