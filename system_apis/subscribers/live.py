"""Events for whoever listens (server-sent events): after their commit, in order, from any position.

    id: 812-45                       the position; a browser sends it back as Last-Event-ID
    event: org.suture.order.placed.v1
    data: {"specversion":"1.0", …}

A listener reads pages of its own and is given the next when it took the last one: a slow one is
late, and holds nothing in memory but one page.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter, SkipValidation
from litestar.response import Stream

from canonical.errors import TooManyRequests
from canonical.events import wanted_types
from canonical.request import RequestFacts
from ledger.ledger import Ledger
from ledger.outbox import Event, Position, Wanted
from system_apis.subscribers.access import readable
from system_apis.subscribers.envelope import Envelope

_PAGE = 50
_TOGETHER_SECONDS = 0.05
_MOST_LISTENERS = 64


class Listeners:
    """Those who listen to this process."""

    def __init__(self, ledger: Ledger, envelope: Envelope, *, heartbeat_seconds: float) -> None:
        self._ledger = ledger
        self._envelope = envelope
        self._heartbeat = heartbeat_seconds
        self._count = 0

    async def admit(self, wanted: Wanted, after: str) -> AsyncGenerator[bytes]:
        """Return the stream of one more listener, from `after` or from now on."""
        if self._count >= _MOST_LISTENERS:
            raise TooManyRequests("too many are listening", retry_after=10)
        place = Position.read(after) if after else await self._ledger.outbox.end()
        return self._told(wanted, place)

    async def _told(self, wanted: Wanted, place: Position) -> AsyncGenerator[bytes]:
        self._count += 1
        try:
            async with self._ledger.live.watch() as news:
                yield b": listening\n\n"
                while True:
                    page = await self._ledger.outbox.after(place, wanted, limit=_PAGE)
                    for event in page.events:
                        yield self._frame(event)
                    place = page.reached
                    if not page.events and await self._quiet(news):
                        yield b": still here\n\n"
        finally:
            self._count -= 1

    async def _quiet(self, news: "asyncio.Queue[str]") -> bool:
        """Wait for the next news; True where none came for a whole heartbeat."""
        await asyncio.sleep(_TOGETHER_SECONDS)
        if await self._ledger.outbox.is_unsettled():
            return False
        try:
            await asyncio.wait_for(news.get(), self._heartbeat)
        except TimeoutError:
            return True
        while not news.empty():
            news.get_nowait()
        return False

    def _frame(self, event: Event) -> bytes:
        head = f"id: {event.position}\nevent: {event.type}\ndata: ".encode()
        return head + self._envelope.around(event) + b"\n\n"


@get(
    "/events/stream",
    operation_id="listenToEvents",
    summary="Listen to events as they are committed (server-sent events)",
    scope="system.events:read",
    media_type="text/event-stream",
    include_in_schema=False,
)
async def listen_to_events(
    listeners: NamedDependency[SkipValidation[Listeners]],
    facts: NamedDependency[SkipValidation[RequestFacts]],
    types: Annotated[str, QueryParameter(max_length=2000)] = "*",
    facility: Annotated[str, QueryParameter(max_length=64)] = "",
    data_class: Annotated[
        Literal["supply", "financial", "any"], QueryParameter(name="dataClass")
    ] = "supply",
    last_event_id: Annotated[str, HeaderParameter(name="Last-Event-ID", max_length=64)] = "",
) -> Stream:
    wanted = Wanted(
        types=wanted_types(types.split(",")),
        facilities=readable((facility,) if facility else (), facts),
        data_classes=() if data_class == "any" else (data_class,),
    )
    return Stream(
        await listeners.admit(wanted, last_event_id),
        media_type="text/event-stream",
        headers={"cache-control": "no-store"},
    )


router = Router("/system/v1", route_handlers=[listen_to_events])
