"""`suture config status|diff|apply`: what is in force, what a file would change, and doing it."""

import argparse
import asyncio
import os
import pwd

import msgspec

from gateway.commands.opening import configuration, opened
from gateway.config import ConfigurationRefused
from gateway.config_changes import Change, changes
from gateway.policy_editions import NAME as EDITION
from gateway.policy_editions import Proposal, of_edition, propose, proposed_in
from ledger.editions import Edition
from ledger.ledger import Ledger

NAME = "config"
HELP = "which policies are in force on the replicas, and what gateway.toml would change"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("what", choices=("status", "diff", "apply"))
    parser.add_argument("--by", default="", help="who changes it, for the audit trail")


def run(given: argparse.Namespace) -> int:
    wanted = proposed_in(given.config)
    return asyncio.run(_run(given, wanted))


async def _run(given: argparse.Namespace, wanted: Proposal) -> int:
    async with opened(given) as ledger:
        newest = await ledger.editions.current(EDITION)
        if given.what == "status":
            return await _show_status(ledger, newest, wanted, machine=given.json)
        was = None if newest is None else of_edition(newest)
        found = [] if was is None else changes(was.config, wanted.config)
        if given.what == "apply":
            newest = await propose(
                ledger.editions, wanted, by=given.by or _operator(), was=was.config if was else None
            )
        _show_changes(found, newest, machine=given.json)
    return 0


async def _show_status(
    ledger: Ledger, newest: Edition | None, wanted: Proposal, *, machine: bool
) -> int:
    replicas = await ledger.editions.replicas(EDITION)
    is_same = newest is not None and newest.digest == wanted.digest
    if machine:
        number = 0 if newest is None else newest.number
        told = {"edition": number, "fileIsInForce": is_same, "replicas": replicas}
        print(msgspec.json.encode(told).decode())
    else:
        print(_in_force(newest))
        print(f"this file says {'the same' if is_same else 'something else: suture config diff'}")
        for one in replicas:
            problem = f"  refused: {one.problem}" if one.problem else ""
            print(f"{one.replica:<40} edition {one.number}{problem}")
    return 1 if any(one.problem for one in replicas) else 0


def _show_changes(found: list[Change], newest: Edition | None, *, machine: bool) -> None:
    if machine:
        print(msgspec.json.encode(found).decode())
        return
    print(_in_force(newest))
    for each in found:
        needs = "  (restart needed)" if each.restart else ""
        print(f"  {each.where}: {each.was or 'nothing'} → {each.becomes or 'nothing'}{needs}")
    if not found:
        print("  nothing changes")


def _in_force(newest: Edition | None) -> str:
    if newest is None:
        return "no edition yet: the first replica that starts makes it of its file"
    return f"edition {newest.number} is in force, by {newest.made_by}, {newest.at:%Y-%m-%d %H:%M}"


def _operator() -> str:
    try:
        return f"operator {pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"operator {os.getuid()}"


async def policies_standing(ledger: Ledger, wanted: Proposal) -> str:
    """Say for the doctor what is in force; raises `ConfigurationRefused` where one is refused."""
    newest, replicas = (
        await ledger.editions.current(EDITION),
        await ledger.editions.replicas(EDITION),
    )
    for one in replicas:
        if one.problem:
            raise ConfigurationRefused(f"{one.replica} goes by edition {one.number}: {one.problem}")
    same = newest is None or newest.digest == wanted.digest
    file = "" if same else "; this file says something else: suture config diff"
    return f"{_in_force(newest)}, on {len(replicas)} replicas{file}"
