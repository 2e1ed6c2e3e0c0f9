import asyncio
import os
import shutil
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from canonical.errors import StoreUnavailable, Unauthenticated
from canonical.request import Principal
from gateway.embedded.place import place_of
from gateway.embedded.valkey import start_valkey
from policies.audit import Audit
from policies.bearer_token import BearerToken
from policies.correlation_id import CorrelationId
from policies.edge import CallRecord, Edge, Verdict
from policies.problem_details import ProblemDetails


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory):
    home = tmp_path_factory.mktemp("valkey")
    server = asyncio.run(start_valkey(home))
    yield server.url
    asyncio.run(server.stop())
    if os.geteuid() == 0:
        shutil.rmtree(place_of("valkey", home, "").folder.parent)


def problem(failure, correlation_id, path):
    body = {
        "type": failure.slug,
        "status": failure.status,
        "detail": failure.detail,
        "instance": path,
        "correlationId": correlation_id,
        "where": failure.where,
        "expected": failure.expected,
    }
    headers = [(b"content-type", b"application/problem+json")]
    if failure.retry_after is not None:
        headers.append((b"retry-after", str(int(failure.retry_after)).encode()))
    return failure.status, headers, msgspec.json.encode(body)


class Gateway:
    """A gateway around a tiny application: what it recorded, and whether its ledger is there."""

    def __init__(self):
        self.records: list[CallRecord] = []
        self.ledger_is_up = True
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self.limiter = self.no_limit
        self.principal = Principal(
            client="ward-app",
            scopes=frozenset({"items:read"}),
            token_id="t1",
            expires=(self.now + timedelta(hours=1)).timestamp(),
        )

    async def verify(self, token, now):
        if token != b"good":
            raise Unauthenticated("the token is not good")
        return self.principal

    async def no_limit(self, key, pace, cost):
        return Verdict(allowed=True, remaining=1, retry_after=0, full_after=0)

    async def audit(self, record):
        if not self.ledger_is_up:
            raise StoreUnavailable("the ledger does not answer")
        self.records.append(record)

    def edge(self):
        return Edge(
            verify=self.verify,
            audit=self.audit,
            limiter=self.limiter,
            clock=lambda: self.now,
            problem=problem,
        )

    def around(self, app, *inner):
        """Wrap an application in the outer policies and `inner` ones, outermost first."""
        for policy in reversed((CorrelationId(), Audit(), ProblemDetails(), *inner)):
            app = policy(app, self.edge())
        return app

    async def ask(self, app, *inner, method="GET", url="/items?patient=Doe", **request):
        transport = httpx.ASGITransport(self.around(app, *inner))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, url, **request)


@pytest.fixture
def gateway():
    return Gateway()


@pytest.fixture
def authenticated():
    return BearerToken()


@pytest.fixture
def hello():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return app
