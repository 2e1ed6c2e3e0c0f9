"""`suture api consumers`: who calls which version and operation, and who would break."""

import argparse
import asyncio
from datetime import date, datetime, timedelta

import msgspec

from canonical.clock import utc_now
from gateway.commands.opening import configuration, configured, opened
from gateway.config import Config
from gateway.lifecycle import lifecycle_of
from gateway.openapi import operation_paths
from ledger.uses import Use
from policies.lifecycle import ApiTerm

NAME = "api"
HELP = "who calls which version of the APIs, when last, and who would break"


class Consumer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one client calls; the dates are those of the operation, null where there are none."""

    client: str
    api: str
    operation: str
    calls: int
    last_called: datetime
    deprecated: date | None = None
    sunset: date | None = None
    successor: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("what", choices=("consumers",))
    parser.add_argument("--deprecated", action="store_true", help="only what is deprecated")
    parser.add_argument("--days", type=int, default=90, help="how far back (90)")


def run(given: argparse.Namespace) -> int:
    config = configured(given)
    uses = asyncio.run(_uses(given))
    found = consumers(config, uses, only_deprecated=given.deprecated)
    if given.json:
        print(msgspec.json.encode(found).decode())
        return 0
    for each in found:
        print(_line(each))
    if not found:
        print(f"nobody called {'what is deprecated' if given.deprecated else 'an API'}")
    return 0


async def _uses(given: argparse.Namespace) -> list[Use]:
    async with opened(given) as ledger:
        return await ledger.uses.listed(utc_now().date() - timedelta(days=given.days))


def consumers(config: Config, uses: list[Use], *, only_deprecated: bool) -> list[Consumer]:
    """Return who calls what, with the dates of the operation."""
    lifecycle, paths = lifecycle_of(config.pipeline), operation_paths()
    found = list[Consumer]()
    for use in uses:
        api, _, operation = use.what.partition(" ")
        term = lifecycle.term_of(operation, paths.get(operation, f"/{api}/"))
        if not only_deprecated or (term is not None and term.deprecated is not None):
            found.append(_consumer(use, api, operation, term))
    return found


def _consumer(use: Use, api: str, operation: str, term: ApiTerm | None) -> Consumer:
    return Consumer(
        client=use.who,
        api=api,
        operation=operation,
        calls=use.calls,
        last_called=use.last_at,
        deprecated=None if term is None else term.deprecated,
        sunset=None if term is None else term.sunset,
        successor="" if term is None else term.successor,
    )


def _line(each: Consumer) -> str:
    dates = f"  deprecated {each.deprecated}" if each.deprecated else ""
    dates += f", ends {each.sunset}" if each.sunset else ""
    dates += f" → {each.successor}" if each.successor else ""
    last = f"{each.last_called:%Y-%m-%d %H:%M}"
    return f"{each.client:<24}{each.api:<16}{each.operation:<26}{each.calls:>9}  {last}{dates}"
