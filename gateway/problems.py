"""The one place where a failure becomes an HTTP answer: application/problem+json (RFC 9457)."""

import math

import msgspec

from canonical.errors import Failure

Header = tuple[bytes, bytes]


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a caller gets instead of an answer.

    `type` names the failure (`urn:suture:problem:<slug>`); `correlationId` is what an operator
    searches for; `where` and `expected` say what to change, `fix` the next step, `retryAfter`
    seconds.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    correlation_id: str = ""
    where: str = ""
    expected: str = ""
    fix: str = ""
    retryable: bool = False
    retry_after: int | None = None


_encode = msgspec.json.Encoder().encode


def problem(failure: Failure, correlation_id: str, path: str) -> tuple[int, list[Header], bytes]:
    """Return status, headers and body for a failure."""
    wait = None if failure.retry_after is None else max(1, math.ceil(failure.retry_after))
    if wait is None and failure.status in (429, 503):
        wait = 1
    body = _encode(
        Problem(
            type=f"urn:suture:problem:{failure.slug}",
            title=failure.title,
            status=failure.status,
            detail=failure.detail,
            instance=path,
            correlation_id=correlation_id,
            where=failure.where,
            expected=failure.expected,
            fix=failure.fix,
            retryable=failure.retryable,
            retry_after=wait,
        )
    )
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if wait is not None:
        headers.append((b"retry-after", str(wait).encode()))
    return failure.status, headers, body
