"""A finished flow is told again: what was done with the same content is not done twice, and the
preview says so before anything is written.
"""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from canonical.errors import InvalidRequest, NotFound, StateConflict, UnknownItem
from canonical.money import Money
from canonical.published_trade import InvoiceRejected
from canonical.task import Resolution, TaskDraft
from ledger.cancelling import Cancellation
from ledger.judgement import Preview
from ledger.ledger import Ledger
from ledger.replay import ReplayBegun
from ledger.replay_plan import ReplayWish
from tests.ledger.conftest import Opened
from tests.ledger.outside import (
    Answer,
    Need,
    Shipped,
    Supplier,
    abandon,
    answered,
    count,
    ended,
    eventually,
    fact,
    flow,
    hops,
    install,
    raised,
    take_over,
    used,
)

WHY = Cancellation(by="pat", reason="the case is off")
QUESTION = TaskDraft(
    reason="approval",
    title="Is it wanted?",
    detail="five pieces",
    owner="supply-chain",
    actions=("approve", "decline"),
)
TABLES = (
    *("message", "transaction", "reference", "flow", "step", "entry", "awaited", "signal", "taken"),
    *("task", "outbox", "registry", "claim", "counter", "counted", "audit", "body", "replay_job"),
)


class Warehouse(Supplier):
    """A supplier that takes back."""

    def __init__(self) -> None:
        super().__init__()
        self.taken_back: list[tuple[str, Shipped | None]] = []

    async def take_back(self, need: Need, done: Shipped | None, /, *, key: str) -> bool:
        self.taken_back.append((key, done))
        return self.shipped.pop(key, None) is not None

    async def send(self, lot: "Lot", *, key: str) -> Shipped:
        return await self.ship(Need(number=str(lot.pieces)), key=key)

    async def fetch(self, lot: "Lot", done: Shipped | None, /, *, key: str) -> bool:
        return await self.take_back(Need(number=str(lot.pieces)), done, key=key)


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    pieces: int


def lot_of(on_hand: int) -> Lot:
    return Lot(pieces=10 - on_hand)


def supply(house: Warehouse, *, compensate: bool = True, undo: bool = False, **more: Any) -> Any:
    async def run(story: Any, need: Need) -> Shipped:
        on_hand = await story.ask("stock", house.stock, need.number)
        lot = await story.decide("what is short", lot_of, on_hand)
        back = house.fetch if compensate else None
        shipped: Shipped = await story.step("ship", house.send, lot, compensate=back)
        await story.announce("charge-eligible", lot, key=need.number, undo=undo)
        return shipped

    return flow(run, **more)


async def told(ledger: Ledger, *flows: Any, status: str = "done", **starts: str) -> str:
    """Let the flow run to its end; return the transaction."""
    install(ledger, *flows, **starts)
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    await ended(ledger, status=status)
    return await ledger.traces.find("1")


async def preview(ledger: Ledger, step: str = "start", **wish: Any) -> Preview:
    transaction = await ledger.traces.find("1")
    return await ledger.replays.preview(transaction, ReplayWish(from_step=step, **wish))


async def replay(ledger: Ledger, step: str = "start", **wish: Any) -> ReplayBegun:
    transaction = await ledger.traces.find("1")
    return await ledger.replays.begin(
        transaction, ReplayWish(from_step=step, **wish), by="pat", reason="to be sure"
    )


async def replayed(ledger: Ledger, step: str = "start", status: str = "done", **wish: Any) -> str:
    begun = await replay(ledger, step, **wish)

    async def reached() -> bool:
        return await count(ledger, "flow", "id = $1 and status = $2", begun.flow, status) == 1

    await eventually(reached)
    return begun.flow


def verdicts(seen: Preview) -> dict[str, str]:
    return {step.name: step.verdict for step in seen.steps}


async def rows(ledger: Ledger) -> dict[str, int]:
    return {table: await count(ledger, table) for table in TABLES}


@pytest.mark.parametrize("step", ["start", "stock", "what is short", "ship"])
@pytest.mark.parametrize("mapping", ["pinned", "current"])
async def test_where_nothing_should_change_the_preview_says_so_and_the_replay_does_nothing(
    ledger: Ledger, step: str, mapping: Any
) -> None:
    house = Warehouse()
    await told(ledger, supply(house))
    asked, before = house.asked, await rows(ledger)
    seen = await preview(ledger, step, mapping=mapping)
    assert not seen.changes
    assert seen.ends == "done"
    assert verdicts(seen)["ship"] == "suppressed"
    assert verdicts(seen)["announce charge-eligible 1"] == "suppressed"
    assert await rows(ledger) == before

    await replayed(ledger, step, mapping=mapping)
    assert house.asked == asked + 2 * (mapping == "current" and step in ("start", "stock"))
    assert len(house.keys) == 1
    assert await count(ledger, "signal") == before["signal"]
    assert await count(ledger, "outbox") == before["outbox"]
    assert len((await ledger.audit.verify())[1]) == 0


async def test_a_replay_comes_to_the_same_result_as_a_flow_of_its_own(ledger: Ledger) -> None:
    house = Warehouse()
    transaction = await told(ledger, supply(house))
    new = await replayed(ledger, "ship")
    first, second = (await ledger.traces.trace(transaction)).flows
    assert (second.id, second.result) == (new, first.result)
    names = await hops(ledger, "1")
    assert names[-4:] == ["replay supply", "ship", "announce charge-eligible 1", "supply completed"]
    hop = next(
        h for h in (await ledger.traces.trace(transaction)).hops if h.name == "replay supply"
    )
    assert (hop.actor, hop.why) == ("pat", "to be sure (pinned, after what is short)")


async def test_pinned_keeps_what_was_read_and_current_reads_it_again(ledger: Ledger) -> None:
    house = Warehouse()
    await told(ledger, supply(house))
    house.on_hand = 3
    assert not (await preview(ledger)).changes
    seen = await preview(ledger, mapping="current")
    assert verdicts(seen) == {
        "stock": "differs",
        "what is short": "differs",
        "ship": "would-be-undone-and-done",
        "announce charge-eligible 1": "would-be-announced",
    }
    ship = seen.steps[2]
    assert [(d.path, bytes(d.before), bytes(d.after)) for d in ship.differences] == [
        ("$.lot.pieces", b"5", b"7")
    ]
    said = seen.steps[3].differences
    assert [(d.path, bytes(d.before), bytes(d.after)) for d in said] == [("$.pieces", b"5", b"7")]
    assert ship.versions_after == {"flow": "supply/1", "mapping": "supplier/3"}


async def test_what_differs_is_undone_before_it_is_done_again(ledger: Ledger) -> None:
    house = Warehouse()
    await told(ledger, supply(house))
    [old] = house.shipped
    house.on_hand = 3
    new = await replayed(ledger, mapping="current")
    assert house.taken_back == [(old, Shipped(document="S1 for 5"))]
    assert list(house.shipped) == [f"{new}/ship"]
    assert (await hops(ledger, "1"))[-5:-2] == ["what is short", "undo earlier: ship", "ship"]
    assert not (await preview(ledger)).changes


async def test_what_cannot_be_undone_is_done_again_and_the_preview_says_that_both_stay(
    ledger: Ledger,
) -> None:
    house = Warehouse()
    await told(ledger, supply(house, compensate=False))
    house.on_hand = 3
    [ship] = [s for s in (await preview(ledger, mapping="current")).steps if s.name == "ship"]
    assert (ship.verdict, ship.why) == ("would-be-done", "the earlier one stays too")
    await replayed(ledger, mapping="current")
    assert len(house.shipped) == 2


async def test_a_replay_of_a_replay_knows_under_which_key_a_thing_was_done(
    ledger: Ledger,
) -> None:
    house = Warehouse()
    await told(ledger, supply(house))
    [first] = house.shipped
    await replayed(ledger)
    await replayed(ledger, "ship")
    house.on_hand = 1
    third = await replayed(ledger, mapping="current")
    assert [key for key, _ in house.taken_back] == [first]
    house.on_hand = 0
    await replayed(ledger, mapping="current")
    assert [key for key, _ in house.taken_back] == [first, f"{third}/ship"]
    assert len(house.shipped) == 1


async def test_cancelling_what_was_replayed_undoes_it_once_under_the_key_of_whoever_did_it(
    ledger: Ledger,
) -> None:
    house = Warehouse()
    transaction = await told(ledger, supply(house))
    [first] = house.shipped
    await replayed(ledger)
    original = (await ledger.traces.trace(transaction)).flows[0].id
    await ledger.cancel(original, WHY)
    await ended(ledger, status="cancelled")
    assert [key for key, _ in house.taken_back] == [first]
    assert house.shipped == {}


async def test_what_was_cancelled_is_done_again_by_a_replay(ledger: Ledger) -> None:
    house = Warehouse()
    transaction = await told(ledger, supply(house))
    await ledger.cancel((await ledger.traces.trace(transaction)).flows[0].id, WHY)
    await ended(ledger, status="cancelled")
    seen = await preview(ledger, "announce charge-eligible 1")
    ship = seen.steps[2]
    assert (ship.name, ship.verdict) == ("ship", "would-be-done")
    assert ship.why == "what was done before has been taken back"
    new = await replayed(ledger, "announce charge-eligible 1")
    assert list(house.shipped) == [f"{new}/ship"]


async def test_only_what_has_ended_is_replayed_and_the_refusal_says_what_to_do(
    ledger: Ledger,
) -> None:
    async def run(story: Any, need: Need) -> None:
        await story.wait(
            "answer", Answer, event="order-acknowledged", key=need.number, within=timedelta(days=1)
        )

    await told(ledger, flow(run), status="waiting")
    with pytest.raises(StateConflict, match="waiting") as refused:
        await preview(ledger)
    assert "cancel it first" in refused.value.fix


async def test_waits_take_again_what_came_and_not_what_the_steps_before_had(
    ledger: Ledger,
) -> None:
    heard: list[list[str]] = []

    async def run(story: Any, need: Need) -> None:
        words = [
            (
                await story.wait(
                    name, Answer, event="order-acknowledged", key=need.number, within=timedelta(1)
                )
            ).words
            for name in ("first", "second", "third")
        ]
        heard.append(words)

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    for words in ("no", "maybe", "yes"):
        await ledger.messages.receive(answered("1", words))
    await ended(ledger)
    seen = await preview(ledger, "second")
    assert verdicts(seen) == {"first": "recorded", "second": "same", "third": "same"}
    for step in ("start", "second", "third"):
        assert not (await preview(ledger, step)).changes
        await replayed(ledger, step)
    assert heard == [["no", "maybe", "yes"]] * 8  # four tellings, four rehearsals


async def test_a_person_is_not_asked_the_same_twice(ledger: Ledger) -> None:
    house = Warehouse()

    async def run(story: Any, need: Need) -> None:
        on_hand = await story.ask("stock", house.stock, need.number)
        detail = f"{10 - on_hand} pieces"
        await story.decision("is it wanted", msgspec.structs.replace(QUESTION, detail=detail))

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger, "decision")
    await ledger.tasks.resolve(task.id, Resolution(action="approve", by="ada"))
    await ended(ledger)
    seen = await preview(ledger)
    assert verdicts(seen) == {"stock": "recorded", "is it wanted": "suppressed"}
    await replayed(ledger)
    assert await ledger.tasks.listed() == []

    house.on_hand = 1
    seen = await preview(ledger, mapping="current")
    assert verdicts(seen) == {"stock": "differs", "is it wanted": "would-ask-a-person"}
    assert seen.ends == "waiting"
    await replayed(ledger, "start", "waiting", mapping="current")
    assert (await raised(ledger, "decision")).detail == "9 pieces"


async def test_a_wait_for_what_has_not_come_is_foreseen(ledger: Ledger) -> None:
    house = Warehouse()

    async def run(story: Any, need: Need) -> None:
        on_hand = await story.ask("stock", house.stock, need.number)
        if on_hand < 3:
            await story.wait(
                "answer", Answer, event="order-acknowledged", key="1", within=timedelta(days=1)
            )

    await told(ledger, flow(run))
    house.on_hand = 2
    seen = await preview(ledger, mapping="current")
    assert verdicts(seen) == {"stock": "differs", "answer": "would-wait"}
    assert (seen.ends, seen.changes) == ("waiting", True)


async def test_a_failure_is_foreseen_by_its_name_and_what_is_not_come_to_is_left(
    ledger: Ledger,
) -> None:
    house = Warehouse()

    async def run(story: Any, need: Need) -> None:
        on_hand = await story.ask("stock", house.stock, need.number)
        await story.decide("is it known", known, on_hand)
        if on_hand > 2:
            await story.step("ship", house.ship, need)

    await told(ledger, flow(run))
    house.on_hand = 0
    seen = await preview(ledger, mapping="current")
    assert verdicts(seen) == {"stock": "differs", "is it known": "fails"}
    assert seen.steps[1].why.startswith("unknown-item")
    assert seen.ends == "stuck"
    house.on_hand = 2
    seen = await preview(ledger, mapping="current")
    assert verdicts(seen)["ship"] == "left-standing"
    await replayed(ledger, mapping="current")
    [left] = [
        hop
        for hop in (await ledger.traces.trace(await ledger.traces.find("1"))).hops
        if hop.outcome == "left standing"
    ]
    assert left.name == "ship"


def known(on_hand: int) -> bool:
    if on_hand == 0:
        raise UnknownItem("no such item")
    return True


async def test_an_effect_of_a_flow_that_was_given_up_is_not_done_twice(ledger: Ledger) -> None:
    house = Warehouse()

    async def ship(lot: Lot, *, key: str) -> Shipped:
        shipped = await house.send(lot, key=key)
        if house.on_hand == 5:
            raise UnknownItem("it was shipped, and the answer was lost")
        return shipped

    async def run(story: Any, need: Need) -> Shipped:
        await story.ask("stock", house.stock, need.number)
        return await story.step("ship", ship, Lot(pieces=5))

    install(ledger, flow(run))
    await ledger.messages.receive(used("1"))
    ledger.worker.start()
    task = await raised(ledger)
    await ledger.tasks.resolve(task.id, abandon())
    house.on_hand = 4
    seen = await preview(ledger)
    assert seen.steps[-1].verdict == "would-be-done"
    assert "not done twice" in seen.steps[-1].why
    assert seen.ends == "unknown"
    await replayed(ledger)
    assert len(house.shipped) == 1
    assert not (await preview(ledger)).changes


async def test_what_the_flow_claimed_is_its_own_in_every_replay(ledger: Ledger) -> None:
    mine: list[bool] = []

    async def run(story: Any, need: Need) -> None:
        mine.append((await story.claim("serial", "S1")).mine)
        await story.decide("is it known", known, 1)

    await told(ledger, flow(run))
    await replayed(ledger)
    await preview(ledger)
    await replayed(ledger, "is it known")
    assert mine == [True] * 4
    await ledger.messages.receive(used("2"))
    await ended(ledger, 4)
    assert mine == [True, True, True, True, False]


async def test_what_others_came_to_is_found_as_it_was_before_the_first_of_the_line(
    ledger: Ledger,
) -> None:
    found: list[str | None] = []

    async def run(story: Any, need: Need) -> Shipped:
        before = await story.outcome_of("before", "supply", Shipped)
        found.append(before.document if before else None)
        return Shipped(document=need.number)

    install(ledger, flow(run))
    ledger.worker.start()
    await ledger.messages.receive(used("1"))
    await ended(ledger, 1)
    again = used(
        "1",
        identity="again",
        announcements=(
            fact("item-used", "1", Need(number="2"), joins=used("1").announcements[0].references),
        ),
    )
    await ledger.messages.receive(again)
    await ended(ledger, 2)
    transaction = await ledger.traces.find("1")
    first = (await ledger.traces.trace(transaction)).flows[0].id
    for mapping in ("pinned", "current"):
        await replayed(ledger, flow=first, mapping=mapping)
        first = (await ledger.traces.trace(transaction)).flows[-1].id
    assert found == [None, "1", None, None]
    await ledger.messages.receive(msgspec.structs.replace(again, identity="third"))
    await ended(ledger, 5)
    assert found[-1] == "2"


async def test_a_worker_that_dies_in_the_middle_of_a_replay_changes_nothing_of_it(
    ledger: Ledger, opened: Opened
) -> None:
    house, heir = Warehouse(), await opened()
    install(heir, supply(house))
    await told(ledger, supply(house))
    [old] = house.shipped
    house.on_hand = 3
    house.began.clear()
    house.answers.clear()
    begun = await replay(ledger, mapping="current")
    await house.began.wait()  # the old one is undone, the new one done, and nobody wrote it down
    await ledger.worker.stop(grace=0)
    house.answers.set()
    heir.worker.start()
    await take_over(ledger, heir)
    await ended(heir, 2)
    assert [key for key, _ in house.taken_back] == [old]
    assert list(house.shipped) == [f"{begun.flow}/ship"]
    assert house.keys == [old, f"{begun.flow}/ship", f"{begun.flow}/ship"]


async def test_of_two_who_replay_one_is_told_that_it_is_done(ledger: Ledger) -> None:
    house = Warehouse()
    await told(ledger, supply(house))
    results = await asyncio.gather(replay(ledger), replay(ledger), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ReplayBegun", "StateConflict"]
    await ended(ledger, 2)
    assert await count(ledger, "flow") == 2


async def test_a_step_that_is_not_there_or_there_twice_is_refused_by_name(ledger: Ledger) -> None:
    house = Warehouse()
    await told(ledger, supply(house))
    with pytest.raises(NotFound, match="no flow of this transaction has such a step"):
        await preview(ledger, "pack")
    await ledger.messages.receive(
        used(
            "1",
            identity="again",
            announcements=(
                msgspec.structs.replace(
                    used("1").announcements[0], joins=used("1").announcements[0].references
                ),
            ),
        )
    )
    await ended(ledger, 2)
    with pytest.raises(InvalidRequest, match="2 flows have this step") as refused:
        await preview(ledger, "ship")
    first = refused.value.expected.split()[1]
    assert not (await preview(ledger, "ship", flow=first)).changes


async def test_a_flow_is_replayed_by_its_own_version_or_by_the_newest(ledger: Ledger) -> None:
    house = Warehouse()
    await told(ledger, supply(house))

    async def run(story: Any, need: Need) -> Shipped:
        on_hand = await story.ask("stock", house.stock, need.number)
        lot = await story.decide("what is short", lot_of, on_hand + 1)
        return await story.step("ship", house.send, lot, compensate=house.fetch)

    second = flow(run, version="2")
    install(ledger, supply(house), second)
    assert not (await preview(ledger)).changes
    seen = await preview(ledger, mapping="current")
    assert (seen.version_before, seen.version_after) == ("1", "2")
    assert verdicts(seen)["ship"] == "would-be-undone-and-done"
    assert verdicts(seen)["announce charge-eligible 1"] == "left-standing"
    install(ledger, second)
    with pytest.raises(StateConflict, match="version 1 of supply is not installed"):
        await preview(ledger)


async def test_what_is_in_flight_ends_on_its_version_while_new_ones_begin_on_the_newest(
    ledger: Ledger, opened: Opened
) -> None:
    """A new release runs in-flight old flows; a worker without their version leaves them alone."""
    heard: list[str] = []

    def of(version: str) -> Any:
        async def run(story: Any, need: Need) -> None:
            await story.wait(
                "answer", Answer, event="order-acknowledged", key=need.number, within=timedelta(1)
            )
            heard.append(f"{need.number} on {version}")

        return flow(run, version=version)

    await told(ledger, of("1"), status="waiting")
    await ledger.worker.stop(grace=1)
    without, release = await opened(), await opened()
    install(without, of("2"))
    install(release, of("1"), of("2"))
    without.worker.start()
    await without.messages.receive(used("2"))
    await ended(without, 2, "waiting")
    for number in ("2", "1"):
        await without.messages.receive(answered(number))
    await ended(without)
    assert heard == ["2 on 2"]
    assert await count(ledger, "flow", "status = 'ready' and version = '1'") == 1
    release.worker.start()
    await ended(release, 2)
    assert heard == ["2 on 2", "1 on 1"]


async def test_what_differs_only_by_the_time_of_telling_is_the_same(ledger: Ledger) -> None:
    house = Warehouse()

    async def run(story: Any, need: Need) -> Shipped:
        now = story.now().isoformat().replace("+00:00", "Z")
        return await story.step("ship", house.ship, Need(number=need.number, token=now))

    await told(ledger, flow(run))
    assert not (await preview(ledger)).changes
    await replayed(ledger)
    assert len(house.shipped) == 1


async def test_subscribers_are_not_told_the_same_twice(ledger: Ledger) -> None:
    house = Warehouse()

    async def run(story: Any, need: Need) -> None:
        on_hand = await story.ask("stock", house.stock, need.number)
        story.publish(
            InvoiceRejected(
                facility="1710",
                invoice="R1",
                order=need.number,
                supplier="S1",
                total=Money(amount=Decimal(1), currency="USD"),
                reasons=(f"{on_hand} came",),
            ),
            subject=need.number,
        )

    await told(ledger, flow(run))
    events = await count(ledger, "outbox")
    assert not (await preview(ledger, mapping="current")).changes
    await replayed(ledger, mapping="current")
    assert await count(ledger, "outbox") == events
    house.on_hand = 1
    seen = await preview(ledger, mapping="current")
    assert seen.steps[-1].verdict == "would-be-announced"
    assert [each.path for each in seen.steps[-1].differences] == ["$[0].reasons[0]"]
    await replayed(ledger, mapping="current")
    assert await count(ledger, "outbox") == events + 1


async def test_what_retention_has_removed_is_not_guessed(ledger: Ledger) -> None:
    house = Warehouse()
    await told(ledger, supply(house))
    await ledger.database.run("delete from entry where hop = 'ship'")
    with pytest.raises(StateConflict, match="no longer kept, such as «ship»"):
        await preview(ledger)
    with pytest.raises(StateConflict):
        await replay(ledger)
    assert len(house.keys) == 1
