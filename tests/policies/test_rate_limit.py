import asyncio
import os
import shutil
import socket

import msgspec
import pytest
from redis.asyncio import Redis

from canonical.errors import LimiterUnavailable
from gateway.embedded.place import place_of
from gateway.embedded.valkey import start_valkey
from policies.bearer_token import BearerToken
from policies.edge import Pace
from policies.rate_limit import RateLimit, gcra

HOURLY = Pace(limit=60, seconds=3600, burst=10)
GOOD = {"Authorization": "Bearer good"}


@pytest.fixture
async def limiters(valkey_url):
    pair = [gcra(valkey_url), gcra(valkey_url)]
    client = Redis.from_url(valkey_url)
    await client.flushdb()
    await client.aclose()
    yield pair
    for limiter in pair:
        await limiter.aclose()


async def test_two_gateways_together_admit_exactly_the_burst(limiters):
    calls = [limiters[n % 2]("who", HOURLY) for n in range(50)]
    verdicts = await asyncio.gather(*calls)
    admitted = [verdict for verdict in verdicts if verdict.allowed]
    assert sorted(verdict.remaining for verdict in admitted) == list(range(10))
    refused = next(verdict for verdict in verdicts if not verdict.allowed)
    assert refused.remaining == 0
    assert 59 < refused.retry_after <= 60


async def test_after_the_burst_calls_are_admitted_at_the_pace_and_not_faster(limiters):
    pace = Pace(limit=50, seconds=1, burst=5)
    loop = asyncio.get_running_loop()
    started, admitted = loop.time(), 0
    while loop.time() - started < 1:
        verdicts = await asyncio.gather(*(limiter("who", pace) for limiter in limiters))
        admitted += sum(verdict.allowed for verdict in verdicts)
        await asyncio.sleep(0.002)
    took = loop.time() - started
    assert 0.5 * took * 50 < admitted <= 5 + took * 50 + 1


async def test_a_refused_call_costs_nothing_and_succeeds_after_the_time_it_was_told(limiters):
    pace = Pace(limit=10, seconds=1, burst=1)
    assert (await limiters[0]("who", pace)).allowed
    for _ in range(5):
        refused = await limiters[0]("who", pace)
        assert not refused.allowed
    await asyncio.sleep(refused.retry_after + 0.005)
    assert (await limiters[1]("who", pace)).allowed


async def test_a_dear_call_spends_its_cost(limiters):
    assert (await limiters[0]("who", HOURLY, 8)).remaining == 2
    assert not (await limiters[0]("who", HOURLY, 3)).allowed
    assert (await limiters[0]("who", HOURLY, 2)).remaining == 0
    assert (await limiters[0]("someone else", HOURLY)).remaining == 9


async def test_keys_disappear_when_their_allowance_is_whole_again(limiters, valkey_url):
    await limiters[0]("who", Pace(limit=100, seconds=1, burst=1))
    await asyncio.sleep(0.05)
    client = Redis.from_url(valkey_url)
    left = await client.exists("who")
    await client.aclose()
    assert left == 0


async def test_a_forgotten_script_is_loaded_again_without_anybody_noticing(limiters, valkey_url):
    assert (await limiters[0]("who", HOURLY)).remaining == 9
    client = Redis.from_url(valkey_url)
    await client.script_flush()
    await client.aclose()
    verdicts = await asyncio.gather(*(limiters[0]("who", HOURLY) for _ in range(3)))
    assert [verdict.remaining for verdict in verdicts] == [8, 7, 6]


async def test_a_restarted_server_is_used_again_at_once(tmp_path):
    server = await start_valkey(tmp_path)
    limiter = gcra(server.url)
    assert (await limiter("who", HOURLY)).remaining == 9
    await server.stop()
    server = await start_valkey(tmp_path)
    assert (await limiter("who", HOURLY)).remaining == 9
    await server.stop()
    with pytest.raises(LimiterUnavailable):
        await limiter("who", HOURLY)
    await limiter.aclose()
    if os.geteuid() == 0:
        shutil.rmtree(place_of("valkey", tmp_path, "").folder.parent)


async def test_a_silent_server_is_unavailable_after_the_timeout(tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        limiter = gcra(f"unix://{tmp_path / 's'}", timeout_seconds=0.05)
        loop = asyncio.get_running_loop()
        started = loop.time()
        answers = await asyncio.gather(
            *(limiter("who", HOURLY) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(answer, LimiterUnavailable) for answer in answers)
        assert loop.time() - started < 1
        started = loop.time()
        with pytest.raises(LimiterUnavailable):
            await limiter("who", HOURLY)
        assert loop.time() - started < 0.02  # nobody else waits for it meanwhile
        await limiter.aclose()


async def test_a_caller_who_leaves_does_not_disturb_the_others(limiters):
    calls = [asyncio.create_task(limiters[0]("who", HOURLY)) for _ in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    assert (await calls[0]).remaining == 9
    assert (await calls[2]).remaining == 7


def limited(**settings):
    return RateLimit(name="calls", limit=2, seconds=3600, **settings)


async def test_a_client_that_calls_too_often_is_told_when_to_come_back(gateway, hello, limiters):
    gateway.limiter = limiters[0]
    answers = [await gateway.ask(hello, BearerToken(), limited(), headers=GOOD) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"calls";q=2;w=3600'
    assert answers[0].headers["ratelimit"] == '"calls";r=1;t=1800'
    assert answers[2].headers["ratelimit"].startswith('"calls";r=0;t=3')
    assert 1790 < int(answers[2].headers["retry-after"]) <= 1800
    assert answers[2].json()["type"] == "too-many-requests"
    assert [record.status for record in gateway.records] == [200, 200, 429]
    assert gateway.records[2].client == "ward-app"


async def test_unknown_paths_and_callers_without_a_token_count_by_address(gateway, limiters):
    async def nowhere(scope, receive, send):
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    gateway.limiter = limiters[0]
    policies = BearerToken(), limited()
    statuses = [(await gateway.ask(nowhere, *policies)).status_code for _ in range(3)]
    assert statuses == [404, 404, 429]
    known = await gateway.ask(nowhere, *policies, headers=GOOD)
    assert known.status_code == 404


async def test_guessing_tokens_is_limited_and_good_tokens_pass_meanwhile(gateway, hello, limiters):
    gateway.limiter = limiters[0]
    policies = limited(counts="refused-tokens"), BearerToken()
    bad = {"Authorization": "Bearer guess"}
    statuses = [(await gateway.ask(hello, *policies, headers=bad)).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]
    assert (await gateway.ask(hello, *policies, headers=GOOD)).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "forwarded", "who"),
    [
        (0, "10.0.0.1", "address:127.0.0.1"),
        (1, "6.6.6.6, 10.0.0.1", "address:10.0.0.1"),
        (2, "6.6.6.6, 10.0.0.1, 10.0.0.2", "address:10.0.0.1"),
        (2, "10.0.0.1", "address:127.0.0.1"),
        (1, "", "address:127.0.0.1"),
    ],
)
async def test_an_address_is_believed_only_as_far_as_our_own_proxies_wrote_it(
    gateway, hello, proxies, forwarded, who
):
    asked = []

    async def limiter(key, pace, cost):
        asked.append((key, pace, cost))
        return await gateway.no_limit(key, pace, cost)

    gateway.limiter = limiter
    await gateway.ask(
        hello, limited(trusted_proxies=proxies), headers={"X-Forwarded-For": forwarded}
    )
    assert asked == [(f"rate:calls:{who}", Pace(limit=2, seconds=3600, burst=2), 1)]


@pytest.mark.parametrize(("choice", "status"), [("allow", 200), ("refuse", 503)])
async def test_what_happens_without_a_limiter_is_a_choice_of_the_policy(
    gateway, hello, choice, status
):
    async def limiter(key, pace, cost):
        raise LimiterUnavailable("gone", retry_after=1)

    gateway.limiter = limiter
    response = await gateway.ask(hello, limited(when_unavailable=choice))
    assert response.status_code == status
    assert gateway.records[0].failure == ("" if status == 200 else "limiter-unavailable")


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1, "seconds": 0}, "limit"),
        ({"limit": 5, "cost": 6}, "cost"),
        ({"limit": 5, "burst": 2, "cost": 3}, "cost"),
        ({"limit": 5, "name": 'a"b'}, "name"),
        ({"limit": 5, "per-minute": 1}, "per-minute"),
        ({"limit": 5, "when-unavailable": "pray"}, "when-unavailable"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused_at_load(settings, place):
    toml = {"policy": "rate-limit", "name": "calls", **settings}
    with pytest.raises(msgspec.ValidationError, match=place):
        msgspec.convert(toml, RateLimit)
