import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from canonical.errors import UpstreamUnavailable
from policies.circuit_breaker import CircuitBreaker
from policies.retry import Retry
from policies.timeout import Timeout

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URL = "https://erp.test/orders"


class Upstream(httpx.AsyncBaseTransport):
    """Another system that does what its script says, one entry a call, the last one for ever."""

    def __init__(self, *script):
        self.script = list(script)
        self.bodies = []

    async def handle_async_request(self, request):
        self.bodies.append(await request.aread())
        act = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(act, type):
            raise act("scripted", request=request)
        status, headers = act if isinstance(act, tuple) else (act, {})
        return httpx.Response(status, headers=headers, request=request)

    @property
    def calls(self):
        return len(self.bodies)


def quick(**settings):
    return Retry(first_delay_seconds=0.001, longest_delay_seconds=0.05, **settings)


async def ask(transport, method="GET", **request):
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.request(method, URL, **request)


@pytest.mark.parametrize(
    ("method", "script", "status", "calls"),
    [
        ("GET", (200,), 200, 1),
        ("GET", (503, 502, 200), 200, 3),
        ("GET", (503,), 503, 3),
        ("GET", (500, 200), 500, 1),
        ("GET", (404, 200), 404, 1),
        ("GET", (httpx.ReadError, 200), 200, 2),
        ("POST", (503, 200), 503, 1),
        ("PUT", (504, 200), 504, 1),
        ("POST", (httpx.ConnectError, httpx.ConnectTimeout, 201), 201, 3),
        ("GET", ((429, {"Retry-After": "0"}), 200), 200, 2),
        ("GET", ((429, {"Retry-After": "3600"}), 200), 429, 1),
        ("GET", ((503, {"Retry-After": "Sun, 01 Mar 2026 12:00:00 GMT"}), 200), 200, 2),
        ("GET", ((503, {"Retry-After": "Sun, 01 Mar 2026 13:00:00 GMT"}), 200), 503, 1),
        ("GET", ((503, {"Retry-After": "soon"}), 200), 200, 2),
        ("GET", ((503, {"Retry-After": "Sun, 01 Mar 2026 13:00:00 -0000"}), 200), 200, 2),
        ("GET", ((503, {"Retry-After": "-5"}), 200), 200, 2),
    ],
)
async def test_only_what_does_no_harm_is_tried_again(method, script, status, calls):
    upstream = Upstream(*script)
    response = await ask(quick()(upstream, lambda: NOW), method)
    assert (response.status_code, upstream.calls) == (status, calls)


async def test_a_post_that_may_have_arrived_is_not_sent_twice():
    upstream = Upstream(httpx.ReadTimeout, 201)
    with pytest.raises(httpx.ReadTimeout):
        await ask(quick()(upstream), "POST", content=b"order")
    assert upstream.calls == 1


async def test_an_upstream_that_stays_away_is_given_up_with_its_own_error():
    upstream = Upstream(httpx.ConnectError)
    with pytest.raises(httpx.ConnectError):
        await ask(quick(attempts=4)(upstream))
    assert upstream.calls == 4


async def test_a_streamed_body_is_sent_whole_each_time():
    async def body():
        yield b"one "
        yield b"order"

    upstream = Upstream(503, 200)
    await ask(quick(methods=("PUT",))(upstream), "PUT", content=body())
    assert upstream.bodies == [b"one order", b"one order"]


def test_a_single_attempt_is_no_policy_at_all():
    upstream = Upstream(200)
    assert quick(attempts=1)(upstream) is upstream


async def test_an_upstream_that_fails_in_a_row_is_left_alone_until_a_trial_succeeds():
    now = 0.0
    upstream = Upstream(500, httpx.ReadTimeout, 503, 503, 200)
    guarded = CircuitBreaker(failures=3, open_seconds=10)(upstream, lambda: now)
    for _ in range(3):
        try:
            await ask(guarded)
        except httpx.ReadTimeout:
            continue
    assert upstream.calls == 3
    with pytest.raises(UpstreamUnavailable) as refused:
        await ask(guarded)
    assert refused.value.retry_after == 10
    assert refused.value.retryable
    assert upstream.calls == 3
    now = 10.0
    assert (await ask(guarded)).status_code == 503  # the trial fails: open again
    with pytest.raises(UpstreamUnavailable):
        await ask(guarded)
    now = 20.0
    assert (await ask(guarded)).status_code == 200
    assert (await ask(guarded)).status_code == 200
    assert upstream.calls == 6


async def test_a_success_in_between_starts_the_count_again():
    upstream = Upstream(500, 500, 200, 500, 500, 404, 200)
    guarded = CircuitBreaker(failures=3)(upstream)
    statuses = [(await ask(guarded)).status_code for _ in range(7)]
    assert statuses == [500, 500, 200, 500, 500, 404, 200]


async def test_while_a_trial_is_on_its_way_the_others_are_refused():
    now, release = 0.0, asyncio.Event()

    async def answer(request):
        await release.wait()
        return httpx.Response(200, request=request)

    class Slow(httpx.AsyncBaseTransport):
        down = True

        async def handle_async_request(self, request):
            if self.down:
                raise httpx.ConnectError("down", request=request)
            return await answer(request)

    upstream = Slow()
    guarded = CircuitBreaker(failures=1, open_seconds=5)(upstream, lambda: now)
    with pytest.raises(httpx.ConnectError):
        await ask(guarded)
    now, upstream.down = 5.0, False
    trial = asyncio.create_task(ask(guarded))
    await asyncio.sleep(0.01)
    with pytest.raises(UpstreamUnavailable):
        await ask(guarded)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    release.set()
    assert (await ask(guarded)).status_code == 200  # a cancelled trial proved nothing


async def test_an_open_circuit_is_not_hammered_by_retries():
    upstream = Upstream(httpx.ConnectError)
    chain = quick(attempts=5)(CircuitBreaker(failures=2)(upstream))
    with pytest.raises(UpstreamUnavailable):
        await ask(chain)
    assert upstream.calls == 2


async def test_a_late_answer_and_a_trickling_one_are_both_too_late():
    class Late(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await asyncio.sleep(5)
            return httpx.Response(200, request=request)

    class Trickle(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                yield b"."
                await asyncio.sleep(0.01)

    trickling = httpx.MockTransport(lambda _: httpx.Response(200, stream=Trickle()))
    for upstream in (Late(), trickling):
        with pytest.raises(httpx.ReadTimeout):
            await ask(Timeout(seconds=0.05)(upstream))


async def test_a_timely_answer_passes_whole_and_the_transport_knows_the_limits():
    seen = {}

    def upstream(request):
        seen.update(request.extensions["timeout"])
        return httpx.Response(200, content=b"stock")

    response = await ask(Timeout(seconds=4, connect_seconds=1)(httpx.MockTransport(upstream)))
    assert response.content == b"stock"
    assert seen == {"connect": 1, "read": 4, "write": 4, "pool": 4}
