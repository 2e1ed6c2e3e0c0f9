"""`suture trace`: one business transaction, hop by hop, by any name people know."""

import argparse
import asyncio

import msgspec
from rich.console import Console
from rich.table import Table

from gateway.commands.opening import configuration, opened
from ledger.tasks import Task
from ledger.traces import TransactionTrace

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


def _show(console: Console, told: TransactionTrace, tasks: list[Task]) -> None:
    console.print(f"[bold]{told.id}[/bold]  {told.title}  ({told.status})")
    console.print("  " + ", ".join(f"{kind} {value}" for kind, value in told.references))
    for flow in told.flows:
        waits = f", waits for {flow.waits_for}" if flow.waits_for else ""
        console.print(f"  flow {flow.name}/{flow.version}: {flow.status}{waits}")
    table = Table(box=None)
    for column in ("time", "system", "hop", "outcome", "versions", "by", "why"):
        table.add_column(column, overflow="fold")
    for hop in told.hops:
        versions = ", ".join(hop.versions.values())
        table.add_row(
            hop.at.strftime("%H:%M:%S.%f")[:-3],
            hop.system,
            hop.name,
            hop.outcome,
            versions,
            hop.actor,
            hop.why,
        )
    console.print(table)
    for task in tasks:
        console.print(
            f"  open task {task.id}: {task.title}\n    {task.detail}\n    next: {task.fix}"
        )
