import httpx
import pytest

from policies.correlation_id import CorrelationId
from policies.security_headers import SecurityHeaders


def answering(*headers):
    async def app(scope, receive, send):
        start = {"type": "http.response.start", "status": 200, "headers": list(headers)}
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    return app


async def ask(gateway, app, scheme="https", policy=None):
    chain = (policy or SecurityHeaders())(app, gateway.edge())
    transport = httpx.ASGITransport(CorrelationId()(chain, gateway.edge()))
    async with httpx.AsyncClient(transport=transport) as client:
        return (await client.get(f"{scheme}://gateway/")).headers


async def test_an_api_answer_is_not_stored_framed_or_guessed_at(gateway):
    headers = await ask(gateway, answering((b"content-type", b"application/json")))
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_page_may_load_only_its_own(gateway):
    headers = await ask(gateway, answering((b"Content-Type", b"text/html; charset=utf-8")))
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_what_an_answer_says_itself_is_left_alone(gateway):
    own = (b"Cache-Control", b"max-age=60"), (b"Content-Security-Policy", b"sandbox")
    headers = await ask(gateway, answering(*own))
    assert headers.get_list("cache-control") == ["max-age=60"]
    assert headers.get_list("content-security-policy") == ["sandbox"]


async def test_browsers_are_held_to_https_only_when_they_came_by_https(gateway):
    assert "max-age=31536000" in (await ask(gateway, answering()))["strict-transport-security"]
    assert "strict-transport-security" not in await ask(gateway, answering(), scheme="http")
    off = SecurityHeaders(hsts_seconds=0)
    assert "strict-transport-security" not in await ask(gateway, answering(), policy=off)


@pytest.mark.parametrize(
    ("said", "scheme", "leaves"),
    [
        (b"a=1", "https", "a=1; HttpOnly; SameSite=Lax; Secure"),
        (b"a=1; Path=/", "http", "a=1; Path=/; HttpOnly; SameSite=Lax"),
        (b"a=1; httponly; samesite=Strict; SECURE", "https", None),
        (b"a=HttpOnly", "http", "a=HttpOnly; HttpOnly; SameSite=Lax"),
    ],
)
async def test_a_cookie_is_kept_from_scripts_and_other_sites(gateway, said, scheme, leaves):
    headers = await ask(gateway, answering((b"Set-Cookie", said)), scheme=scheme)
    assert headers.get_list("set-cookie") == [leaves or said.decode()]


async def test_a_page_may_use_no_device_of_its_reader(gateway):
    assert "camera=()" in (await ask(gateway, answering()))["permissions-policy"]
