"""A Valkey stream as its consumers see it: every event once, in order, whatever is sent again."""

import uuid
from collections.abc import AsyncGenerator

import pytest
import redis.asyncio as redis

from canonical.errors import InvalidRequest
from gateway.runtime import Stores
from ledger.delivery_port import Outcome, Target
from ledger.outbox import Event, Position
from system_apis.subscribers.stream.client import STREAM_PREFIX, StreamSender
from system_apis.subscribers.stream.mapping import stream_target
from tests.system_apis.test_webhook_client import ENVELOPE, event


class Stream:
    """One stream of this test, with our end of it."""

    def __init__(self, valkey: redis.Redis, longest: int = 1000) -> None:
        self.valkey = valkey
        self.name = uuid.uuid4().hex
        self.key = STREAM_PREFIX + self.name
        self.sender = StreamSender(valkey, ENVELOPE, longest=longest)

    async def send(self, *events: Event, replays: int = 0) -> Outcome:
        target = Target(subscription="sub_1", kind="stream", address=self.name, generation=replays)
        return await self.sender.send(target, events)

    async def told(self) -> list[str]:
        entries = await self.valkey.xrange(self.key)
        return [fields[b"id"].decode() for _, fields in entries]


@pytest.fixture
async def stream(stores: Stores) -> AsyncGenerator[Stream]:
    async with redis.Redis.from_url(stores.valkey) as valkey:
        made = Stream(valkey)
        yield made
        await valkey.delete(made.key)


def events(*places: tuple[int, int]) -> list[Event]:
    return [event(f"e{one}-{two}", position=Position(one, two)) for one, two in places]


async def test_a_consumer_group_reads_every_event_and_acknowledges_it(stream: Stream) -> None:
    told = events((10, 1), (10, 2), (11, 3))
    assert (await stream.send(*told)).delivered == 3
    valkey, key = stream.valkey, stream.key
    await valkey.xgroup_create(key, "ward", id="0")
    [[_, entries]] = await valkey.xreadgroup("ward", "one", {key: ">"}, count=10)
    fields = [entry for _, entry in entries]
    assert [entry[b"id"].decode() for entry in fields] == [one.id for one in told]
    assert fields[0][b"event"] == ENVELOPE.around(told[0])
    assert fields[0][b"content-type"] == b"application/cloudevents+json"
    assert (fields[0][b"type"], fields[0][b"subscription"]) == (told[0].type.encode(), b"sub_1")
    await valkey.xack(key, "ward", *(identity for identity, _ in entries))
    assert await valkey.xreadgroup("ward", "one", {key: ">"}) == []
    assert (await valkey.xpending(key, "ward"))["pending"] == 0


async def test_what_is_sent_again_is_there_once(stream: Stream) -> None:
    first, second, third = events((10, 1), (10, 2), (11, 3))
    await stream.send(first, second)
    assert (await stream.send(first, second, third)).delivered == 3
    assert await stream.told() == ["e10-1", "e10-2", "e11-3"]


async def test_an_overtaken_sender_adds_nothing(stream: Stream) -> None:
    await stream.send(*events((10, 1), (12, 5)))
    outcome = await stream.send(*events((11, 3)))
    assert outcome.delivered == 0
    assert outcome.hopeless
    assert await stream.told() == ["e10-1", "e12-5"]


async def test_a_replay_appends_behind_everything_under_the_same_event_ids(stream: Stream) -> None:
    told = events((10, 1), (10, 2))
    await stream.send(*told)
    await stream.send(*told, replays=1)
    assert await stream.told() == ["e10-1", "e10-2", "e10-1", "e10-2"]


async def test_what_was_trimmed_since_counts_as_told(stream: Stream) -> None:
    told = events((10, 1), (10, 2), (10, 3))
    await stream.send(*told)
    await stream.valkey.xtrim(stream.key, maxlen=1, approximate=False)
    assert (await stream.send(*told)).delivered == 3
    await stream.valkey.xtrim(stream.key, maxlen=0, approximate=False)
    assert (await stream.send(*told, *events((11, 4)))).delivered == 4
    assert await stream.told() == ["e11-4"]


async def test_a_stream_is_kept_to_its_length(stores: Stores) -> None:
    async with redis.Redis.from_url(stores.valkey) as valkey:
        short = Stream(valkey, longest=100)
        for number in range(10):
            await short.send(*events(*((number + 1, place) for place in range(1, 101))))
        assert 100 <= await valkey.xlen(short.key) <= 300
        await valkey.delete(short.key)


async def test_a_key_that_is_no_stream_and_a_store_that_is_away_are_outcomes(
    stream: Stream,
) -> None:
    await stream.valkey.set(stream.key, "mine")
    assert (await stream.send(*events((1, 1)))).error == "WRONGTYPE"
    async with redis.Redis.from_url("redis://127.0.0.1:1/0") as nobody:
        away = Stream(nobody)
        assert (await away.send(*events((1, 1)))).error == "ConnectionError"


@pytest.mark.parametrize("name", ["", "with space", "x" * 129, "a{b}"])
def test_a_stream_has_a_plain_name(name: str) -> None:
    assert stream_target("ward-7:orders") == "ward-7:orders"
    with pytest.raises(InvalidRequest):
        stream_target(name)
