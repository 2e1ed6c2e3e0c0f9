"""What the pages and grants of people work with, and the few acts that all of them share."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import msgspec

from canonical.clock import Clock
from gateway.config import Config
from gateway.events import public_url
from gateway.sign_in.book import PersonBook
from gateway.sign_in.endings import Endings
from gateway.sign_in.settings import PeopleSettings
from ledger.audit_trail import Evidence
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.tickets import Family, Tickets
from policies.edge import Pace, Verdict
from policies.oauth.authentication import FindClient
from policies.oauth.clients import OAuthClient
from policies.oauth.refresh import Consent
from policies.rate_limit import Gcra

_consent = msgspec.json.Decoder(Consent)
_encode = msgspec.json.Encoder().encode
_AT_A_TIME = 2


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """Collaborators. `url` is the issuer; `turns` is how many passwords are looked at at a time:
    each takes 32 MiB and a core for a while.
    """

    ledger: Ledger
    find_client: FindClient
    endings: Endings
    limiter: Callable[[str, Pace, int], Awaitable[Verdict]]
    settings: PeopleSettings
    turns: asyncio.Semaphore
    url: str

    @property
    def clock(self) -> Clock:
        return self.ledger.clock

    @property
    def tickets(self) -> Tickets:
        return self.ledger.tickets

    @property
    def people(self) -> PersonBook:
        return PersonBook(self.ledger.people)

    def after(self, seconds: int) -> datetime:
        """Return the moment that many seconds from now."""
        return self.clock() + timedelta(seconds=seconds)

    async def client(self, client_id: str) -> OAuthClient | None:
        """Return a client that may be used."""
        found = await self.find_client(client_id) if client_id else None
        return found if found is not None and found.active else None

    async def record(self, actor: str, action: str, outcome: str, **detail: str) -> None:
        """Leave a record of something that was decided about a person; `app` is its object."""
        app = detail.pop("app", "")
        await self.ledger.record(
            Evidence(
                kind="access",
                actor=actor or "anonymous",
                action=action,
                outcome=outcome,
                object=app,
                detail=detail,
            )
        )


def desk_of(config: Config, ledger: Ledger, limiter: Gcra, find_client: FindClient) -> Desk:
    """Return the desk of a gateway."""
    return Desk(
        ledger=ledger,
        find_client=find_client,
        endings=Endings(ledger=ledger, token_seconds=config.server.token_seconds),
        limiter=limiter,
        settings=config.people,
        turns=asyncio.Semaphore(_AT_A_TIME),
        url=public_url(config),
    )


def new_grant(
    body: Consent, began: datetime, expires: datetime, *, owner: str = "", session: str = ""
) -> Family:
    """Return the family of what is granted to an app; it ends with the session, if one is named."""
    return Family(
        id=new_id("grant"),
        owner=owner,
        body=encoded(body),
        began=began,
        expires=expires,
        parent=session,
    )


def encoded(body: Consent) -> str:
    """Return a grant as its family keeps it."""
    return _encode(body).decode()


def consent_of(family: Family) -> Consent:
    """Return what the family of a grant is about."""
    return _consent.decode(family.body)
