"""`suture audit verify`: is the audit trail the one that was written."""

import argparse
import asyncio

import msgspec

from gateway.commands.opening import configuration, opened

NAME = "audit"
HELP = "verify the audit trail: every chain, every record"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("what", choices=("verify",))


def run(given: argparse.Namespace) -> int:
    return asyncio.run(_verify(given))


async def _verify(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        count, broken = await ledger.audit.verify()
    if given.json:
        print(msgspec.json.encode({"records": count, "broken": broken}).decode())
    elif broken:
        for link in broken:
            print(f"BROKEN chain {link.chain}, record {link.seq}: {link.reason}")
        print(f"{count} records read, {len(broken)} chains broken")
    else:
        print(f"{count} records read, every chain holds")
    return 1 if broken else 0
