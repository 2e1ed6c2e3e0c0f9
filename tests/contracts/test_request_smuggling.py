"""One request has one meaning: what two servers could read in two ways is never two requests.

Every case ends in a request that hides in what another reader takes for a body, or for a header
field. What was executed is what the audit trail has: every call is recorded before its answer.
"""

import uuid
from typing import NamedTuple

import pytest

from tests.contracts.wire import answers, recorded

OUTER = "/process/v1/tasks/{}-outer/resolution"
INNER = "/experience/v1/operations/transactions/{}-inner"
BODY = b'{"action":"retry","reason":"again"}'


class Told(NamedTuple):
    """What is sent: header fields of the outer request, and what comes after them."""

    fields: bytes
    after: bytes = BODY


def chunk(content: bytes, extension: bytes = b"", end: bytes = b"\r\n") -> bytes:
    return b"%x%b%b%b%b" % (len(content), extension, end, content, end)


WHOLE = chunk(BODY) + b"0\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"

HIDDEN = {
    "CL.TE: the chunks end before the length does": Told(
        b"Content-Length: 500\r\n" + CHUNKED, b"0\r\n\r\n<inner>"
    ),
    "TE.CL: the length ends before the chunks do": Told(
        CHUNKED + b"Content-Length: 4\r\n", b"<inner as a chunk>0\r\n\r\n"
    ),
    "two lengths that differ": Told(LENGTH + b"Content-Length: 0\r\n", b"<inner>"),
    "a list of lengths": Told(b"Content-Length: 0, 35\r\n", b"<inner>"),
    "a length with a sign": Told(b"Content-Length: +0\r\n", b"<inner>"),
    "a length in hexadecimal": Told(b"Content-Length: 0x0\r\n", b"<inner>"),
    "a length with a space before its colon": Told(b"Content-Length : 0\r\n", b"<inner>"),
    "a length on a folded line (obs-fold)": Told(b"X: 1\r\n Content-Length: 35\r\n", b"<inner>"),
    "a coding on a folded line": Told(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n<inner>"),
    "a coding after a vertical tab": Told(
        b"Transfer-Encoding: \x0bchunked\r\n" + LENGTH, b"0\r\n\r\n<inner>"
    ),
    "a coding nobody knows": Told(b"Transfer-Encoding: xchunked\r\n" + LENGTH, b"<inner>"),
    "a coding that is none": Told(b"Transfer-Encoding: identity\r\n" + LENGTH, b"<inner>"),
    "two codings that differ": Told(
        CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n<inner>"
    ),
    "a compression before the chunks": Told(
        b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n<inner>"
    ),
    "a chunk size with a sign": Told(CHUNKED, b"-1\r\n<inner>"),
    "a chunk size beyond all": Told(CHUNKED, b"10000000000000000\r\n<inner>"),
    "a chunk whose line ends without its CR": Told(
        CHUNKED, chunk(BODY, end=b"\n") + b"0\n\n<inner>"
    ),
    "a chunk extension whose line ends without its CR": Told(CHUNKED, b"0;a\n\r\n<inner>"),
    "a field with a bare CR": Told(LENGTH + b"X: 1\rContent-Length: 0\r\n", b"<inner>"),
    "a field with a NUL": Told(LENGTH + b"X: \0\r\n", b"<inner>"),
    "two hosts": Told(LENGTH + b"Host: elsewhere\r\n", b"<inner>"),
    "two kinds of body": Told(LENGTH + b"Content-Type: text/plain\r\n", b"<inner>"),
}


def request(token: str, path: str, told: Told, inner: bytes) -> bytes:
    after = told.after.replace(b"<inner as a chunk>", chunk(inner)).replace(b"<inner>", inner)
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\n%b\r\n%b"
        % (path.encode(), token.encode(), told.fields, after)
    )


def inner_request(token: str, path: str) -> bytes:
    return (
        b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n"
        b"Connection: close\r\n\r\n" % (path.encode(), token.encode())
    )


@pytest.mark.parametrize("case", HIDDEN)
def test_a_request_that_hides_in_another_is_never_executed(case, served, client):
    marker = uuid.uuid4().hex
    hidden = inner_request(served.token, INNER.format(marker))
    raw = request(served.token, OUTER.format(marker), HIDDEN[case], hidden)
    told = answers(served, raw)
    executed = recorded(client, marker)
    assert executed in ([], [f"POST {OUTER.format(marker)}"]), case
    assert len(told) <= 1, "more than one answer"
    assert all(400 <= status < 500 for status in told), told


PLAIN = {
    "a length": Told(LENGTH),
    "chunks": Told(CHUNKED, WHOLE),
    "a chunk extension": Told(CHUNKED, chunk(BODY, b";name=value") + b"0\r\n\r\n"),
    "fields after the chunks": Told(CHUNKED, chunk(BODY) + b"0\r\nContent-Length: 500\r\n\r\n"),
    "a coding in capitals": Told(b"TRANSFER-ENCODING: Chunked\r\n", WHOLE),
    "a length with an underscore": Told(LENGTH + b"Content_Length: 500\r\n"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_requests_that_follow_each_other_are_executed_one_after_the_other(case, served, client):
    """What is unusual and has one meaning: otherwise the refusals above would prove nothing."""
    marker = uuid.uuid4().hex
    inner = inner_request(served.token, INNER.format(marker)).replace(b"Connection: close\r\n", b"")
    raw = request(served.token, OUTER.format(marker), PLAIN[case], inner) + inner
    assert answers(served, raw) == [404, 404, 200]
    both = [f"POST {OUTER.format(marker)}", f"GET {INNER.format(marker)}"]
    assert recorded(client, marker) == both


def test_a_body_that_nobody_reads_is_not_taken_for_a_request(served, client):
    """The call has no token, so that its body is left where it is."""
    marker = uuid.uuid4().hex
    hidden = inner_request(served.token, INNER.format(marker))
    length = b"Content-Length: %d\r\n" % len(hidden)
    raw = request("none", OUTER.format(marker), Told(length, hidden), b"")
    assert answers(served, raw)[0] == 401
    assert recorded(client, marker) == [f"POST {OUTER.format(marker)}"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"GET /<m>", []),
        (b"GET /<m> HTTP/0.9", [400]),
        (b"GET /<m> HTTP/1.2", [400]),
        (b"PRI * HTTP/2.0", []),
        (b"GET  /<m> HTTP/1.1", [400]),
        (b"GET /<m>\x00 HTTP/1.1", [400]),
        (b"GET /<m> HTTP/1.1\r\nHost: 127.0.0.1\r\nX : 1", [400]),
        (b"GET /<m> HTTP/1.1\r\n Host: 127.0.0.1", [400]),
    ],
)
def test_what_is_no_http_1_1_is_refused_by_the_server(line, told, served, client):
    marker = uuid.uuid4().hex
    found = answers(served, line.replace(b"<m>", marker.encode()) + b"\r\n\r\n")
    assert found == (told or found)
    assert set(found) <= {400}
    assert recorded(client, marker) == []


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"GET /<m> HTTP/1.1", 400),
        (b"GET /<m> HTTP/1.0", 400),
        (b"GET /<m> HTTP/1.1\r\nHost:", 400),
        (b"GET /<m> HTTP/1.1\r\nHost: evil.example", 421),
        (b"GET http://evil.example/<m> HTTP/1.1\r\nHost: evil.example", 421),
        (b"GET /<m> HTTP/1.1\r\nHost: 127.0.0.1.evil.example", 421),
        (b"GET /<m> HTTP/1.1\r\nHost: evil.example@127.0.0.1", 421),
        (b"GET /<m> HTTP/1.1\r\nHost: 127.0.0.1:80:80", 421),
        (b"GET /<m> HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1", 400),
        (b"GET /<m> HTTP/1.1\r\nHost: 127.0.0.1\r\nX-HTTP-Method-Override: DELETE", 400),
        (b"GET /<m> HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Original-URL: /console", 400),
        (b"TRACE /<m> HTTP/1.1\r\nHost: 127.0.0.1", 404),
        (b"CONNECT /<m> HTTP/1.1\r\nHost: 127.0.0.1", 404),
        (b"GET /<m> HTTP/1.1\r\nHost: localhost:9", 404),
        (b"GET http://127.0.0.1/<m> HTTP/1.1\r\nHost: 127.0.0.1", 404),
    ],
)
def test_a_request_for_another_host_or_by_another_way_is_refused_and_recorded(
    head, told, served, client
):
    marker = uuid.uuid4().hex
    found = answers(served, head.replace(b"<m>", marker.encode()) + b"\r\n\r\n")
    assert found[0] == told
    assert recorded(client, marker) == [f"{head.split()[0].decode()} /{marker}"]


def test_nobody_is_connected_to_another_host(served):
    """CONNECT would make a tunnel of us (RFC 9110 9.3.6)."""
    raw = b"CONNECT evil.example:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert all(400 <= status < 500 for status in answers(served, raw)[:1])


def test_fields_beyond_what_the_server_holds_never_reach_the_gateway(served, client):
    marker = uuid.uuid4().hex
    raw = b"GET /%b HTTP/1.1\r\nHost: 127.0.0.1\r\nX: %b\r\n\r\n" % (
        marker.encode(),
        b"a" * 200_000,
    )
    assert set(answers(served, raw)) <= {431}
    assert recorded(client, marker) == []
