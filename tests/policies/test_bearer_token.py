import pytest
from litestar import Litestar, get

from policies.bearer_token import BearerToken
from policies.scopes import declared_scope, require_scope


def reraise(request, exc):
    raise exc


@get("/items", opt={"scope": "items:read"})
async def items() -> str:
    return "items"


@get("/orders", opt={"scope": "orders:write"})
async def orders() -> str:
    return "orders"


@get("/health", opt={"public": True})
async def health() -> str:
    return "well"


@get("/forgotten")
async def forgotten() -> str:
    return "open to all?"


@pytest.fixture
def application():
    return Litestar(
        [items, orders, health, forgotten],
        guards=[require_scope],
        exception_handlers={Exception: reraise},
        openapi_config=None,
        logging_config=None,
    )


GOOD = {"Authorization": "Bearer good"}


@pytest.mark.parametrize(
    ("path", "headers", "status", "challenge"),
    [
        ("/items", GOOD, 200, None),
        ("/items", {"Authorization": "bearer good"}, 200, None),
        ("/health", {}, 200, None),
        ("/health", {"Authorization": "Basic YTpi"}, 200, None),
        ("/items", {}, 401, 'Bearer realm="suture"'),
        ("/items", {"Authorization": "Basic YTpi"}, 401, 'Bearer realm="suture"'),
        ("/items", {"Authorization": "Bearer bad"}, 401, "invalid_token"),
        ("/items", {"Authorization": "Bearer"}, 401, "invalid_token"),
        ("/items", {"Authorization": "Bearer " + "a" * 9000}, 401, "invalid_token"),
        ("/health", {"Authorization": "Bearer bad"}, 401, "invalid_token"),
        ("/nowhere", {"Authorization": "Bearer bad"}, 401, "invalid_token"),
        ("/nowhere", GOOD, 404, None),
        ("/orders", GOOD, 403, 'error="insufficient_scope", scope="orders:write"'),
        ("/forgotten", GOOD, 403, None),
        ("/forgotten", {}, 401, 'Bearer realm="suture"'),
    ],
)
async def test_a_call_is_let_in_by_its_token_and_scope_or_challenged(
    gateway, application, path, headers, status, challenge
):
    response = await gateway.ask(application, BearerToken(), url=path, headers=headers)
    assert response.status_code == status
    if challenge is None:
        assert "www-authenticate" not in response.headers
    else:
        assert challenge in response.headers["www-authenticate"]
    assert gateway.records[0].status == status


async def test_two_authorization_headers_are_refused_rather_than_chosen_from(gateway, hello):
    response = await gateway.ask(
        hello,
        BearerToken(),
        headers=[("Authorization", "Bearer good"), ("Authorization", "Bearer bad")],
    )
    assert response.status_code == 401


async def test_a_token_in_the_address_is_no_token(gateway, application):
    response = await gateway.ask(application, BearerToken(), url="/items?access_token=good")
    assert response.status_code == 401


def test_a_route_says_its_scope_or_that_it_is_public_or_nothing():
    assert declared_scope({"scope": "a"}) == "a"
    assert declared_scope({"public": True, "scope": "a"}) == ""
    assert declared_scope({}) is None
    assert declared_scope({"public": "yes"}) is None
    assert declared_scope({"scope": ""}) is None
