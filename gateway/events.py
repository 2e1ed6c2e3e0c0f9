"""Who is told of events, put together: the senders of each kind, the desk, the listeners."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import msgspec
import redis.asyncio as redis

from canonical.clock import Clock
from gateway.config import Config
from ledger.delivery_settings import DeliverySettings
from ledger.ledger import Ledger
from policies.aiohttp_transport import AiohttpTransport
from policies.public_addresses import public_socket
from system_apis.subscribers.desk import SubscriptionDesk
from system_apis.subscribers.envelope import Envelope
from system_apis.subscribers.live import Listeners
from system_apis.subscribers.stream.client import StreamSender
from system_apis.subscribers.webhook.client import WebhookSender

DOCUMENT = "events.asyncapi.json"
"""The AsyncAPI document, beside the OpenAPI ones."""
_LONGEST_ANSWER = 1_048_576


class Subscribers(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes of subscribers are given."""

    desk: SubscriptionDesk
    listeners: Listeners


@asynccontextmanager
async def open_subscribers(
    config: Config, ledger: Ledger, valkey: redis.Redis, clock: Clock
) -> AsyncGenerator[Subscribers]:
    """Plug the senders into the ledger; nothing is delivered before its deliveries are started."""
    events = config.events
    envelope = Envelope(source=events.source, document=f"{public_url(config)}/openapi/{DOCUMENT}")
    sockets = None if events.allow_private_targets else public_socket
    transport = AiohttpTransport(sockets=sockets, longest_body=_LONGEST_ANSWER)
    async with httpx.AsyncClient(
        transport=transport, timeout=events.timeout_seconds, trust_env=False
    ) as http:
        webhook = WebhookSender(
            http,
            envelope,
            clock,
            timeout_seconds=events.timeout_seconds,
            max_body_bytes=events.max_body_bytes,
        )
        stream = StreamSender(valkey, envelope, longest=events.stream_length)
        ledger.deliveries.install({"webhook": webhook, "stream": stream}, _patience(config))
        yield Subscribers(
            desk=subscription_desk(config, ledger, clock),
            listeners=Listeners(ledger, envelope, heartbeat_seconds=events.heartbeat_seconds),
        )


def subscription_desk(config: Config, ledger: Ledger, clock: Clock) -> SubscriptionDesk:
    """Return where subscriptions are asked for."""
    return SubscriptionDesk(
        ledger,
        clock,
        allow_private=config.events.allow_private_targets,
        rotation_hours=config.events.rotation_hours,
    )


def public_url(config: Config) -> str:
    """Return the address people reach this gateway by."""
    server = config.server
    scheme = "https" if server.tls else "http"
    return server.issuer or f"{scheme}://{server.host}:{server.port}"


def _patience(config: Config) -> DeliverySettings:
    events = config.events
    return DeliverySettings(
        lease_seconds=events.lease_seconds,
        retry_seconds=events.retry_seconds,
        longest_retry_seconds=events.longest_retry_seconds,
        max_attempts=events.max_attempts,
        give_up_hours=events.give_up_hours,
    )
