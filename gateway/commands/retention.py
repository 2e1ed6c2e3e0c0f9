"""`suture retention run|preview`: what the rules of `[retention]` remove, or would remove."""

import argparse
import asyncio
import sys

import msgspec

from gateway.commands.opening import configuration, configured, opened
from ledger.retention import Due, Retention

NAME = "retention"
HELP = "remove what is older than its rule, or say what that would be"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("what", choices=("run", "preview"))


def run(given: argparse.Namespace) -> int:
    return asyncio.run(_run(given))


async def _run(given: argparse.Namespace) -> int:
    rules = configured(given).retention
    if not any(msgspec.structs.astuple(rules)):
        print("[]" if given.json else "no rule in [retention]: everything is kept for ever")
        return 0
    async with opened(given) as ledger:
        ledger.retention.rules = rules
        if given.what == "preview":
            _print_due(await ledger.retention.preview(), machine=given.json)
        else:
            await _remove(ledger.retention, machine=given.json)
    return 0


def _print_due(due: list[Due], *, machine: bool) -> None:
    if machine:
        print(msgspec.json.encode(due).decode())
        return
    for each in due:
        months = f", whole months: {', '.join(each.months)}" if each.months else ""
        print(f"{each.what:<12}{each.rows:>10} before {each.before:%Y-%m-%d %H:%M}{months}")


async def _remove(retention: Retention, *, machine: bool) -> None:
    def told(what: str, rows: int) -> None:
        if not machine and sys.stdout.isatty():
            print(f"\r{what:<12}{rows:>10}", end="", flush=True)

    removed = await retention.run(progress=told)
    if machine:
        print(msgspec.json.encode(removed).decode())
        return
    if sys.stdout.isatty():
        print("\r", end="")
    for what, rows in removed.items():
        print(f"{what:<12}{rows:>10} removed")
    if not removed:
        print("nothing is older than its rule")
