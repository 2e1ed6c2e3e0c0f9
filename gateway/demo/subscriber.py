"""Somebody who is told of the story while it happens: a Valkey stream."""

import asyncio
import secrets

import msgspec

from canonical.events import BY_TYPE
from gateway.demo.stage import Stage
from ledger.outbox import Position, Wanted
from ledger.subscriptions import Subscription
from system_apis.subscribers.desk import Order
from system_apis.subscribers.stream.client import STREAM_PREFIX

_TRIES, _PAUSE_SECONDS = 40, 0.05


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the subscriber has: its stream, and the names of the events in their order."""

    stream: str
    events: tuple[str, ...]


async def subscribe(stage: Stage) -> Subscription:
    """Subscribe to everything, before the story begins."""
    order = Order(
        name="demonstration",
        kind="stream",
        target=f"demo-{secrets.token_hex(4)}",
        types=("*",),
        data_classes=("supply", "financial"),
    )
    made, _ = await stage.running.parts.subscribers.desk.subscribe(order, by="demo")
    return made


async def told_to(stage: Stage, made: Subscription) -> Told:
    """Return what was delivered, once nothing waits any more."""
    ledger = stage.running.parts.ledger
    known = made
    for _ in range(_TRIES):
        known = await ledger.subscriptions.one(made.id)
        if known.delivered and not known.backlog:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    wanted = Wanted(types=made.types)
    page = await ledger.outbox.after(Position.read(made.position), wanted, limit=1000)
    names = [BY_TYPE[event.type].name for event in page.events[: known.delivered]]
    return Told(stream=STREAM_PREFIX + made.target, events=tuple(names))
