"""What the policies of one gateway share: collaborators, and the typed state of one request."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
from litestar.types import Scope
from opentelemetry.trace import NoOpTracer, Tracer

from canonical.clock import Clock
from canonical.errors import Failure
from canonical.request import Principal, RequestFacts

Header = tuple[bytes, bytes]


class CallRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is kept of one call. The path has no query: query values may name a person.

    `status` 0 means that nothing was answered: the call ended before an answer began.
    """

    time: datetime
    correlation_id: str
    client: str
    token_id: str
    method: str
    path: str
    status: int
    failure: str
    transaction: str
    duration_ms: float


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one may go: `limit` calls in `seconds`, at most `burst` of them at once."""

    limit: int
    seconds: float
    burst: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the limiter says: how many calls are left now, and the seconds until all are again."""

    allowed: bool
    remaining: int
    retry_after: float
    full_after: float


def _uncounted(_who: str, _what: str) -> None:
    return


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """The collaborators of all policies.

    `verify` takes a token and the time in seconds, and raises Unauthenticated. `audit` returns when
    the record is durable, and raises StoreUnavailable. `limiter` takes a key, a pace and a cost,
    and raises LimiterUnavailable. `problem` renders a failure for a correlation id and a path.
    `tracer` makes spans. `used` counts a use of something by somebody.
    """

    verify: Callable[[bytes, float], Principal]
    audit: Callable[[CallRecord], Awaitable[None]]
    limiter: Callable[[str, Pace, int], Awaitable[Verdict]]
    clock: Clock
    problem: Callable[[Failure, str, str], tuple[int, list[Header], bytes]]
    used: Callable[[str, str], None] = _uncounted
    tracer: Tracer = msgspec.field(default_factory=NoOpTracer)


def open_state(scope: Scope, facts: RequestFacts) -> None:
    """Give a request its own state: the server's may be shared by all requests."""
    headers: list[Header] = []
    shared = scope["state"] if "state" in scope else {}  # noqa: SIM401 - typed, unlike get
    scope["state"] = {**shared, "facts": facts, "response_headers": headers}


def facts_of(scope: Scope) -> RequestFacts:
    """Return the facts of a request that came in through `correlation-id`."""
    facts: RequestFacts = scope["state"]["facts"]
    return facts


def response_headers(scope: Scope) -> list[Header]:
    """Return what `problem-details` adds to the answer, whoever renders it: a place for policies
    that refuse, whose own answer is rendered further out.
    """
    headers: list[Header] = scope["state"]["response_headers"]
    return headers
