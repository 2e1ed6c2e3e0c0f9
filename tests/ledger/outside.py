"""The words these tests share: documents that arrive, flows, a system outside that remembers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from canonical.errors import Failure
from canonical.request import EventName, Reference
from canonical.task import Resolution, TaskDraft
from ledger.arrival import Announcement, Arrival
from ledger.catalogue import FlowDefinition
from ledger.ledger import Ledger
from ledger.tasks import Task

T = TypeVar("T")


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What a document of these tests says."""

    number: str
    token: str = ""


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    document: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the other side says about a need."""

    number: str
    words: str = "yes"


class Supplier:
    """A system outside: it does a thing once for each key, and keeps account of every call."""

    system = "supplier"
    mapping_version = "supplier/3"

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.shipped: dict[str, str] = {}
        self.on_hand = 5
        self.asked = 0
        self.failures: list[Failure] = []
        self.began = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def stock(self, number: str) -> int:
        self.asked += 1
        return self.on_hand if number else 0

    async def ship(self, need: Need, *, key: str) -> Shipped:
        self.keys.append(key)
        if self.failures:
            raise self.failures.pop(0)
        document = self.shipped.setdefault(key, f"S{len(self.shipped) + 1} for {need.number}")
        self.began.set()
        await self.answers.wait()
        return Shipped(document=document)


def flow(
    run: Callable[..., Awaitable[msgspec.Struct | None]],
    name: str = "supply",
    **facts: Any,
) -> FlowDefinition:
    told = {"version": "1", "facts": Need, "owner": "supply-chain", **facts}
    return FlowDefinition(name=name, run=run, **told)


def install(ledger: Ledger, *flows: FlowDefinition, **starts: str) -> None:
    """Install flows; the first one answers to «item-used», others as `starts` says."""
    events: dict[EventName, str] = {"item-used": flows[0].name}
    more: Mapping[Any, str] = {event.replace("_", "-"): name for event, name in starts.items()}
    ledger.catalogue.install(flows, {**events, **more})


def used(number: str, **changes: Any) -> Arrival:
    """Return a document that says an item was used: it opens a story under `number`."""
    told: dict[str, Any] = {
        "channel": "mllp",
        "kind": "ORU^R01",
        "sender": "EHR",
        "body": f"used {number}".encode(),
        "answer": f"AA {number}".encode(),
        "identity": f"ehr|{number}",
        "control_id": f"MSG-{number}",
        "references": (Reference("msh10", f"MSG-{number}"),),
        "announcements": (fact("item-used", number),),
        "mapping": "feed/4",
    }
    return Arrival(**{**told, **changes})


def answered(number: str, words: str = "yes", **changes: Any) -> Arrival:
    """Return a document that answers an order: it belongs to a story or to nobody."""
    joins = {"joins": (Reference("order", number),), "must_join": True}
    told: dict[str, Any] = {
        "channel": "edi",
        "kind": "855",
        "sender": "VENDOR",
        "body": f"answer {number} {words}".encode(),
        "answer": b"997",
        "identity": f"x12|{number}|{words}",
        "announcements": (
            fact("order-acknowledged", number, Answer(number=number, words=words), **joins),
        ),
    }
    return Arrival(**{**told, **changes})


def fact(
    event: EventName, number: str, facts: msgspec.Struct | None = None, **changes: Any
) -> Announcement:
    told: dict[str, Any] = {
        "event": event,
        "key": number,
        "facts": facts or Need(number=number),
        "title": f"Need {number}",
        "references": (Reference("order", number),),
    }
    return Announcement(**{**told, **changes})


def refusal(detail: str = "no such item") -> TaskDraft:
    return TaskDraft(
        reason="unknown-item",
        title="Unknown item",
        detail=detail,
        owner="supply-chain",
        actions=("retry", "abandon"),
    )


def retry(why: str = "") -> Resolution:
    return Resolution(action="retry", by="pat", reason=why)


def abandon(why: str = "no longer needed") -> Resolution:
    return Resolution(action="abandon", by="pat", reason=why)


async def eventually(look: Callable[[], Awaitable[T]], within: float = 10) -> T:
    """Look again and again until there is something."""
    deadline = time.monotonic() + within
    while not (seen := await look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {within} s"
        await asyncio.sleep(0.02)
    return seen


async def count(ledger: Ledger, table: str, where: str = "true", *values: object) -> int:
    row = await ledger.database.row(f"select count(*) from {table} where {where}", *values)
    assert row is not None
    return int(row[0])


async def ended(ledger: Ledger, many: int = 1, status: str = "done") -> None:
    """Wait until so many flows have come to that state."""

    async def reached() -> bool:
        return await count(ledger, "flow", "status = $1", status) >= many

    await eventually(reached)


async def raised(ledger: Ledger, kind: str = "stuck") -> Task:
    """Wait for the one open task of a kind."""

    async def found() -> list[Task]:
        return [task for task in await ledger.tasks.listed() if task.kind == kind]

    [task] = await eventually(found)
    return task


async def hops(ledger: Ledger, name: str) -> list[str]:
    """Return the names of the hops of the story known as `name`."""
    trace = await ledger.traces.trace(await ledger.traces.find(name))
    return [hop.name for hop in trace.hops]


async def take_over(dead: Ledger, heir: Ledger) -> None:
    """Let leases of `dead` end now, until `heir` holds what it held."""

    async def taken() -> bool:
        await heir.database.run(
            "update flow set run_at = now() - interval '1 s' where owner = $1",
            dead.worker.identity,
        )
        await heir.database.run("select pg_notify('suture_work', '')")
        return await count(heir, "flow", "owner = $1", dead.worker.identity) == 0

    await eventually(taken)
