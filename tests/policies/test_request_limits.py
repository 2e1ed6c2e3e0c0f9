"""What comes before a body has limits, and each says which."""

import pytest

from policies.request_limits import RequestLimits

LIMITS = RequestLimits(
    max_headers=8, max_header_bytes=200, max_path_bytes=20, max_query_bytes=30, max_parameters=3
)


@pytest.mark.parametrize(
    ("url", "headers", "slug", "expected"),
    [
        ("/items", {f"x-{n}": "1" for n in range(9)}, "headers-too-large", "at most 8 fields"),
        ("/items", {"x": "a" * 200}, "headers-too-large", "at most 200 bytes"),
        ("/" + "a" * 20, {}, "address-too-long", "at most 20 bytes"),
        ("/%61%61%61%61%61%61%61", {}, "address-too-long", "at most 20 bytes"),
        ("/items?" + "a" * 31, {}, "address-too-long", "at most 30 bytes"),
        ("/items?a&b&c&d", {}, "address-too-long", "at most 3 parameters"),
    ],
)
async def test_what_is_beyond_a_limit_is_refused_with_it(
    gateway, hello, url, headers, slug, expected
):
    answer = await gateway.ask(hello, LIMITS, url=url, headers=headers)
    assert (answer.json()["type"], answer.json()["expected"]) == (slug, expected)
    assert gateway.records[0].failure == slug


async def test_what_is_just_within_every_limit_passes(gateway, hello):
    answer = await gateway.ask(hello, LIMITS, url="/" + "a" * 19 + "?a&b&" + "c" * 26)
    assert answer.text == "hello"


def test_a_limit_of_nothing_is_no_limit():
    with pytest.raises(ValueError, match="at least 1"):
        RequestLimits(max_headers=0)
