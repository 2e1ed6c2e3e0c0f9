"""Editions of shared settings: one row of numbers, whoever makes them, each with its evidence."""

import asyncio

from ledger.editions import EditionDraft
from ledger.ledger import Ledger


def draft(body: str, by: str = "anna", **told: str) -> EditionDraft:
    return EditionDraft(name="rules", digest=f"of {body}", body=body, by=by, told=told)


async def test_each_change_is_a_new_edition_and_the_newest_counts(ledger: Ledger) -> None:
    editions = ledger.editions
    assert await editions.current("rules") is None
    first, second = await editions.put(draft("a")), await editions.put(draft("b", by="bert"))
    assert (first.number, second.number) == (1, 2)
    assert await editions.current("rules") == second
    assert (second.body, second.made_by) == ("b", "bert")
    assert await editions.knows("rules", "of a")
    assert not await editions.knows("rules", "of c")
    assert not await editions.knows("others", "of a")


async def test_what_is_in_force_already_makes_no_edition(ledger: Ledger) -> None:
    await ledger.editions.put(draft("a"))
    assert (await ledger.editions.put(draft("a", by="bert"))).made_by == "anna"
    await ledger.editions.put(draft("b"))
    assert (await ledger.editions.put(draft("a"))).number == 3, "back to the first is a change"


async def test_many_at_once_make_one_edition_of_one_text(opened) -> None:
    replicas = [await opened() for _ in range(3)]
    made = await asyncio.gather(*(one.editions.put(draft("a")) for one in replicas * 3))
    assert {edition.number for edition in made} == {1}


async def test_each_edition_has_its_record_in_the_audit_trail(ledger: Ledger) -> None:
    await ledger.editions.put(draft("a", limit="1 → 2"))
    (found,) = await ledger.audit.recent(limit=10, kind="configuration")
    told = found.evidence
    assert (told.actor, told.action, told.object) == ("anna", "put rules in force", "rules/1")
    assert told.detail == {"digest": "of a", "limit": "1 → 2"}


async def test_replicas_say_what_they_go_by(ledger: Ledger) -> None:
    await ledger.editions.seen("rules", "one", 1, "")
    await ledger.editions.seen("rules", "two", 1, "")
    await ledger.editions.seen("rules", "two", 2, "cannot read it")
    standing = [
        (one.replica, one.number, one.problem) for one in await ledger.editions.replicas("rules")
    ]
    assert standing == [("one", 1, ""), ("two", 2, "cannot read it")]
    await ledger.editions.gone("rules", "one")
    assert [one.replica for one in await ledger.editions.replicas("rules")] == ["two"]
