"""Every subscriber hears everything, in order, however workers and subscribers fail."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from canonical.errors import InvalidRequest, StateConflict
from ledger.delivery_port import Outcome, Target
from ledger.delivery_settings import DeliverySettings
from ledger.figures import Figures
from ledger.ledger import Ledger
from ledger.outbox import Event, Wanted
from ledger.subscriptions import SUSPENDED, Subscription, SubscriptionDraft
from tests.ledger.conftest import Opened
from tests.ledger.outside import abandon, count, eventually, raised, retry
from tests.ledger.test_ledger_key_ring import ring_at
from tests.ledger.test_outbox_order import tell

QUICK = DeliverySettings(
    lease_seconds=0.6,
    poll_seconds=0.05,
    retry_seconds=0.02,
    longest_retry_seconds=0.02,
    max_attempts=3,
)


class Ears:
    """A subscriber: it hears, refuses what it is told to refuse, and may be deaf for a while."""

    def __init__(self, at_once: int = 1) -> None:
        self.at_once = at_once
        self.heard: list[str] = []
        self.refused: dict[str, list[Outcome]] = {}
        self.secrets: tuple[str, ...] = ()
        self.began = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def send(self, target: Target, events: Sequence[Event]) -> Outcome:
        self.secrets = target.secrets
        for place, event in enumerate(events):
            if self.refused.get(event.id):
                return _after(place, self.refused[event.id].pop(0))
            self.heard.append(event.id)
        self.began.set()
        await self.answers.wait()
        return Outcome(delivered=len(events))


def _after(heard: int, outcome: Outcome) -> Outcome:
    return Outcome(**{**_fields(outcome), "delivered": heard})


def _fields(outcome: Outcome) -> dict:
    return {name: getattr(outcome, name) for name in outcome.__struct_fields__}


def no(text: str = "HTTP 500", **more: object) -> Outcome:
    return Outcome(delivered=0, error=text, **more)


async def subscribed(ledger: Ledger, name: str = "ward", kind: str = "webhook", **wanted: object):
    told = {"types": ("org.suture.*",), **wanted}
    draft = SubscriptionDraft(name=name, kind=kind, target=f"of {name}", wanted=Wanted(**told))
    made, _ = await ledger.subscriptions.add(draft, by="pat")
    return made


def listening(ledger: Ledger, settings: DeliverySettings = QUICK, **ears: Ears) -> None:
    ledger.deliveries.install(dict(ears), settings)
    ledger.deliveries.start()


async def settled(ledger: Ledger, subscription: Subscription) -> Subscription:
    async def look() -> Subscription | None:
        known = await ledger.subscriptions.one(subscription.id)
        return known if known.backlog == 0 else None

    return await eventually(look)


async def standing(ledger: Ledger, subscription: Subscription, status: str) -> Subscription:
    async def look() -> Subscription | None:
        known = await ledger.subscriptions.one(subscription.id)
        return known if known.status == status else None

    return await eventually(look)


@pytest.fixture
async def delivering(opened: Opened):
    """Ledgers whose deliveries end with the test."""
    made: list[Ledger] = []

    async def another() -> Ledger:
        made.append(await opened())
        return made[-1]

    yield another
    for ledger in made:
        await ledger.deliveries.stop(grace=0)


@pytest.fixture
async def ledger(delivering) -> Ledger:
    return await delivering()


@pytest.mark.parametrize("at_once", [1, 3])
async def test_what_is_published_is_heard_once_and_in_order(ledger, operator, at_once) -> None:
    ears = Ears(at_once)
    made = await subscribed(ledger)
    names = [f"e{number}" for number in range(250)]
    for name in names[:10]:
        await tell(operator, name)
    listening(ledger, webhook=ears)
    for name in names[10:]:
        await tell(operator, name)
    known = await settled(ledger, made)
    assert ears.heard == names
    assert known.delivered == len(names)
    assert await count(ledger, "audit", "convert_from(record, 'UTF8') like '%deliver org.%'") == 250


async def test_a_subscription_hears_what_comes_after_it_unless_it_asks_for_more(
    ledger, operator
) -> None:
    await tell(operator, "before")
    await subscribed(ledger, "late", "stream")
    draft = SubscriptionDraft(
        name="historian",
        kind="webhook",
        target="of historian",
        wanted=Wanted(types=("org.suture.*",)),
        since=datetime(2020, 1, 1, tzinfo=UTC),
    )
    historian, _ = await ledger.subscriptions.add(draft, by="pat")
    late, early = Ears(), Ears()
    await tell(operator, "after")
    listening(ledger, stream=late, webhook=early)
    await settled(ledger, historian)
    await eventually(lambda: _true(late.heard))
    assert (late.heard, early.heard) == (["after"], ["before", "after"])


async def _true(value):
    return value


async def test_a_dead_subscriber_holds_back_nobody_else(ledger, operator) -> None:
    dead, well = Ears(), Ears()
    dead.answers.clear()
    silent, other = await subscribed(ledger, "dead"), await subscribed(ledger, "well", "stream")
    listening(ledger, webhook=dead, stream=well)
    names = [f"e{number}" for number in range(20)]
    for name in names:
        await tell(operator, name)
    await settled(ledger, other)
    assert well.heard == names
    assert dead.heard == ["e0"]
    assert (await ledger.subscriptions.one(silent.id)).backlog == 20


async def test_a_failed_try_comes_again_and_the_order_is_kept(ledger, operator) -> None:
    ears = Ears(at_once=2)
    made = await subscribed(ledger)
    ears.refused["e1"] = [no(), no("HTTP 503", retry_after=0.1)]
    for name in ("e0", "e1", "e2"):
        await tell(operator, name)
    listening(ledger, webhook=ears)
    known = await settled(ledger, made)
    assert ears.heard == ["e0", "e1", "e2"]
    assert (known.attempts, known.last_error, known.failing_since) == (0, "", None)


async def test_who_keeps_failing_is_suspended_and_goes_on_when_a_person_says_so(
    ledger, operator
) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    ears.refused["e0"] = [no()] * 3
    for name in ("e0", "e1"):
        await tell(operator, name)
    listening(ledger, webhook=ears)
    known = await standing(ledger, made, "suspended")
    assert (known.attempts, known.last_error, known.backlog) == (3, "HTTP 500", 3)

    task = await raised(ledger)
    assert (task.reason, task.subject, task.owner) == (SUSPENDED, made.id, "integration")
    assert "HTTP 500" in task.detail
    await ledger.tasks.resolve(task.id, retry())
    await settled(ledger, made)
    assert ears.heard[:2] == ["e0", "e1"]
    assert len(ears.heard) == 3, "the task itself was an event"


async def test_abandoning_the_task_of_a_suspension_disables_the_subscription(
    ledger, operator
) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    ears.refused["e0"] = [no(gone=False, hopeless=True)]
    await tell(operator, "e0")
    listening(ledger, webhook=ears)
    task = await raised(ledger)
    await ledger.tasks.resolve(task.id, abandon())
    assert (await ledger.subscriptions.one(made.id)).status == "disabled"


async def test_who_wants_no_more_is_disabled_at_once(ledger, operator) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    ears.refused["e0"] = [no("HTTP 410", gone=True)]
    await tell(operator, "e0")
    listening(ledger, webhook=ears)
    known = await standing(ledger, made, "disabled")
    assert known.last_error == "HTTP 410"
    assert (await raised(ledger)).title == "Subscriber disabled: ward"


async def test_asking_for_patience_is_no_failure_in_a_row(ledger, operator) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    ears.refused["e0"] = [no("HTTP 429", retry_after=0.01)] * 8
    await tell(operator, "e0")
    listening(ledger, webhook=ears)
    await settled(ledger, made)
    assert ears.heard == ["e0"]


async def test_nothing_heard_for_too_long_ends_in_a_suspension(ledger, operator) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    ears.refused["e0"] = [no("HTTP 429", retry_after=0.01)] * 1000
    await tell(operator, "e0")
    await operator.execute("update subscription set failing_since = now() - interval '1 day'")
    listening(ledger, webhook=ears)
    await standing(ledger, made, "suspended")


async def test_a_poisonous_event_is_skipped_by_a_person_with_a_reason(ledger, operator) -> None:
    ears = Ears()
    made = await subscribed(ledger, types=("org.suture.order.*",))
    ears.refused["e0"] = [no(hopeless=True)]
    for name in ("e0", "e1"):
        await tell(operator, name)
    listening(ledger, webhook=ears)
    await standing(ledger, made, "suspended")
    subscriptions = ledger.subscriptions
    with pytest.raises(InvalidRequest):
        await subscriptions.skip(made.id, "e0", by="pat", reason=" ")
    with pytest.raises(StateConflict):
        await subscriptions.skip(made.id, "e1", by="pat", reason="wrong one")
    await subscriptions.skip(made.id, "e0", by="pat", reason="they cannot read it")
    await settled(ledger, made)
    assert ears.heard == ["e1"]
    assert await ledger.tasks.listed() == []
    said = "convert_from(record, 'UTF8') like '%they cannot read it%'"
    assert await count(ledger, "audit", said) == 2


async def test_a_replay_tells_again_under_the_same_ids(ledger, operator) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    for name in ("e0", "e1"):
        await tell(operator, name)
    listening(ledger, webhook=ears)
    await settled(ledger, made)
    since = datetime(2020, 1, 1, tzinfo=UTC)
    await ledger.subscriptions.replay(made.id, since, by="pat", reason="they lost it")
    await settled(ledger, made)
    assert ears.heard == ["e0", "e1", "e0", "e1"]


async def test_a_suspended_subscription_keeps_its_place(ledger, operator) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    await ledger.subscriptions.suspend(made.id, by="pat", reason="maintenance")
    listening(ledger, webhook=ears)
    await tell(operator, "e0")
    other = await subscribed(ledger, "other", "stream")
    await settled(ledger, other)
    assert ears.heard == []
    await ledger.subscriptions.resume(made.id, by="pat")
    await settled(ledger, made)
    assert ears.heard == ["e0"]


async def test_two_workers_never_work_on_one_subscription_at_once(
    delivering, ledger, operator
) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    other = await delivering()
    for one in (ledger, other):
        listening(one, webhook=ears)
    names = [f"e{number}" for number in range(100)]
    for name in names:
        await tell(operator, name)
    await settled(ledger, made)
    assert ears.heard == names


async def test_a_dead_workers_subscription_is_taken_over_and_its_late_word_does_not_count(
    delivering, ledger, operator
) -> None:
    slow, quick = Ears(), Ears()
    slow.answers.clear()
    made = await subscribed(ledger)
    for name in ("e0", "e1"):
        await tell(operator, name)
    listening(ledger, webhook=slow)
    await slow.began.wait()
    ledger.deliveries._loops[2].cancel()  # it lives, but no longer renews its lease

    heir = await delivering()
    listening(heir, webhook=quick)
    known = await settled(heir, made)
    assert quick.heard == ["e0", "e1"], "told again under the same id, then the next"
    slow.answers.set()
    await eventually(lambda: _true(not ledger.deliveries._running))
    assert slow.heard == ["e0"], "it stops at the refused word"
    assert (await heir.subscriptions.one(made.id)).delivered == known.delivered == 2


async def test_a_lease_is_renewed_for_as_long_as_a_delivery_takes(
    delivering, ledger, operator
) -> None:
    slow, never = Ears(), Ears()
    slow.answers.clear()
    made = await subscribed(ledger)
    await tell(operator, "e0")
    listening(ledger, webhook=slow)
    await slow.began.wait()
    listening(await delivering(), webhook=never)
    for _ in range(3):
        await operator.execute("select pg_sleep(0.4)")
    slow.answers.set()
    await settled(ledger, made)
    assert (slow.heard, never.heard) == (["e0"], [])


async def test_a_stopped_worker_gives_back_what_it_holds(delivering, ledger, operator) -> None:
    ears = Ears()
    made = await subscribed(ledger)
    patient = DeliverySettings(lease_seconds=600, poll_seconds=0.05)
    listening(ledger, patient, webhook=ears)
    await tell(operator, "e0")
    await settled(ledger, made)
    await ledger.deliveries.stop()
    await tell(operator, "e1")
    heir = await delivering()
    listening(heir, patient, webhook=ears)
    await settled(heir, made)
    assert ears.heard == ["e0", "e1"]


async def test_for_a_while_after_a_rotation_both_secrets_sign(ledger, operator) -> None:
    ears = Ears()
    draft = SubscriptionDraft(
        name="w", kind="webhook", target="t", wanted=Wanted(types=("org.suture.*",))
    )
    made, first = await ledger.subscriptions.add(draft, by="pat")
    second = await ledger.subscriptions.rotate(made.id, by="pat")
    third = await ledger.subscriptions.rotate(made.id, by="pat", hours=0)
    await tell(operator, "e0")
    listening(ledger, webhook=ears)
    await settled(ledger, made)
    assert set(ears.secrets) == {first, third}, "the second ended with its rotation"
    assert second not in ears.secrets
    kept = await operator.fetchval("select secrets from subscription")
    assert first.encode() not in kept


async def test_a_subscription_whose_secrets_do_not_open_holds_back_nobody(ledger, operator) -> None:
    ears = Ears()
    locked, well = await subscribed(ledger, "locked"), await subscribed(ledger, "well", "stream")
    await operator.execute("update subscription set secrets = '\\x00' where id = $1", locked.id)
    await tell(operator, "e0")
    listening(ledger, webhook=ears, stream=ears)
    await settled(ledger, well)
    assert ears.heard == ["e0"]


async def test_backlog_age_and_failures_are_numbers(ledger, operator) -> None:
    made = await subscribed(ledger, types=("org.suture.order.*",))
    for name, kind in (("e0", "order.placed"), ("e1", "case.scheduled"), ("e2", "order.placed")):
        await tell(operator, name, f"org.suture.{kind}.v1")
    await operator.execute("update outbox set at = now() - interval '90 seconds'")
    counts = {
        (what, kind): n for what, kind, n in await Figures(ledger.database, ledger.writer).counts()
    }
    assert counts["subscription-backlog", made.id] == 2
    assert 90 <= counts["subscription-oldest-seconds", made.id] < 150
    assert counts["subscription-failed-attempts", made.id] == 0
    assert counts["subscriptions", "active"] == 1


async def test_secrets_sign_as_before_after_the_keys_were_rotated_and_resealed(
    opened: Opened, operator, tmp_path
) -> None:
    ledger, ears = await opened(secret=ring_at(tmp_path / "ring.json")), Ears()
    draft = SubscriptionDraft(
        name="w", kind="webhook", target="t", wanted=Wanted(types=("org.suture.*",))
    )
    made, secret = await ledger.subscriptions.add(draft, by="pat")
    await ledger.keys.rotate("pat")
    resealed = await ledger.keys.reseal("pat", lambda _: None)
    assert (resealed.resealed, resealed.left, resealed.unopened) == (1, (), {})
    await tell(operator, "e0")
    listening(ledger, webhook=ears)
    await settled(ledger, made)
    await ledger.deliveries.stop(grace=0)
    assert ears.secrets == (secret,)
