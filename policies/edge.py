"""What the policies of one gateway share: collaborators, and the typed state of one request."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
from litestar.types import HTTPScope, Scope
from opentelemetry.trace import NoOpTracer, Tracer

from canonical.clock import Clock
from canonical.errors import Failure, Unauthenticated
from canonical.request import Principal, RequestFacts

Header = tuple[bytes, bytes]


class CallRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is kept of one call. The path has no query: query values may name a person.

    `status` 0 means that nothing was answered: the call ended before an answer began. `object` is
    what the call was about, `address` where the caller was, if that is recorded at all.
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
    person: str = ""
    purpose: str = ""
    object: str = ""
    facility: str = ""
    policy: str = ""
    address: str = ""


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


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it was sent: the `scheme` in small letters, the token, and whom it stands for.
    What is added to `answer` are headers of the answer, whatever it is.
    """

    scheme: str
    token: bytes
    principal: Principal
    answer: list[Header]


Confirm = Callable[[HTTPScope, Presented], Awaitable[None]]


async def _nothing_bound(scope: HTTPScope, presented: Presented) -> None:
    del scope, presented
    raise Unauthenticated("the token is bound to something that cannot be shown here")


def _uncounted(_who: str, _what: str) -> None:
    return


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """The collaborators of all policies.

    `verify` takes a token and the time in seconds, and raises Unauthenticated. `confirm` takes what
    shows that the caller has what its token is bound to. `audit` returns when
    the record is durable, and raises StoreUnavailable. `limiter` takes a key, a pace and a cost,
    and raises LimiterUnavailable. `problem` renders a failure for a correlation id and a path.
    `tracer` makes spans. `policy` is the version of the configuration in force. `used` counts a use
    of something by somebody. `names` are the hosts by which this gateway is known anyway.
    """

    verify: Callable[[bytes, float], Awaitable[Principal]]
    audit: Callable[[CallRecord], Awaitable[None]]
    limiter: Callable[[str, Pace, int], Awaitable[Verdict]]
    clock: Clock
    problem: Callable[[Failure, str, str], tuple[int, list[Header], bytes]]
    used: Callable[[str, str], None] = _uncounted
    tracer: Tracer = msgspec.field(default_factory=NoOpTracer)
    confirm: Confirm = _nothing_bound
    resource_metadata: str = ""
    policy: str = ""
    names: frozenset[str] = frozenset()


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


def challenge(scope: Scope, scheme: str, parameters: dict[str, str]) -> None:
    """Add a challenge to the answer (RFC 9110 11.6.1), and where tokens are had (RFC 9728 5.1)."""
    where = scope["state"].get("resource_metadata")
    said = {**parameters, "resource_metadata": where} if where else parameters
    told = ", ".join(f'{name}="{value}"' for name, value in said.items())
    response_headers(scope).append((b"www-authenticate", f"{scheme} {told}".encode()))
