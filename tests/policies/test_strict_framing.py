"""What a proxy might read another way is refused, and its connection closed."""

import pytest

from policies.strict_framing import StrictFraming


@pytest.mark.parametrize(
    ("headers", "status", "where"),
    [
        ([("Content-Length", "1"), ("Content-Length", "1")], 400, "content-length"),
        ([("Host", "a"), ("Host", "b")], 400, "host"),
        ([("Content-Type", "a/b"), ("Content-Type", "c/d")], 400, "content-type"),
        ([("Transfer-Encoding", "gzip, chunked")], 400, "Transfer-Encoding"),
        ([("Transfer-Encoding", "chunked"), ("Content-Length", "1")], 400, "Transfer-Encoding"),
        ([("X-HTTP-Method-Override", "DELETE")], 400, "x-http-method-override"),
        ([("X-Rewrite-URL", "/admin")], 400, "x-rewrite-url"),
        ([("Content-Encoding", "gzip")], 415, "Content-Encoding"),
        ([("Content-Encoding", "identity, gzip")], 415, "Content-Encoding"),
    ],
)
async def test_what_has_two_meanings_is_refused(gateway, hello, headers, status, where):
    answer = await gateway.ask(hello, StrictFraming(), headers=headers)
    assert (answer.status_code, answer.json()["where"]) == (status, where)
    assert answer.headers["connection"] == "close"
    assert ("accept-encoding" in answer.headers) == (status == 415)


@pytest.mark.parametrize(
    "headers", [{}, {"Transfer-Encoding": "Chunked"}, {"Content-Encoding": "identity"}]
)
async def test_what_has_one_meaning_passes(gateway, hello, headers):
    answer = await gateway.ask(hello, StrictFraming(), headers=headers)
    assert answer.text == "hello"
    assert "connection" not in answer.headers


async def test_other_fields_can_be_refused_too(gateway, hello):
    policy = StrictFraming(refused_headers=("X-Debug",))
    answer = await gateway.ask(hello, policy, headers={"x-debug": "1"})
    assert answer.status_code == 400
    assert (await gateway.ask(hello, policy, headers={"x-rewrite-url": "/"})).text == "hello"
