"""A failure as application/problem+json (RFC 9457): the same shape, whatever went wrong."""

import msgspec
import pytest

from canonical.errors import (
    Failure,
    InternalFault,
    InvalidRequest,
    Stopping,
    TooManyRequests,
    UnknownItem,
    UpstreamThrottled,
)
from gateway.problems import Problem, problem


def rendered(failure: Failure):
    status, headers, body = problem(failure, "cor_1", "/process/v1/orders/1")
    return status, dict(headers), msgspec.json.decode(body)


def test_a_failure_says_what_where_what_was_right_and_what_next():
    status, headers, body = rendered(
        UnknownItem("no item for gtin 1", where="$.lines[0]", expected="a code", fix="add it")
    )
    assert status == 409
    assert body == {
        "type": "urn:suture:problem:unknown-item",
        "title": "Unknown item",
        "status": 409,
        "detail": "no item for gtin 1",
        "instance": "/process/v1/orders/1",
        "correlationId": "cor_1",
        "where": "$.lines[0]",
        "expected": "a code",
        "fix": "add it",
    }
    assert headers[b"content-type"] == b"application/problem+json"
    assert b"retry-after" not in headers


def test_what_is_not_known_is_left_out():
    assert rendered(InternalFault())[2] == {
        "type": "urn:suture:problem:internal-fault",
        "title": "Internal fault",
        "status": 500,
        "instance": "/process/v1/orders/1",
        "correlationId": "cor_1",
    }


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (UpstreamThrottled("later", retry_after=7), 7),
        (TooManyRequests(retry_after=0.2), 1),
        (TooManyRequests(retry_after=1.01), 2),
        (TooManyRequests(retry_after=0.0), 1),
        (TooManyRequests(), 1),
        (Stopping(), 1),
        (InvalidRequest(retry_after=3), 3),
    ],
)
def test_who_is_to_come_back_is_told_when_in_whole_seconds(failure: Failure, seconds: int):
    _, headers, body = rendered(failure)
    assert headers[b"retry-after"] == str(seconds).encode()
    assert body["retryAfter"] == seconds


@pytest.mark.parametrize(
    ("failure", "retryable"), [(TooManyRequests(), True), (InvalidRequest(), False)]
)
def test_a_program_can_see_whether_to_try_again(failure: Failure, retryable):
    assert rendered(failure)[2].get("retryable", False) is retryable


def test_the_length_is_that_of_the_body_in_bytes():
    _, headers, body = problem(UnknownItem("kein Artikel für «Nähset»"), "cor_1", "/")
    assert int(dict(headers)[b"content-length"]) == len(body)
    assert msgspec.json.decode(body, type=Problem).detail == "kein Artikel für «Nähset»"
