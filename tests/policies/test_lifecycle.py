"""What a version says of its end, and when it answers no more."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from canonical.errors import VersionRetired
from policies.bearer_token import BearerToken
from policies.lifecycle import ApiTerm, Lifecycle, announcement, api_of

V1 = ApiTerm(api="experience/v1", introduced=date(2026, 1, 1))
OLD = ApiTerm(
    operation="listOrders",
    introduced=date(2026, 1, 1),
    deprecated=date(2026, 11, 21),
    sunset=date(2027, 11, 30),
    successor="/experience/v2/orders",
    guide="https://docs.example/v2",
)
TABLE = Lifecycle(terms=(V1, OLD))


def test_a_deprecation_is_said_as_its_standards_say_it():
    """RFC 9745 2.1: seconds after an @; RFC 8594 3: a date of HTTP, and the relations of links."""
    assert announcement(OLD) == (
        (b"deprecation", b"@1795219200"),
        (b"sunset", b"Tue, 30 Nov 2027 00:00:00 GMT"),
        (
            b"link",
            b", ".join(
                (
                    b'</experience/v2/orders>; rel="successor-version"',
                    b'<https://docs.example/v2>; rel="deprecation"',
                    b'<https://docs.example/v2>; rel="sunset"',
                )
            ),
        ),
    )
    assert announcement(V1) == ()


def test_an_operation_has_its_own_dates_or_those_of_its_version():
    assert TABLE.term_of("listOrders", "/experience/v1/orders") == OLD
    assert TABLE.term_of("showOrder", "/experience/v1/orders/1") == V1
    assert TABLE.term_of("listOrderPages", "/experience/v2/orders") is None


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/experience/v1/orders", "experience/v1"),
        ("/system/v12", "system/v12"),
        ("/console", ""),
        ("/", ""),
        ("", ""),
        ("/docs/vx/a", ""),
        ("/health/live", ""),
    ],
)
def test_a_version_is_told_by_its_path(path, api):
    assert api_of(path) == api


class Asked:
    """Calls of an operation, as the guard of its route sees them, and what was counted."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.uses = []
        own = gateway.edge
        gateway.edge = lambda: msgspec.structs.replace(own(), used=self.count)

    def count(self, who, what):
        self.uses.append((who, what))

    async def __call__(self, path="/experience/v1/orders", operation="listOrders", known=True):
        async def routed(scope, receive, send):
            scope["state"]["lifecycle"].admit(scope, operation)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"orders"})

        headers = {"authorization": "Bearer good"} if known else {}
        return await self.gateway.ask(routed, BearerToken(), TABLE, url=path, headers=headers)


@pytest.fixture
def asked(gateway):
    gateway.now = datetime(2027, 11, 29, 23, 59, 59, tzinfo=UTC)
    return Asked(gateway)


async def test_what_is_deprecated_is_served_until_its_sunset_and_says_so(asked):
    answer = await asked()
    assert (answer.status_code, answer.text) == (200, "orders")
    assert answer.headers["deprecation"] == "@1795219200"
    assert answer.headers["sunset"] == "Tue, 30 Nov 2027 00:00:00 GMT"
    assert 'rel="successor-version"' in answer.headers["link"]


async def test_after_its_sunset_it_is_gone_and_its_successor_is_named(asked):
    asked.gateway.now = datetime(2027, 11, 30, tzinfo=UTC)
    answer = await asked()
    assert answer.status_code == VersionRetired.status == 410
    assert answer.json()["type"] == "version-retired"
    assert answer.json()["expected"] == "/experience/v2/orders"
    assert 'rel="successor-version"' in answer.headers["link"]
    assert asked.gateway.records[-1].failure == "version-retired"


async def test_what_is_current_says_nothing(asked):
    answer = await asked(operation="showOrder")
    assert answer.status_code == 200
    assert not {"deprecation", "sunset", "link"} & answer.headers.keys()


async def test_every_call_of_a_client_is_counted_by_version_and_operation(asked):
    await asked()
    await asked(operation="showOrder")
    asked.gateway.now = datetime(2028, 1, 1, tzinfo=UTC)
    await asked()
    await asked(path="/console", operation="openConsole")
    await asked(known=False)
    assert asked.uses == [
        ("ward-app", "experience/v1 listOrders"),
        ("ward-app", "experience/v1 showOrder"),
        ("ward-app", "experience/v1 listOrders"),
    ]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "of an api or of an operation"),
        ({"api": "a/v1", "operation": "b"}, "of an api or of an operation"),
        ({"api": "a/v1", "sunset": date(2027, 1, 1)}, "deprecated before"),
        ({"api": "a/v1", "deprecated": date(2026, 6, 1)}, "has a successor"),
        ({"api": "a/v1", "deprecated": date(2025, 1, 1), "successor": "/a"}, "introduced before"),
        (
            {
                "api": "a/v1",
                "deprecated": date(2026, 6, 1),
                "sunset": date(2026, 6, 1),
                "successor": "/a",
            },
            "still served for a while",
        ),
        (
            {"api": "a/v1", "deprecated": date(2026, 6, 1), "successor": '/a>; rel="x"'},
            "are addresses",
        ),
    ],
)
def test_dates_that_make_no_sense_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        ApiTerm(introduced=date(2026, 1, 1), **fields)
