"""Pages of other origins: none may call unless it is named, whole."""

import pytest

from policies.cors import Cors

ORIGIN = "https://app.example"
OPEN = Cors(origins=(ORIGIN,), credentials=True)
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "x"}


async def preflight(gateway, app, policy, origin, **more):
    headers = {"origin": origin} | PREFLIGHT | more
    return await gateway.ask(app, policy, method="OPTIONS", headers=headers)


def granted(answer):
    return {name for name in answer.headers if name.startswith("access-control-")}


async def test_a_page_that_is_named_may_call_and_is_told_how(gateway, hello):
    answer = await preflight(gateway, hello, OPEN, ORIGIN)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["vary"] == "origin"
    answer = await gateway.ask(hello, OPEN, headers={"origin": ORIGIN})
    assert answer.text == "hello"
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "https://app.example.evil.example",
        "https://sub.app.example",
        "https://APP.example",
        "null",
        "*",
        "",
    ],
)
@pytest.mark.parametrize("policy", [OPEN, Cors()])
async def test_no_other_page_may(gateway, hello, origin, policy):
    answer = await preflight(gateway, hello, policy, origin)
    assert (answer.status_code, granted(answer)) == (403, set())
    answer = await gateway.ask(hello, policy, headers={"origin": origin})
    assert granted(answer) == set()
    assert answer.headers["vary"] == "origin"


async def test_a_method_that_is_not_named_is_refused(gateway, hello):
    answer = await preflight(
        gateway, hello, OPEN, ORIGIN, **{"access-control-request-method": "DELETE"}
    )
    assert answer.status_code == 403


async def test_a_caller_that_is_no_page_hears_nothing_of_it(gateway, hello):
    answer = await gateway.ask(hello, OPEN)
    assert granted(answer) == set()
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://*.example",
        "app.example",
        "https://app.example/",
        "https://APP.example",
        "ftp://app.example",
        "https://me@app.example",
        "https://app.example:x",
        "https://",
    ],
)
def test_what_is_no_whole_origin_cannot_be_named(origin):
    with pytest.raises(ValueError, match="no origin"):
        Cors(origins=(origin,))
