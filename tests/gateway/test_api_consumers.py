"""Two versions beside each other, who calls which, and what happens on the day that one ends."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest

from gateway.app import Parts, create_app
from gateway.authorization import ClientBook
from gateway.commands.api import consumers
from gateway.config import Config
from gateway.runtime import Stores, open_parts
from policies.oauth.clients import new_client
from tests.gateway.installation import Installation

FIRST, SECOND = "/experience/v1/procurement/orders", "/experience/v2/procurement/orders"
BEFORE = datetime(2027, 11, 29, 23, 59, tzinfo=UTC)
AFTER = datetime(2027, 11, 30, 0, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = BEFORE

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def parts(config: Config, stores: Stores, clock: Clock) -> AsyncIterator[Parts]:
    async with open_parts(config, clock, stores) as opened:
        yield opened


@pytest.fixture
async def dashboard(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application, which signs in whenever it is asked to."""
    client, secret = new_client("dashboard", ("experience.procurement:read",))
    await ClientBook(parts.ledger.clients).put(client)
    transport = httpx.ASGITransport(create_app(parts))  # pyright: ignore[reportArgumentType]
    async with httpx.AsyncClient(transport=transport, base_url=parts.authorization.url) as http:
        http.auth = ("dashboard", secret)
        yield http


async def called(http: httpx.AsyncClient, path: str) -> httpx.Response:
    form = {"grant_type": "client_credentials"}
    answer = await http.post("/oauth/token", data=form)
    headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
    return await http.get(path, headers=headers, auth=None)


async def test_the_first_version_tells_the_second_until_it_ends(
    dashboard: httpx.AsyncClient, clock: Clock
) -> None:
    old, new = await called(dashboard, FIRST), await called(dashboard, SECOND)
    assert (old.status_code, old.json()) == (200, {"items": []})
    assert (new.status_code, new.json()) == (200, {"items": [], "next": None})
    assert old.headers["deprecation"] == "@1795219200"
    assert old.headers["sunset"] == "Tue, 30 Nov 2027 00:00:00 GMT"
    assert old.headers["link"] == f'<{SECOND}>; rel="successor-version"'
    assert "deprecation" not in new.headers

    clock.now = AFTER
    gone = await called(dashboard, FIRST)
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:suture:problem:version-retired")
    assert gone.json()["expected"] == SECOND
    assert gone.headers["link"] == f'<{SECOND}>; rel="successor-version"'
    assert (await called(dashboard, SECOND)).status_code == 200


async def test_who_has_no_right_to_a_version_hears_nothing_of_its_end(
    dashboard: httpx.AsyncClient, clock: Clock
) -> None:
    clock.now = AFTER
    assert (await dashboard.get(FIRST, auth=None)).status_code == 401


async def test_who_would_break_is_known_by_name(
    dashboard: httpx.AsyncClient, parts: Parts, config: Config, stores: Stores, tmp_path: Path
) -> None:
    for path in (FIRST, FIRST, SECOND):
        await called(dashboard, path)
    await parts.ledger.uses.flush()
    uses = await parts.ledger.uses.listed(date(2027, 1, 1))
    told = consumers(config, uses, only_deprecated=False)
    assert [(each.operation, each.api, each.calls) for each in told] == [
        ("listOrders", "experience/v1", 2),
        ("listOrderPages", "experience/v2", 1),
    ]
    (breaks,) = await Installation(tmp_path, stores).answer("api", "consumers", "--deprecated")
    assert breaks == {
        "client": "dashboard",
        "api": "experience/v1",
        "operation": "listOrders",
        "calls": 2,
        "lastCalled": "2027-11-29T23:59:00Z",
        "deprecated": "2026-11-21",
        "sunset": "2027-11-30",
        "successor": SECOND,
    }
