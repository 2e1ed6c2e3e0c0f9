"""A flow of six trivial effects, started by a document, and whoever waits for its end."""

import asyncio
from collections.abc import Callable
from itertools import count

import msgspec

from canonical.request import EventName, Reference
from ledger.arrival import Announcement, Arrival
from ledger.catalogue import FlowDefinition
from ledger.ledger import Ledger
from ledger.story import Story

STEPS = 6
_GIVE_UP_SECONDS = 20.0
_numbers = count(1)


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What the document says: only which one it is."""

    number: str


class Outside:
    """A system that does nothing, at once."""

    system = "bench"
    mapping_version = "bench/1"
    latest = ""

    async def act(self, need: Need, *, key: str) -> Need:
        self.latest = key
        return need


def arrival(body: bytes, event: EventName = "nothing-used", kind: str = "DFT^P03") -> Arrival:
    """Return a document that is like no other one; «item-used» starts the flow."""
    number = f"{next(_numbers)}"
    return Arrival(
        channel="mllp",
        kind=kind,
        sender="EHR",
        body=body,
        answer=b"MSH|^~\\&|SUTURE|GENERAL|EHR|GENERAL|20260401080000||ACK|A1|P|2.5.1\rMSA|AA|1\r",
        identity=f"EHR|GENERAL|{number}",
        control_id=number,
        references=(Reference("msh10", number),),
        announcements=(
            Announcement(event=event, key=number, facts=Need(number=number), title="Bench"),
        ),
        mapping="bench/1",
    )


class SixSteps:
    """Runs flows to their end. A run is over when its worker's task is: after the last commit."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ends: dict[str, asyncio.Future[None]] = {}
        self._outside = Outside()
        flow = FlowDefinition(
            name="six-steps", version="1", facts=Need, run=self._run, owner="bench"
        )
        ledger.catalogue.install((flow,), {"item-used": flow.name})

    async def run_one(self) -> None:
        """Start a flow by a document, and return when its end is on disk."""
        document = arrival(b"", "item-used", "ORU^R01")
        ended = asyncio.get_running_loop().create_future()
        self._ends[document.control_id] = ended
        await self._ledger.messages.receive(document)
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await ended

    async def _run(self, story: Story, need: Need) -> Need:
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(self._ending(need.number))
        for number in range(1, STEPS + 1):
            need = await story.step(f"step {number}", self._outside.act, need)
        return need

    def _ending(self, number: str) -> Callable[[object], None]:
        def over(_task: object) -> None:
            ended = self._ends.pop(number, None)
            if ended is not None and not ended.done():
                ended.set_result(None)

        return over
