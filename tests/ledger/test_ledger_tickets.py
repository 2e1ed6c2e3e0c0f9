"""Tickets: shown once, one for another, and all of them over at once."""

import asyncio
from datetime import timedelta

import pytest

from canonical.clock import utc_now
from ledger.ledger import Ledger
from ledger.tickets import Family, Ticket
from tests.ledger.conftest import Opened

NOW = utc_now()
LATER = NOW + timedelta(hours=1)


def family(name: str = "f1", **facts) -> Family:
    return Family(
        id=name, **{"owner": "alex", "body": "{}", "began": NOW, "expires": LATER, **facts}
    )


def ticket(secret: str, kind: str = "refresh", expires=LATER) -> Ticket:
    return Ticket(kind=kind, secret=secret, expires=expires)


async def holds(ledger: Ledger, secret: str, kind: str = "refresh", at=NOW) -> bool:
    shown = await ledger.tickets.find(kind, secret)
    return shown is not None and shown.holds(at)


async def test_a_ticket_is_found_by_its_secret_and_its_kind_alone(ledger: Ledger, operator):
    await ledger.tickets.open(family(), ticket("one"))
    assert await holds(ledger, "one")
    assert not await holds(ledger, "one", "code")
    assert not await holds(ledger, "two")
    kept = await operator.fetch("select t::text as row from ticket t")
    assert "one" not in kept[0]["row"]


async def test_a_ticket_that_is_spent_gives_its_place_to_its_successor(ledger: Ledger):
    await ledger.tickets.open(family(), ticket("one"))
    assert await ledger.tickets.spend("refresh", "one", NOW, ticket("two")) == "spent"
    assert (await holds(ledger, "one"), await holds(ledger, "two")) == (False, True)


async def test_a_ticket_that_is_shown_again_ends_its_whole_family(ledger: Ledger):
    await ledger.tickets.open(family(), ticket("one"))
    await ledger.tickets.spend("refresh", "one", NOW, ticket("two"))
    assert await ledger.tickets.spend("refresh", "one", NOW, ticket("three")) == "again"
    assert not await holds(ledger, "two")
    assert await ledger.tickets.spend("refresh", "two", NOW, ticket("four")) == "over"


async def test_of_many_at_once_on_two_replicas_one_succeeds(ledger: Ledger, opened: Opened):
    other = await opened()
    await ledger.tickets.open(family(), ticket("one"))
    tries = (
        replica.tickets.spend("refresh", "one", NOW, ticket(f"next-{n}"))
        for n, replica in enumerate([ledger, other] * 6)
    )
    outcomes = await asyncio.gather(*tries)
    assert outcomes.count("spent") == 1
    assert set(outcomes) == {"spent", "again", "over"}
    assert not any([await holds(ledger, f"next-{n}") for n in range(12)])


@pytest.mark.parametrize("facts", [{"expires": NOW}, {"expires": LATER}])
async def test_what_is_past_cannot_be_spent(ledger: Ledger, facts):
    past = NOW if facts["expires"] == LATER else LATER
    await ledger.tickets.open(family(**facts), ticket("one", expires=past))
    assert not await holds(ledger, "one")
    assert await ledger.tickets.spend("refresh", "one", NOW) == "over"


async def test_a_family_that_goes_on_lives_longer(ledger: Ledger):
    soon, late = NOW + timedelta(minutes=1), NOW + timedelta(days=2)
    await ledger.tickets.open(family(expires=soon), ticket("one", expires=soon))
    await ledger.tickets.spend("refresh", "one", NOW, ticket("two", expires=late), until=late)
    assert await holds(ledger, "two", at=NOW + timedelta(days=1))


async def test_what_began_under_a_session_ends_with_it_and_nothing_else_does(ledger: Ledger):
    await ledger.tickets.open(family("session"), ticket("cookie", "session"))
    await ledger.tickets.open(family("app", parent="session"), ticket("one"))
    await ledger.tickets.open(family("device"), ticket("two"))
    ended = await ledger.tickets.end("session", NOW, "signed out")
    assert {each.id for each in ended} == {"session", "app"}
    assert not await holds(ledger, "one")
    assert await holds(ledger, "two")
    assert await ledger.tickets.end("session", NOW, "again") == []


async def test_all_that_somebody_owns_ends_at_once(ledger: Ledger):
    await ledger.tickets.open(family("one"), ticket("one"))
    await ledger.tickets.open(family("two"), ticket("two"))
    await ledger.tickets.open(family("three", owner="kim"), ticket("three"))
    assert [each.id for each in await ledger.tickets.owned("alex", NOW)] == ["one", "two"]
    assert len(await ledger.tickets.end_of("alex", NOW, "disabled")) == 2
    assert await ledger.tickets.owned("alex", NOW) == []
    assert await holds(ledger, "three")
    assert await ledger.tickets.end_of("", NOW, "nobody") == []


async def test_a_family_gets_one_owner_whoever_comes_second(ledger: Ledger):
    await ledger.tickets.open(family(owner=""), ticket("one", "device"))
    mine, theirs = family(body='{"a":1}'), family(owner="kim", body='{"a":2}')
    settled = await asyncio.gather(
        ledger.tickets.settle(mine, NOW), ledger.tickets.settle(theirs, NOW)
    )
    assert sorted(settled) == [False, True]
    shown = await ledger.tickets.find("device", "one")
    assert shown
    assert shown.family.owner == ("alex" if settled[0] else "kim")


async def test_nobody_settles_what_is_past_or_ended(ledger: Ledger):
    await ledger.tickets.open(family("past", owner="", expires=NOW))
    await ledger.tickets.open(family("ended", owner=""))
    await ledger.tickets.end("ended", NOW, "declined")
    assert not await ledger.tickets.settle(family("past"), NOW)
    assert not await ledger.tickets.settle(family("ended"), NOW)


async def test_a_ticket_lives_longer_but_never_shorter(ledger: Ledger):
    await ledger.tickets.open(family(), ticket("one", expires=NOW + timedelta(minutes=5)))
    await ledger.tickets.prolong("one", NOW + timedelta(minutes=20))
    await ledger.tickets.prolong("one", NOW)
    assert await holds(ledger, "one", at=NOW + timedelta(minutes=15))


async def test_what_is_long_past_is_forgotten(ledger: Ledger):
    old = NOW - timedelta(days=3)
    await ledger.tickets.open(family("old", began=old, expires=old), ticket("old"))
    await ledger.tickets.open(family("new"), ticket("new"))
    assert await ledger.tickets.find("refresh", "old") is None
    assert await holds(ledger, "new")


async def test_a_person_is_changed_only_from_what_was_read(ledger: Ledger):
    assert await ledger.people.add("alex", "1")
    assert not await ledger.people.add("alex", "2")
    assert await ledger.people.put("alex", "3", instead_of="1")
    assert not await ledger.people.put("alex", "4", instead_of="1")
    assert await ledger.people.find("alex") == "3"
    assert await ledger.people.find("kim") is None
    assert await ledger.people.listed() == ["3"]
