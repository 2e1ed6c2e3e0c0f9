"""A webhook as the receiver sees it: signed, typed, never redirected, never inside our network."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from canonical.errors import InvalidRequest
from canonical.trace import transaction_place
from ledger.delivery_port import Target
from ledger.outbox import Event, Position
from ledger.subscription_secrets import new_secret
from policies.aiohttp_transport import AiohttpTransport
from policies.public_addresses import is_public, public_socket
from standards.cloudevents.codec import decode
from system_apis.subscribers.envelope import Envelope
from system_apis.subscribers.webhook.client import WebhookSender
from system_apis.subscribers.webhook.mapping import patience, signature, webhook_target
from tests.system_apis.receiver import answer, receiving

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
ENVELOPE = Envelope(source="urn:suture:test", document="https://suture.test/openapi/events.json")


def event(identity: str = "evt_1", body: bytes = b'{"facility":"1710"}', **told: object) -> Event:
    fields: dict = {
        "id": identity,
        "position": Position(812, 45),
        "transaction": "tx_1",
        "type": "org.suture.order.placed.v1",
        "subject": "4500000001",
        "body": body,
        "facility": "1710",
        "data_class": "supply",
        "cause": "msg_1",
        "at": NOW,
    }
    return Event(**{**fields, **told})


def target(url: str, *secrets: str) -> Target:
    return Target(subscription="sub_1", kind="webhook", address=url, secrets=secrets)


@asynccontextmanager
async def sender(*, timeout: float = 5, **transport: object) -> AsyncGenerator[WebhookSender]:
    async with httpx.AsyncClient(transport=AiohttpTransport(**transport), trust_env=False) as http:
        settings = {"timeout_seconds": timeout, "max_body_bytes": 10_000}
        yield WebhookSender(http, ENVELOPE, lambda: NOW, **settings)


async def test_what_arrives_is_a_cloudevent_signed_with_every_valid_secret() -> None:
    first, second = new_secret(), new_secret()
    async with receiving() as receiver, sender() as webhook:
        outcome = await webhook.send(target(receiver.url, first, second), [event()])
    assert outcome.delivered == 1
    [came] = receiver.deliveries
    assert came.is_signed_with(first)
    assert came.is_signed_with(second)
    assert not came.is_signed_with(new_secret())
    assert came.headers["content-type"].startswith("application/cloudevents+json")
    assert came.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert came.event == {
        "specversion": "1.0",
        "id": "evt_1",
        "source": "urn:suture:test",
        "type": "org.suture.order.placed.v1",
        "time": "2026-11-20T15:00:00Z",
        "subject": "4500000001",
        "datacontenttype": "application/json",
        "dataschema": "https://suture.test/openapi/events.json#/components/schemas/OrderPlaced",
        "data": {"facility": "1710"},
        "correlationid": "tx_1",
        "causationid": "msg_1",
        "transactionid": "tx_1",
        "sequence": f"{812:020}.{45:020}",
        "facility": "1710",
        "dataclass": "supply",
        "traceparent": str(transaction_place("tx_1", "evt_1")),
    }
    assert decode(came.body).id == came.id == "evt_1"


def test_the_signature_is_that_of_the_published_test_vector() -> None:
    """The example of the Standard Webhooks reference libraries."""
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_has_the_length_that_the_specification_asks_for() -> None:
    assert 24 <= len(base64.b64decode(new_secret().removeprefix("whsec_"))) <= 64


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer("204 No Content"), {"delivered": 1}),
        (answer("500 No"), {"error": "HTTP 500"}),
        (answer("410 Gone"), {"error": "HTTP 410", "gone": True}),
        (answer("429 Slow", retry_after="120"), {"error": "HTTP 429", "retry_after": 120.0}),
        (answer("429 Slow"), {"error": "HTTP 429"}),
        (
            answer("503 Later", retry_after="Fri, 20 Nov 2026 15:01:00 GMT"),
            {"error": "HTTP 503", "retry_after": 60.0},
        ),
        (answer("302 Found", location="http://127.0.0.1:1/"), {"error": "HTTP 302"}),
        (b"nonsense\r\n\r\n", {"error": "RemoteProtocolError"}),
        (b"", {}),
    ],
    ids=["2xx", "500", "410", "429", "429-bare", "503-date", "redirect", "nonsense", "silence"],
)
async def test_what_an_answer_means(said: bytes, told: dict) -> None:
    async def hung(_: object) -> bytes:
        await asyncio.sleep(60)
        return b""

    async with receiving() as receiver, sender(timeout=0.3) as webhook:
        receiver.says = (lambda _: said) if said else hung
        outcome = await webhook.send(target(receiver.url, new_secret()), [event()])
    shown = {"delivered": 0, "error": "" if told.get("delivered") else "no answer within 0.3 s"}
    for name, value in {**shown, **told}.items():
        assert getattr(outcome, name) == value
    assert len(receiver.deliveries) == 1


async def test_an_event_that_is_too_large_is_never_sent() -> None:
    async with receiving() as receiver, sender() as webhook:
        big = event(body=msgspec.json.encode({"text": "x" * 10_000}))
        outcome = await webhook.send(target(receiver.url, new_secret()), [big])
    assert outcome.hopeless
    assert receiver.deliveries == []


async def test_a_name_that_cannot_be_looked_up_is_an_outcome() -> None:
    async with sender() as webhook:
        url = f"http://{'x' * 64}.invalid/"
        outcome = await webhook.send(target(url, new_secret()), [event()])
    assert outcome.delivered == 0
    assert outcome.error


async def test_nobody_listening_is_an_outcome() -> None:
    async with receiving() as receiver:
        pass
    async with sender() as webhook:
        outcome = await webhook.send(target(receiver.url, new_secret()), [event()])
    assert (outcome.delivered, outcome.error) == (0, "ConnectError")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "[::ffff:127.0.0.1]"]
)
async def test_a_name_that_stands_for_an_inner_address_is_refused_when_connected_to(host) -> None:
    async with receiving() as receiver, sender(sockets=public_socket) as webhook:
        url = receiver.url.replace("127.0.0.1", host)
        outcome = await webhook.send(target(url, new_secret()), [event()])
    # aiohttp takes some spellings for no address at all.
    assert outcome.error in ("the target is no public address", "UnsupportedProtocol")
    assert receiver.deliveries == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        *((inner, False) for inner in ("10.1.2.3", "172.16.0.1", "192.168.0.1", "127.0.0.1")),
        *((inner, False) for inner in ("169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1")),
        *((inner, False) for inner in ("::1", "fe80::1%eth0", "fd00::1", "::", "ff02::1")),
        *((inner, False) for inner in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::")),
        *((inner, False) for inner in ("::127.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b:1::a00:1")),
        *((inner, False) for inner in ("fec0::1", "2001:0:a00:1::1", "3fff::1", "5f00::1")),
        *((inner, False) for inner in ("192.0.0.192", "192.88.99.1", "100.100.100.200")),
        *((inner, False) for inner in ("::ffff:169.254.169.254", "fd00:ec2::254")),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("2002:5db8:d822::", True),
    ],
)
def test_only_what_everybody_can_reach_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "ftp://example.com/",
        "https://",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest",
        "https://localhost/",
        "https://localhost./",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://0/",
        "https://127.0.0.1./",
        "https://[::ffff:127.0.0.1]/",
        "https://[::127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://ex%61mple.com/",
        "https://example.com%2f@127.0.0.1/",
        "https://127.0.0.1:443@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://\u2460\u2461\u2466.0.0.1/",
        "https://metadata.google.internal/",
        "https://db.internal/",
        "https://exam ple.com/",
        "https://[bad/",
        f"https://{'x' * 64}.example.com/",
        "https://example..com/",
        "example.com",
    ],
)
def test_a_target_is_a_public_https_address(url: str) -> None:
    with pytest.raises(InvalidRequest):
        webhook_target(url, allow_private=False)


def test_private_targets_are_allowed_where_the_configuration_says_so() -> None:
    assert webhook_target("http://127.0.0.1:1/x", allow_private=True)
    assert webhook_target("https://example.com/x?y=1", allow_private=False)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("0", 1.0), ("1.5", 0.0), ("soon", 0.0), ("9999999999", 0.0), ("999999", 86_400.0), ("", 0.0)],
)
def test_retry_after_is_seconds_or_a_date(given: str, seconds: float) -> None:
    assert patience({"retry-after": given}, NOW) == seconds
