"""A flow of six trivial effects, and one that waits, each started by a document that comes in."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import msgspec

from canonical.request import EventName, Reference
from ledger.arrival import Announcement, Arrival
from ledger.catalogue import FlowDefinition
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.story import Story

STEPS = 6
AWAITED: EventName = "shipment-notified"
_GIVE_UP_SECONDS = 20.0
_WAITS_AT_MOST = timedelta(days=30)


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What the document says: only which one it is."""

    number: str


class Outside:
    """A system that does nothing, at once or after `latency` seconds."""

    system = "bench"
    mapping_version = "bench/1"

    def __init__(self, latency: float = 0.0) -> None:
        self._latency = latency
        self.latest = ""

    async def act(self, need: Need, *, key: str) -> Need:
        if self._latency:
            await asyncio.sleep(self._latency)
        self.latest = key
        return need


def arrival(
    body: bytes, event: EventName = "nothing-used", kind: str = "DFT^P03", number: str = ""
) -> Arrival:
    """Return a document that is like no other one.

    «item-used» starts six steps, «order-placed» a wait; with the `number` of a story it joins it.
    """
    joins = (Reference("msh10", number),) if number else ()
    key = number or new_id("n")
    control_id = new_id("n") if number else key
    return Arrival(
        channel="mllp",
        kind=kind,
        sender="EHR",
        body=body,
        answer=b"MSH|^~\\&|SUTURE|GENERAL|EHR|GENERAL|20260401080000||ACK|A1|P|2.5.1\rMSA|AA|1\r",
        identity=f"EHR|GENERAL|{control_id}",
        control_id=control_id,
        references=(Reference("msh10", control_id),),
        announcements=(
            Announcement(event=event, key=key, facts=Need(number=key), title="Bench", joins=joins),
        ),
        mapping="bench/1",
    )


class Flows:
    """Both flows, installed. A run is over when its worker's task is: after the last commit.

    `ended` is called for each run that came to its end in this process.
    """

    def __init__(self, ledger: Ledger, *, latency: float = 0.0) -> None:
        self._ledger = ledger
        self._outside = Outside(latency)
        self._ends: dict[str, asyncio.Future[None]] = {}
        self.ended: Callable[[], None] | None = None
        six = FlowDefinition(
            name="six-steps", version="1", facts=Need, run=self._six, owner="bench"
        )
        wait = FlowDefinition(
            name="one-wait", version="1", facts=Need, run=self._wait, owner="bench"
        )
        starts: dict[EventName, str] = {"item-used": six.name, "order-placed": wait.name}
        ledger.catalogue.install((six, wait), starts)

    async def begin(self, event: EventName = "item-used", body: bytes = b"") -> None:
        """Start a flow by a document; return when that is on disk."""
        await self._ledger.messages.receive(arrival(body, event, "ORU^R01"))

    async def wake(self, number: str) -> None:
        """Let what a flow waits for come in."""
        await self._ledger.messages.receive(arrival(b"", AWAITED, "856", number))

    async def run_one(self, body: bytes = b"") -> None:
        """Start a flow by a document, and return when its end is on disk."""
        document = arrival(body, "item-used", "ORU^R01")
        ended = asyncio.get_running_loop().create_future()
        self._ends[document.control_id] = ended
        await self._ledger.messages.receive(document)
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await ended

    async def _six(self, story: Story, need: Need) -> Need:
        self._call_at_the_end(need.number)
        for number in range(1, STEPS + 1):
            need = await story.step(f"step {number}", self._outside.act, need)
        return need

    async def _wait(self, story: Story, need: Need) -> Need:
        notice = await story.wait(
            "notice", Need, event=AWAITED, key=need.number, within=_WAITS_AT_MOST
        )
        self._call_at_the_end(need.number)
        return notice

    def _call_at_the_end(self, number: str) -> None:
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _task: self._over(number))

    def _over(self, number: str) -> None:
        ended = self._ends.pop(number, None)
        if ended is not None and not ended.done():
            ended.set_result(None)
        if self.ended is not None:
            self.ended()
