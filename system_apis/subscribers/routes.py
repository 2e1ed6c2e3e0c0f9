"""System API of subscribers: who is told which events, and how far each of them is."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, SkipValidation

from canonical.errors import InvalidRequest
from canonical.events import TAXONOMY, EventKind
from canonical.request import RequestFacts
from ledger.ledger import Ledger
from ledger.outbox import Position
from ledger.subscriptions import SubscriberKind, Subscription
from system_apis.subscribers.access import client_of, readable, visible
from system_apis.subscribers.desk import Order, SubscriptionDesk

_Id = Annotated[str, PathParameter(max_length=64)]
_Reason = Annotated[str, msgspec.Meta(max_length=500)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_READ, _WRITE = "system.subscriptions:read", "system.subscriptions:write"


class EventType(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One row of the taxonomy. `planned` events have no producer yet: nobody can get them."""

    type: str
    name: str
    title: str
    criticality: str
    data_class: str
    producer: str
    planned: bool


class EventTypeList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    items: tuple[EventType, ...]


class SubscriptionList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    items: tuple[Subscription, ...]


class NewSubscription(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Who wants to be told what. `types` are names such as `order.placed`, or prefixes `order.*`.

    `target` is an https URL, or the name of a stream. No `facilities` are all of them; financial
    events have to be asked for. With `since` it begins with what was published then.
    """

    name: _Name
    kind: SubscriberKind
    target: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    types: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=50)]
    facilities: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=50)] = ()
    data_classes: Annotated[
        tuple[Literal["supply", "financial"], ...], msgspec.Meta(min_length=1, max_length=2)
    ] = ("supply",)
    since: datetime | None = None


class CreatedSubscription(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The subscription with the secret that signs its deliveries: shown here, and never again."""

    subscription: Subscription
    secret: str = ""


class FreshSecret(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The new secret, shown once. The old one signs beside it until the rotation is over."""

    secret: str


class Change(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is to become of a subscription, and why."""

    action: Literal["suspend", "resume", "disable"]
    reason: _Reason = ""


class Replay(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """From when: a time, or the position of the last event that is not to be told again."""

    since: datetime | None = None
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""
    reason: _Reason = ""


class Skip(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The event that is next and will not be told, with the reason."""

    event: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class PingOutcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether the target took a test event, and what kept it from that."""

    delivered: bool
    error: str = ""


@get(
    "/events/types",
    operation_id="listEventTypes",
    summary="List the events that can be subscribed to, and those that are planned",
    scope="system.events:read",
)
async def list_event_types() -> EventTypeList:
    return EventTypeList(items=tuple(_event_type(kind) for kind in TAXONOMY))


@get(
    "/subscriptions",
    operation_id="listSubscriptions",
    summary="List subscriptions with their backlog and last error",
    scope=_READ,
)
async def list_subscriptions(
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> SubscriptionList:
    listed = await ledger.subscriptions.listed()
    return SubscriptionList(items=tuple(each for each in listed if visible(each, facts)))


@post(
    "/subscriptions",
    operation_id="createSubscription",
    summary="Subscribe a webhook or a stream; the answer shows the signing secret once",
    scope=_WRITE,
)
async def create_subscription(
    data: JSONBody[NewSubscription],
    subscribers: NamedDependency[SkipValidation[SubscriptionDesk]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> CreatedSubscription:
    order = Order(
        name=data.name,
        kind=data.kind,
        target=data.target,
        types=data.types,
        facilities=readable(data.facilities, facts),
        data_classes=data.data_classes,
        since=data.since,
    )
    made, secret = await subscribers.subscribe(order, by=client_of(facts))
    return CreatedSubscription(subscription=made, secret=secret)


@get(
    "/subscriptions/{subscription_id:str}",
    operation_id="showSubscription",
    summary="Show a subscription: position, backlog, attempts, last error",
    scope=_READ,
)
async def show_subscription(
    subscription_id: _Id,
    subscribers: NamedDependency[SkipValidation[SubscriptionDesk]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Subscription:
    return await subscribers.known(subscription_id, facts)


@post(
    "/subscriptions/{subscription_id:str}/changes",
    operation_id="changeSubscription",
    summary="Suspend, resume or disable a subscription",
    scope=_WRITE,
    status_code=200,
)
async def change_subscription(
    subscription_id: _Id,
    data: JSONBody[Change],
    subscribers: NamedDependency[SkipValidation[SubscriptionDesk]],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Subscription:
    known = await subscribers.known(subscription_id, facts)
    change = getattr(ledger.subscriptions, data.action)
    changed: Subscription = await change(known.id, by=client_of(facts), reason=data.reason)
    return changed


@post(
    "/subscriptions/{subscription_id:str}/replays",
    operation_id="replaySubscription",
    summary="Tell again what was published since a time or a position; events keep their ids",
    scope=_WRITE,
    status_code=200,
)
async def replay_subscription(
    subscription_id: _Id,
    data: JSONBody[Replay],
    subscribers: NamedDependency[SkipValidation[SubscriptionDesk]],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Subscription:
    known = await subscribers.known(subscription_id, facts)
    if (data.since is None) == (not data.after):
        raise InvalidRequest("from when is not said", where="$", expected="either since or after")
    place = data.since or Position.read(data.after)
    return await ledger.subscriptions.replay(
        known.id, place, by=client_of(facts), reason=data.reason
    )


@post(
    "/subscriptions/{subscription_id:str}/skips",
    operation_id="skipEvent",
    summary="Leave out the event that is next, with a reason, and go on",
    scope=_WRITE,
    status_code=200,
)
async def skip_event(
    subscription_id: _Id,
    data: JSONBody[Skip],
    subscribers: NamedDependency[SkipValidation[SubscriptionDesk]],
    ledger: NamedDependency[SkipValidation[Ledger]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> Subscription:
    known = await subscribers.known(subscription_id, facts)
    return await ledger.subscriptions.skip(
        known.id, data.event, by=client_of(facts), reason=data.reason
    )


@post(
    "/subscriptions/{subscription_id:str}/secret",
    operation_id="rotateSecret",
    summary="Make a new signing secret; the old one is valid beside it for a while",
    scope=_WRITE,
)
async def rotate_secret(
    subscription_id: _Id,
    subscribers: NamedDependency[SkipValidation[SubscriptionDesk]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> FreshSecret:
    known = await subscribers.known(subscription_id, facts)
    return FreshSecret(secret=await subscribers.rotate(known.id, by=client_of(facts)))


@post(
    "/subscriptions/{subscription_id:str}/ping",
    operation_id="pingSubscription",
    summary="Send a test event now, outside the queue",
    scope=_WRITE,
    status_code=200,
)
async def ping_subscription(
    subscription_id: _Id,
    subscribers: NamedDependency[SkipValidation[SubscriptionDesk]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
) -> PingOutcome:
    known = await subscribers.known(subscription_id, facts)
    outcome = await subscribers.ping(known)
    return PingOutcome(delivered=bool(outcome.delivered), error=outcome.error)


def _event_type(kind: EventKind) -> EventType:
    return EventType(
        type=kind.type,
        name=kind.name,
        title=kind.title,
        criticality=kind.criticality,
        data_class=kind.data_class,
        producer=kind.producer,
        planned=kind.planned,
    )


router = Router(
    "/system/v1",
    route_handlers=[
        list_event_types,
        list_subscriptions,
        create_subscription,
        show_subscription,
        change_subscription,
        replay_subscription,
        skip_event,
        rotate_secret,
        ping_subscription,
    ],
)
