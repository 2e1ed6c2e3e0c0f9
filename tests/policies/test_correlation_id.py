import re

import pytest

from policies.bearer_token import BearerToken
from policies.correlation_id import CorrelationId
from policies.max_body import MaxBody
from policies.rate_limit import RateLimit
from policies.security_headers import SecurityHeaders

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"X-Correlation-ID": "case-42.a_B"}, "case-42.a_B"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        (
            {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Correlation-ID": "mine"},
            "mine",
        ),
    ],
)
async def test_a_usable_id_of_the_caller_is_kept_and_sent_back(gateway, hello, sent, expected):
    response = await gateway.ask(hello, headers=sent)
    assert response.headers["x-correlation-id"] == expected
    assert gateway.records[0].correlation_id == expected


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"X-Correlation-ID": ""},
        {"X-Correlation-ID": "a" * 65},
        {"X-Correlation-ID": "two words"},
        {"X-Correlation-ID": "<script>"},
        {"traceparent": "00-short-00f067aa0ba902b7-01"},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
    ],
)
async def test_an_unusable_id_is_replaced_by_a_new_one(gateway, hello, sent):
    first = await gateway.ask(hello, headers=sent)
    second = await gateway.ask(hello, headers=sent)
    ids = [response.headers["x-correlation-id"] for response in (first, second)]
    assert ids[0] != ids[1]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


async def test_a_gateway_that_trusts_no_caller_makes_its_own_id(gateway):
    sent = {}

    async def app(scope, receive, send):
        sent["facts"] = scope["state"]["facts"]

    outer = CorrelationId(trust_callers=False)(app, gateway.edge())
    await outer(
        {"type": "http", "path": "/", "headers": [(b"x-correlation-id", b"mine")]}, None, None
    )
    assert sent["facts"].correlation_id != "mine"


async def test_requests_do_not_share_state_even_when_the_server_shares_its_dictionary(gateway):
    shared = {"pool": 1}
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["state"])

    outer = CorrelationId()(app, gateway.edge())
    for _ in range(2):
        await outer({"type": "http", "path": "/", "headers": [], "state": shared}, None, None)
    assert seen[0]["facts"] is not seen[1]["facts"]
    assert seen[0]["pool"] == 1
    assert shared == {"pool": 1}


async def test_lifespan_and_websockets_pass_through_untouched(gateway):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    inner = SecurityHeaders(), MaxBody(), BearerToken(), RateLimit(name="a", limit=1)
    chain = gateway.around(app, RateLimit(name="b", limit=1, counts="refused-tokens"), *inner)
    for kind in ("lifespan", "websocket"):
        scope = {"type": kind}
        await chain(scope, "receive", "send")
        assert seen.pop() == (scope, "receive", "send")
    assert gateway.records == []
