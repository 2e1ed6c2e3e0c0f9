"""A request for a name that is not ours is not for us."""

import pytest

from policies.public_hosts import PublicHosts

OURS = PublicHosts(names=("api.example", "[::1]", "inside:8420"), except_paths=("/health/live",))


@pytest.mark.parametrize(
    "host", ["api.example", "API.example", "api.example:443", "[::1]", "[::1]:8420", "inside:8420"]
)
async def test_a_name_of_ours_is_served_on_any_port_unless_it_has_one(gateway, hello, host):
    assert (await gateway.ask(hello, OURS, headers={"host": host})).text == "hello"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("api.example.evil.example", 421),
        ("evil.example#api.example", 421),
        ("someone@api.example", 421),
        ("api.example:", 421),
        ("api.example:44x", 421),
        ("inside", 421),
        ("inside:80", 421),
        ("api.example.", 421),
        ("", 400),
    ],
)
async def test_any_other_name_is_refused(gateway, hello, host, status):
    answer = await gateway.ask(hello, OURS, headers={"host": host})
    assert answer.status_code == status
    assert answer.json()["where"] == "Host"


async def test_a_probe_may_call_by_address(gateway, hello):
    answer = await gateway.ask(hello, OURS, url="/health/live", headers={"host": "10.0.0.7"})
    assert answer.text == "hello"


async def test_without_names_every_host_is_served(gateway, hello):
    assert (await gateway.ask(hello, PublicHosts(), headers={"host": "any"})).text == "hello"


@pytest.mark.parametrize("name", ["", "API.example", "https://api.example", "*.example", "a@b"])
def test_what_is_no_host_is_no_name(name):
    with pytest.raises(ValueError, match="no host"):
        PublicHosts(names=(name,))
