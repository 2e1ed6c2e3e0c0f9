"""The small flows of a run: together they use every word of a story."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial

import msgspec

from bench.torture.documents import Answer, Link, Need
from bench.torture.outside import Outside
from bench.torture.outside_server import Done
from canonical.request import EventName
from canonical.task import TaskDraft
from ledger.catalogue import FlowDefinition
from ledger.story import Story

STARTS: Mapping[EventName, str] = {
    "item-used": "supply",
    "order-placed": "billing",
    "case-scheduled": "chain",
    "requisition-raised": "approval",
    "nothing-used": "charging",
    "goods-received": "delivery",
    "invoice-received": "accounting",
}
_Run = Callable[..., Awaitable[msgspec.Struct | None]]
_WITHIN = timedelta(days=3)


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    number: str
    document: str


def is_enough(on_hand: int) -> bool:
    return on_hand > 0


async def supply(story: Story, need: Need, *, outside: Outside) -> Done:
    """Ask, decide, two effects, tell another flow, wait for a partner and for that flow."""
    on_hand = await story.ask("stock", outside.stock, need.number)
    await story.decide("is it enough", is_enough, on_hand)
    await story.step("reserve", outside.reserve, need)
    await story.step("ship", outside.ship, need)
    story.identify("shipped", need.number)
    await story.announce("order-placed", need, key=need.number)
    await story.wait(
        "the answer", Answer, event="order-acknowledged", key=need.number, within=_WITHIN
    )
    await story.wait("the bill", Billed, event="invoice-matched", key=need.number, within=_WITHIN)
    return await story.step("book", outside.book, need)


async def billing(story: Story, need: Need, *, outside: Outside) -> Billed:
    """Claim a number, one effect, tell who waits."""
    if not (await story.claim("bill", need.number)).mine:
        return Billed(number=need.number, document="")
    done = await story.step("bill", outside.bill, need)
    billed = Billed(number=need.number, document=done.document)
    await story.announce("invoice-matched", billed, key=need.number)
    return billed


async def chain(story: Story, link: Link, *, outside: Outside) -> Done:
    """One piece of a chain: pieces of one key happen in their order."""
    return await story.step("append", outside.append, link)


async def approval(story: Story, need: Need, *, outside: Outside) -> Done:
    """Ask a person, then act."""
    draft = TaskDraft(
        reason="approval",
        title=f"Approve {need.number}",
        detail="above the threshold",
        subject=need.number,
        owner="supply-chain",
        actions=("approve", "decline"),
    )
    await story.decision("approval", draft)
    return await story.step("order", outside.order, need)


async def delivery(story: Story, need: Need, *, outside: Outside) -> Done:
    """An effect and another flow, both of which are taken back when it is cancelled."""
    done = await story.step("deliver", outside.deliver, need, compensate=outside.undeliver)
    await story.announce("invoice-received", need, key=need.number, undo=True)
    await story.wait(
        "the notice", Answer, event="shipment-notified", key=need.number, within=_WITHIN
    )
    return done


async def accounting(story: Story, need: Need, *, outside: Outside) -> Done:
    """What is cancelled together with the flow that told of it."""
    return await story.step("account", outside.account, need, compensate=outside.unaccount)


async def charging(story: Story, need: Need, *, outside: Outside) -> Done:
    """An effect that sees the patient."""
    return await story.disclose(
        "charge", outside.charge, need, token=need.token, purpose="charge capture"
    )


def flows(outside: Outside, version: str = "1") -> list[FlowDefinition]:
    """Return all of them, with their port filled."""
    runs: dict[
        str, tuple[Callable[..., Awaitable[msgspec.Struct | None]], type[msgspec.Struct]]
    ] = {
        "supply": (supply, Need),
        "billing": (billing, Need),
        "chain": (chain, Link),
        "approval": (approval, Need),
        "charging": (charging, Need),
        "delivery": (delivery, Need),
        "accounting": (accounting, Need),
    }
    return [
        FlowDefinition(
            name=name,
            version=version,
            facts=facts,
            run=partial(run, outside=outside),
            owner="supply-chain",
            opens_patient_context=name == "charging",
        )
        for name, (run, facts) in runs.items()
    ]
