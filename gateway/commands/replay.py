"""`suture replay`: what a replay would do, and a replay; of one flow, or of many by a query."""

import argparse
import asyncio
import getpass
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
from rich.console import Console

from canonical.errors import InvalidRequest
from gateway.commands.opening import configuration, configured
from gateway.commands.replay_many import replay_many
from gateway.commands.replay_shown import show_begun, show_preview
from gateway.runtime import open_parts
from ledger.bulk_replay import Selection
from ledger.ledger import Ledger
from ledger.replay import ReplayBegun
from ledger.replay_plan import START, ReplayWish

NAME = "replay"
HELP = "tell a finished flow again, or many of them; --preview says what that would do"

_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.1


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    parser.add_argument("name", nargs="?", help="any name the transaction goes by")
    parser.add_argument("--from", dest="step", default=START, metavar="STEP", help="default: start")
    parser.add_argument("--flow", default="", help="an id, or a name; where several have the step")
    parser.add_argument("--mapping", choices=("pinned", "current"), default="pinned")
    parser.add_argument("--preview", action="store_true", help="change nothing")
    parser.add_argument("--reason", default="", help="why, in words; stays in the record")
    many = parser.add_argument_group("many flows, in their original order")
    many.add_argument("--query", metavar="NAME", help="a key or name, with * for anything")
    many.add_argument("--flow-name", default="", help="only flows of this name")
    many.add_argument("--status", choices=("done", "abandoned"), default="")
    many.add_argument("--since", type=_moment, metavar="TIME", help="begun at or after, ISO 8601")
    many.add_argument("--until", type=_moment, metavar="TIME", help="begun before")
    many.add_argument("--limit", type=int, default=0, help="so many at most")
    many.add_argument("--in-flight", type=int, default=20, help="so many at a time")
    many.add_argument("--resume", metavar="JOB", help="go on with a bulk replay")


def run(given: argparse.Namespace) -> int:
    return asyncio.run(_replay(given))


async def _replay(given: argparse.Namespace) -> int:
    many = given.resume or given.query is not None
    if bool(many) == bool(given.name):
        raise InvalidRequest(
            "say which transaction, or which flows",
            expected="a name, or --query, or --resume JOB",
        )
    if not (given.preview or given.resume or given.reason.strip()):
        raise InvalidRequest("a reason is needed", where="--reason", expected="why, in words")
    by = f"cli:{getpass.getuser()}"
    async with _opened(given) as ledger:
        if many:
            return await replay_many(ledger, given, _selection(given), by)
        return await _replay_one(ledger, given, by)


@asynccontextmanager
async def _opened(given: argparse.Namespace) -> AsyncGenerator[Ledger]:
    """Open the ledger with its flows: a replay needs to know them, and how documents are read."""
    async with open_parts(configured(given)) as parts:
        yield parts.ledger


async def _replay_one(ledger: Ledger, given: argparse.Namespace, by: str) -> int:
    transaction = await ledger.traces.find(given.name)
    wish = ReplayWish(from_step=given.step, flow=given.flow, mapping=given.mapping)
    console = Console(highlight=False)
    if given.preview:
        seen = await ledger.replays.preview(transaction, wish)
        if given.json:
            print(msgspec.json.encode(seen).decode())
        else:
            show_preview(console, seen)
        return 0
    begun = await ledger.replays.begin(transaction, wish, by=by, reason=given.reason)
    status = await _settled(ledger, begun)
    if given.json:
        print(msgspec.json.encode({"begun": begun, "status": status}).decode())
    else:
        show_begun(console, begun, status)
    return 0 if status == "done" else 1


async def _settled(ledger: Ledger, begun: ReplayBegun) -> str:
    """Wait until a worker has run the new flow as far as it goes; return where it stands."""
    end = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        flows = (await ledger.traces.trace(begun.transaction)).flows
        status = next(flow.status for flow in flows if flow.id == begun.flow)
        late = asyncio.get_running_loop().time() > end
        if late or status not in ("queued", "ready"):
            return status
        await asyncio.sleep(_POLL_SECONDS)


def _selection(given: argparse.Namespace) -> Selection:
    return Selection(
        flow_name=given.flow_name,
        query="" if given.query in (None, "*") else given.query,
        status=given.status,
        since=given.since,
        until=given.until,
        from_step=given.step,
        mapping=given.mapping,
        limit=given.limit,
    )


def _moment(text: str) -> datetime:
    """Return a time; one without a zone is UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
