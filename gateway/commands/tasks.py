"""`suture tasks`: what waits for a person, and its resolution."""

import argparse
import asyncio
import getpass

import msgspec
from rich.console import Console

from canonical.errors import StateConflict
from canonical.task import Resolution
from gateway.commands.opening import configuration, opened
from ledger.tasks import Task

NAME = "tasks"
HELP = "list the tasks that wait for a person; resolve one"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("--status", choices=("open", "resolved", "any"), default="open")
    parser.add_argument("--resolve", metavar="TASK", help="the task to resolve")
    parser.add_argument("--action", help="one of the task's actions")
    parser.add_argument("--reason", default="", help="why, in words")


def run(given: argparse.Namespace) -> int:
    return asyncio.run(_resolve(given) if given.resolve else _list(given))


async def _list(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        tasks = await ledger.tasks.listed(status=given.status)
    if given.json:
        print(msgspec.json.encode(tasks).decode())
        return 0
    console = Console(highlight=False)
    for task in tasks:
        console.print(f"[bold]{task.title}[/bold]  {task.id}  ({task.owner})", soft_wrap=True)
        console.print(f"  {task.detail}", soft_wrap=True, markup=False)
        if task.due_at or task.resolution_seconds is not None:
            console.print(f"  {_times(task)}", soft_wrap=True, markup=False)
        console.print(f"  affected: {task.affected or 'unknown'}", soft_wrap=True, markup=False)
        console.print(f"  next: {task.fix} [{' | '.join(task.actions)}]", markup=False)
    if not tasks:
        console.print("no task waits for a person")
    return 0


def _times(task: Task) -> str:
    """Say how urgent it is, by when it is due, and how long it took."""
    due = f"due {task.due_at:%Y-%m-%d %H:%M} UTC" if task.due_at else ""
    escalated = f"escalated {task.escalated_at:%Y-%m-%d %H:%M} UTC" if task.escalated_at else ""
    took = task.resolution_seconds
    resolved = f"resolved after {took:.0f} s" if took is not None else ""
    return ", ".join(part for part in (task.tier, due, escalated, resolved) if part)


async def _resolve(given: argparse.Namespace) -> int:
    answer = msgspec.convert(
        {"action": given.action, "by": f"cli:{getpass.getuser()}", "reason": given.reason},
        Resolution,
    )
    async with opened(given) as ledger:
        known = await ledger.tasks.one(given.resolve)
        _check_doable_here(known, answer)
        task = await ledger.tasks.resolve(given.resolve, answer)
    print(msgspec.json.encode(task).decode() if given.json else f"{task.id}: {answer.action}")
    return 0


def _check_doable_here(task: Task, answer: Resolution) -> None:
    """Refuse what needs an approver's own token, or a running gateway."""
    if task.reason == "approval":
        raise StateConflict(
            "an approval is decided by an approver",
            expected=f"POST /process/v1/requisitions/{task.id}/decision",
        )
    if answer.action == "correct":
        raise StateConflict(
            "corrected facts are judged by a running gateway, which knows their type",
            expected=f"POST /process/v1/tasks/{task.id}/resolution with a correction",
        )
    if task.kind == "refused" and answer.action == "retry":
        raise StateConflict(
            "a refused document is read again by a running gateway",
            expected=f"POST /process/v1/tasks/{task.id}/resolution",
        )
