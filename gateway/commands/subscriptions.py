"""`suture subscriptions`: who is told of events, how far each one is, and what a person can do."""

import argparse
import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from rich.console import Console

from canonical.clock import utc_now
from canonical.errors import InvalidRequest
from gateway.commands.opening import configuration, configured, opened
from gateway.events import subscription_desk
from ledger.ledger import Ledger
from ledger.outbox import Position
from ledger.subscriptions import Subscription
from system_apis.subscribers.desk import Order

NAME = "subscriptions"
HELP = "list who is told of events; add, suspend, resume, replay, skip, rotate"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)
    actions = parser.add_subparsers(dest="action", metavar="action")
    actions.add_parser("list", help="every subscription with its backlog and last error")
    add = actions.add_parser("add", help="a new subscription; its secret is shown once")
    add.add_argument("name")
    add.add_argument("target", help="an https URL, or the name of a stream with --stream")
    add.add_argument("--stream", action="store_true", help="a Valkey stream, no webhook")
    add.add_argument("--type", action="append", default=[], help="order.placed, order.*, *")
    add.add_argument("--facility", action="append", default=[], help="only of this facility")
    add.add_argument("--financial", action="store_true", help="financial events too")
    add.add_argument("--since", default="", metavar="TIME", help="begin with what was published")
    for name, about in (
        ("suspend", "deliver nothing until it is resumed"),
        ("resume", "go on where it stopped"),
        ("disable", "deliver no more"),
        ("rotate", "make a new secret; the old one signs beside it for a while"),
        ("replay", "tell again what was published since a time or a position"),
        ("skip", "leave out the event that is next"),
    ):
        action = actions.add_parser(name, help=about)
        action.add_argument("id")
        action.add_argument("--reason", default="", help="why, in words")
        if name == "replay":
            action.add_argument("--since", required=True, metavar="TIME|POSITION")
        if name == "skip":
            action.add_argument("--event", required=True, help="its id, as the task names it")


def run(given: argparse.Namespace) -> int:
    return asyncio.run(_run(given))


async def _run(given: argparse.Namespace) -> int:
    return await _ACTIONS[given.action or "list"](given)


async def _list(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        listed = await ledger.subscriptions.listed()
    if given.json:
        print(msgspec.json.encode(listed).decode())
        return 0
    console = Console(highlight=False)
    for each in listed:
        _show(console, each)
    if not listed:
        console.print("nobody is told of events: suture subscriptions add --help")
    return 0


def _show(console: Console, told: Subscription) -> None:
    console.print(f"[bold]{told.name}[/bold]  {told.id}  {told.status}", soft_wrap=True)
    console.print(f"  {told.kind} {told.target}: {' '.join(told.types)}", markup=False)
    waiting = "nothing waits"
    if told.oldest_at is not None:
        age = (utc_now() - told.oldest_at).total_seconds()
        waiting = f"{told.backlog} wait, the oldest for {age:.0f} s"
    console.print(f"  {told.delivered} delivered, {waiting}", markup=False)
    if told.last_error:
        failed = f"  {told.attempts} tries failed, the last with: {told.last_error}"
        console.print(f"{failed}; next {told.next_attempt_at:%Y-%m-%d %H:%M:%SZ}", markup=False)


async def _add(given: argparse.Namespace) -> int:
    order = Order(
        name=given.name,
        kind="stream" if given.stream else "webhook",
        target=given.target,
        types=tuple(given.type) or ("*",),
        facilities=tuple(given.facility),
        data_classes=("supply", "financial") if given.financial else ("supply",),
        since=_moment(given.since) if given.since else None,
    )
    async with opened(given) as ledger:
        desk = subscription_desk(configured(given), ledger, utc_now)
        made, secret = await desk.subscribe(order, by=_person())
    _shown_once(given, made.id, secret)
    return 0


async def _rotate(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        desk = subscription_desk(configured(given), ledger, utc_now)
        secret = await desk.rotate(given.id, by=_person())
    _shown_once(given, given.id, secret)
    return 0


async def _change(given: argparse.Namespace) -> int:
    async with opened(given) as ledger:
        changed = await _changed(ledger, given)
    if given.json:
        print(msgspec.json.encode(changed).decode())
    else:
        _show(Console(highlight=False), changed)
    return 0


async def _changed(ledger: Ledger, given: argparse.Namespace) -> Subscription:
    subscriptions, who = ledger.subscriptions, _person()
    match given.action:
        case "suspend":
            return await subscriptions.suspend(given.id, by=who, reason=given.reason)
        case "resume":
            return await subscriptions.resume(given.id, by=who, reason=given.reason)
        case "skip":
            return await subscriptions.skip(given.id, given.event, by=who, reason=given.reason)
        case "replay":
            place = _place(given.since)
            return await subscriptions.replay(given.id, place, by=who, reason=given.reason)
        case _:
            return await subscriptions.disable(given.id, by=who, reason=given.reason)


def _place(text: str) -> datetime | Position:
    """Return a moment (RFC 3339), or a position such as 812-45."""
    return _moment(text) if text.count("-") > 1 else Position.read(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidRequest("not a time", where="--since", expected="2026-11-20T08:00Z") from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shown_once(given: argparse.Namespace, subscription: str, secret: str) -> None:
    if given.json:
        print(msgspec.json.encode({"id": subscription, "secret": secret}).decode())
        return
    print(f"subscription {subscription}")
    if secret:
        print(f"secret {secret}\nThe secret is shown once: keep it now.")


def _person() -> str:
    return f"cli:{getpass.getuser()}"


_ACTIONS: dict[str, Callable[[argparse.Namespace], Awaitable[int]]] = {
    "list": _list,
    "add": _add,
    "rotate": _rotate,
    **dict.fromkeys(("suspend", "resume", "disable", "replay", "skip"), _change),
}
