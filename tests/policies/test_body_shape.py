"""The shape of a body is limited before it is decoded."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InvalidRequest
from policies.body_shape import BodyShape

SMALL = BodyShape(max_depth=3, max_values=12, max_members=4, max_text_bytes=10, max_fields=2)
JSON = b"application/json"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[[[[1]]]]", "at most 3 levels"),
        (b'{"a":{"b":{"c":{}}}}', "at most 3 levels"),
        (b'["]]]]", [[[1]]]]', "at most 3 levels"),
        (b"[[[[[[[[", "at most 3 levels"),
        (b"[1,2,3,4,5]", "at most 4 members"),
        (b'{"a":1,"b":2,"c":3,"d":4,"e":5}', "at most 4 members"),
        (b'[[1,2,3,4,"\\"]",5]]', "at most 4 members"),
        (b"[[1,2,3,4],[1,2,3,4],[1,2,3,4],1]", "at most 12"),
        (b'["",' * 30, "at most 12"),
        (b'["' + b"a" * 11 + b'"]', "at most 10 bytes"),
        (b'"' + b"a" * 11, "at most 10 bytes"),
        (b'["' + b'\\"' * 11 + b'"]', "at most 10 bytes"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_with_it(body, expected):
    with pytest.raises(InvalidRequest) as refused:
        SMALL.check(JSON, body)
    assert refused.value.expected == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[[[1]]]",
        b"[1,2,3,4]",
        b'["[[[[[["]',
        b'["{,,,,,,"]',
        b'["\\"[[[[\\\\"]',
        b'{"a":[1,2],"b":{"c":"\\\\"}}',
        b'["aaaaaaaaaa"]',
        b"not json at all",
        b"]]]]]]",
    ],
)
def test_what_is_within_the_limits_is_left_to_who_decodes_it(body):
    SMALL.check(JSON, body)


VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=30,
)


@given(VALUES)
def test_it_says_what_counting_the_decoded_document_says(value):
    """The document itself is the second opinion; escapes are in it, as they may be sent."""
    limits = BodyShape(max_depth=3, max_values=10_000, max_members=4, max_text_bytes=1_000_000)
    body = msgspec.json.encode(value)
    beyond = depth(value) > 3 or widest(value) > 4
    try:
        limits.check(JSON, body)
    except InvalidRequest:
        assert beyond
    else:
        assert not beyond


def inside(value):
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def depth(value):
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, inside(value)), default=0)


def widest(value):
    return max(len(inside(value)), *map(widest, inside(value)), 0)


def test_a_form_may_have_so_many_fields():
    SMALL.check(b"application/x-www-form-urlencoded", b"a=1&b=2")
    with pytest.raises(InvalidRequest):
        SMALL.check(b"application/x-www-form-urlencoded", b"a=1&b=2&c=3")


def test_documents_of_other_standards_are_not_taken_for_json():
    SMALL.check(b"application/edi-x12", b"[" * 100)


async def reading(scope, receive, send):
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"read"})


async def pieces():
    for piece in (b"[[[", b"[1]", b"]]]"):
        yield piece


async def test_a_body_in_pieces_is_looked_at_as_a_whole(gateway):
    headers = {"content-type": "application/json; charset=utf-8"}
    answer = await gateway.ask(reading, SMALL, method="POST", content=pieces(), headers=headers)
    assert answer.status_code == 400
    answer = await gateway.ask(reading, SMALL, method="POST", content=b"[[1]]", headers=headers)
    assert answer.text == "read"


async def test_a_body_that_nobody_reads_costs_nothing(gateway, hello):
    """Whoever has no token is refused before anybody looks at what he sent."""
    answer = await gateway.ask(hello, SMALL, method="POST", content=b"[[[[[[")
    assert answer.text == "hello"


def test_a_limit_of_nothing_is_no_limit():
    with pytest.raises(ValueError, match="at least 1"):
        BodyShape(max_depth=0)
