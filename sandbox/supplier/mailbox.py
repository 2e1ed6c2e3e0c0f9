"""What the supplier has received and sent, and the task that sends: in memory, gone at the end."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import count

import httpx

from sandbox.supplier import edi
from sandbox.supplier.behaviour import Plan, plan
from sandbox.supplier.documents import Draft, answers, drafts
from sandbox.supplier.edi import Address, Cancellation, Envelope, Order
from sandbox.supplier.settings import Settings

_PATH = "/system/v1/edi/x12"
_SCOPE = "system.edi.x12:write"
_UNAUTHORIZED = 401


@dataclass
class Sent:
    """One document on its way to the gateway."""

    kind: str
    control: int
    body: bytes
    attempts: int = 0
    status: int = 0
    answer: str = ""


@dataclass
class Story:
    """One order and everything that was said about it. Of a cancelled one nothing more is sent but
    `changes`, the answers to its cancellation.
    """

    number: str
    behaviour: str
    received: int = 1
    documents: list[Sent] = field(default_factory=list[Sent])
    cancelled: bool = False
    changes: list[Sent] = field(default_factory=list[Sent])

    @property
    def shipped(self) -> bool:
        """Whether goods are under way: somebody may know it already."""
        return any(each.kind == "856" and each.attempts for each in self.documents)


@dataclass
class Receipt:
    """One interchange that came in, by its ISA13."""

    stories: list[Story]
    status: int


class Mailbox:
    """Remembers interchanges, plans the answers and sends them one after the other."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._receipts = dict[str, Receipt]()
        self._tasks = set[asyncio.Task[None]]()
        self._numbers = count(int(settings.clock().timestamp()) % 900_000_000)
        self._token = ""
        self.behaviour = settings.behaviour
        self.stories = list[Story]()

    def receive(self, body: bytes) -> int:
        """Take an interchange in and return the HTTP status; a resend has no second effect."""
        envelope, wishes = edi.split(body)
        orders = [each for each in wishes if isinstance(each, Order)]
        known = self._receipts.get(envelope.control)
        if known is not None:
            for story in known.stories:
                story.received += 1
            return 202
        stories = [Story(order.number, self.behaviour) for order in orders]
        fails = False
        for story, order in zip(stories, orders, strict=True):
            planned = plan(story.behaviour, order, dict(self._settings.catalogue))
            fails = fails or planned.fails_after_commit
            self._write(story, order, envelope, planned)
            self._start(self._deliver(story, story.documents))
        self.stories += stories
        for wish in wishes:
            if isinstance(wish, Cancellation):
                self._cancel(wish, envelope)
                fails = fails or self.behaviour == "5xx-after-commit"
        self._receipts[envelope.control] = Receipt(stories, 202)
        return 500 if fails else 202

    async def close(self) -> None:
        """Stop sending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cancel(self, wish: Cancellation, envelope: Envelope) -> None:
        """Cancel what is not under way; what was never ordered is as good as cancelled."""
        known = [story for story in self.stories if story.number == wish.number]
        story = known[-1] if known else Story(wish.number, self.behaviour, received=0)
        if not known:
            self.stories.append(story)
        story.cancelled = not story.shipped
        drafted = answers(wish, envelope, agreed=story.cancelled)
        story.changes += self._sealed(drafted, envelope)
        self._start(self._deliver(story, story.changes))

    def _write(self, story: Story, order: Order, envelope: Envelope, planned: Plan) -> None:
        now = self._settings.clock()
        drafted = drafts(order, envelope, planned, self._settings, now.date())
        for sealed in self._sealed(drafted[:: 2 if planned.twice else 1], envelope):
            again = Sent(sealed.kind, sealed.control, sealed.body)
            story.documents += [sealed, again] if planned.twice else [sealed]

    def _sealed(self, drafted: list[Draft], envelope: Envelope) -> list[Sent]:
        """Put each draft into an interchange of its own, addressed to whom `envelope` came from."""
        settings = self._settings
        own = settings.own_id or envelope.receiver[1]
        partner = settings.partner_id or envelope.sender[1]
        address = Address(
            sender=(settings.own_qualifier if settings.own_id else envelope.receiver[0], own),
            receiver=(
                settings.partner_qualifier if settings.partner_id else envelope.sender[0],
                partner,
            ),
            group_sender=envelope.group_receiver,
            group_receiver=envelope.group_sender,
            test=settings.test,
        )
        now = settings.clock()
        numbers = [next(self._numbers) for _ in drafted]
        return [
            Sent(draft.kind, control, edi.join(draft.kind, draft.content, address, control, now))
            for draft, control in zip(drafted, numbers, strict=True)
        ]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, story: Story, documents: list[Sent]) -> None:
        for document in documents:
            await asyncio.sleep(self._settings.pace)
            if story.cancelled and documents is story.documents and document.kind != "997":
                continue
            wait = self._settings.first_retry
            while not await self._attempt(document):
                await asyncio.sleep(wait)
                wait = min(wait * 2, self._settings.longest_retry)

    async def _attempt(self, document: Sent) -> bool:
        document.attempts += 1
        try:
            token = await self._bearer()
            response = await self._http.post(
                f"{self._settings.gateway_url}{_PATH}",
                content=document.body,
                headers={
                    "content-type": "application/edi-x12",
                    "authorization": f"Bearer {token}",
                },
            )
        except (httpx.HTTPError, ValueError, KeyError) as exc:
            document.answer = type(exc).__name__
            return False
        if response.status_code == _UNAUTHORIZED:
            self._token = ""
        document.status = response.status_code
        document.answer = response.text
        return response.is_success

    async def _bearer(self) -> str:
        if not self._token:
            settings = self._settings
            response = await self._http.post(
                settings.token_url,
                data={"grant_type": "client_credentials", "scope": _SCOPE},
                auth=(settings.client_id, settings.client_secret),
            )
            response.raise_for_status()
            self._token = str(response.json()["access_token"])
        return self._token
