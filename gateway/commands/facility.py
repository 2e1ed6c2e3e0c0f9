"""`suture facility load`: master data of a facility, from a pack that is checked as a whole."""

import argparse
import asyncio
from pathlib import Path

import msgspec

from canonical.clock import utc_now
from canonical.errors import InvalidRequest
from gateway.commands.opening import configuration, opened
from gateway.master_data import FacilityPack, MasterData, read_pack

NAME = "facility"
HELP = "load a facility's master data: locations, par levels, cards, contracts, partners, codes"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("what", choices=("load", "check"))
    parser.add_argument("pack", type=Path, help="a JSON file")


def run(given: argparse.Namespace) -> int:
    try:
        pack = read_pack(given.pack)
    except (OSError, msgspec.DecodeError) as exc:
        raise InvalidRequest(f"the pack cannot be read: {exc}", where=str(given.pack)) from exc
    if given.what == "check":
        print(f"{given.pack}: holds")
        return 0
    return asyncio.run(_load(given, pack))


async def _load(given: argparse.Namespace, pack: FacilityPack) -> int:
    async with opened(given) as ledger:
        changed = await MasterData(ledger.registry, {}, utc_now).load(pack, by="cli")
    if given.json:
        print(msgspec.json.encode({"changed": changed}).decode())
    else:
        print(f"{changed} objects are new or changed")
    return 0
