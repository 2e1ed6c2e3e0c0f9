"""Takes subscriptions in: checks what is asked for, and sends the test event."""

from datetime import datetime

import msgspec

from canonical.clock import Clock
from canonical.errors import NotFound, StateConflict
from canonical.events import kind_of, wanted_types
from canonical.published import Ping
from canonical.request import RequestFacts
from ledger.delivery_port import Outcome
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.outbox import Event, Position, Wanted
from ledger.subscriptions import SubscriberKind, Subscription, SubscriptionDraft
from system_apis.subscribers.access import visible
from system_apis.subscribers.stream.mapping import stream_target
from system_apis.subscribers.webhook.mapping import webhook_target


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for, in their own words."""

    name: str
    kind: SubscriberKind
    target: str
    types: tuple[str, ...]
    facilities: tuple[str, ...] = ()
    data_classes: tuple[str, ...] = ("supply",)
    since: datetime | None = None


class SubscriptionDesk:
    """Where subscriptions are asked for, by the API and the command line alike."""

    def __init__(
        self, ledger: Ledger, clock: Clock, *, allow_private: bool, rotation_hours: float
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._allow_private = allow_private
        self._rotation_hours = rotation_hours

    async def subscribe(self, order: Order, *, by: str) -> tuple[Subscription, str]:
        """Return the new subscription and its secret, '' for a stream."""
        if order.kind == "webhook":
            target = webhook_target(order.target, allow_private=self._allow_private)
        else:
            target = stream_target(order.target)
        draft = SubscriptionDraft(
            name=order.name,
            kind=order.kind,
            target=target,
            wanted=Wanted(
                types=wanted_types(order.types),
                facilities=tuple(dict.fromkeys(order.facilities)),
                data_classes=tuple(dict.fromkeys(order.data_classes)),
            ),
            since=order.since,
        )
        return await self._ledger.subscriptions.add(draft, by=by)

    async def known(self, subscription: str, facts: RequestFacts) -> Subscription:
        """Return a subscription that the caller may know of."""
        found = await self._ledger.subscriptions.one(subscription)
        if not visible(found, facts):
            raise NotFound("no such subscription", where=subscription)
        return found

    async def rotate(self, subscription: str, *, by: str) -> str:
        """Return a new secret."""
        hours = self._rotation_hours
        return await self._ledger.subscriptions.rotate(subscription, by=by, hours=hours)

    async def ping(self, subscription: Subscription) -> Outcome:
        """Send a test event to a webhook at once. A stream has an order, which a test would
        break.
        """
        if subscription.kind != "webhook":
            raise StateConflict("only a webhook can be tested", where=subscription.id)
        told = Ping(text="A test: nothing happened.")
        kind = kind_of(told)
        event = Event(
            id=new_id("evt"),
            position=Position(0, 0),
            transaction="",
            type=kind.type,
            subject=subscription.id,
            body=msgspec.json.encode(told),
            facility="",
            data_class=kind.data_class,
            cause="",
            at=self._clock(),
        )
        return await self._ledger.deliveries.ping(subscription.id, event)
