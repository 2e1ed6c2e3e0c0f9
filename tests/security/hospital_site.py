"""Our authorization server with people and apps, and browsers in front of it, in one process."""

import asyncio
import base64
import hashlib
import html
import itertools
import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import msgspec
from litestar.types import ASGIApp

from gateway.app import Parts, create_app
from gateway.authorization.book import ClientBook
from gateway.config import load
from gateway.runtime import Stores, open_parts, open_stores
from gateway.sign_in.book import PersonBook
from gateway.sign_in.settings import PeopleSettings, Tries
from ledger.database import fresh_database
from policies.oauth.clients import OAuthClient, new_client
from policies.oauth.passwords import password_hash
from policies.oauth.people import Person

ROOT = Path(__file__).resolve().parents[2]
ISSUER = "https://suture.test"
PASSWORD = "four small boats at noon"
VERIFIER = "a-verifier-of-the-app-that-nobody-else-has-0123456789"
MOBILE, PROCUREMENT = "experience.mobile:read", "experience.procurement:read"
SCAN = "experience.mobile:write"
CALLBACK = "https://app.example/cb"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
ROLES = {"nurse": (MOBILE, SCAN), "buyer": (PROCUREMENT,)}


def challenge_of(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Watch:
    """The gateway's clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Browser:
    """Somebody's browser: keeps cookies, follows nothing by itself, reads forms."""

    def __init__(self, site: "Site", address: str, app: ASGIApp | None = None) -> None:
        transport = httpx.ASGITransport(app or site.app, client=(address, 50_000))
        self.http = httpx.AsyncClient(transport=transport, base_url=ISSUER)
        self.site = site

    async def page(self, path: str, query: str = "") -> httpx.Response:
        return await self.http.get(f"{path}?{query}" if query else path)

    async def send(self, shown: httpx.Response, **filled: str) -> httpx.Response:
        """Send the form of a page with its hidden fields."""
        action, fields = form_of(shown)
        return await self.http.post(action, data=fields | filled)

    async def sign_in(self, person: str, password: str = PASSWORD) -> httpx.Response:
        shown = await self.page("/oauth/sign-out")
        return await self.send(shown, person=person, password=password)

    async def authorize(self, **said: str) -> httpx.Response:
        return await self.page("/oauth/authorize", query_of(**said))

    async def code(self, **said: str) -> str:
        """Let an app act, and return its code."""
        answer = await self.send(await self.authorize(**said), decision="allow")
        return answer_of(answer)["code"]


class Site:
    """The authorization server, and who knows it."""

    def __init__(self, parts: Parts, app: ASGIApp, watch: Watch) -> None:
        self.parts = parts
        self.app = app
        self.watch = watch
        self.secrets: dict[str, str] = {}
        self.kept = password_hash(PASSWORD)
        self._addresses = (
            f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in itertools.count()
        )

    def browser(self, address: str = "") -> Browser:
        return Browser(self, address or next(self._addresses))

    async def person(self, *roles: str, **facts: Any) -> str:
        """Make somebody known, and return the id."""
        person_id = f"p-{uuid.uuid4().hex[:12]}"
        person = Person(
            person_id=person_id, display_name="Alex Example", password=self.kept, roles=roles
        )
        await PersonBook(self.parts.ledger.people).add(msgspec.structs.replace(person, **facts))
        return person_id

    async def signed_in(self, *roles: str, **facts: Any) -> Browser:
        """Return a browser in which somebody new has signed in."""
        browser = self.browser()
        answer = await browser.sign_in(await self.person(*roles, **facts))
        assert answer.status_code == 303, answer.text
        return browser

    async def client(self, client_id: str, **facts: Any) -> OAuthClient:
        client, secret = new_client(client_id, facts.pop("scopes", (MOBILE, PROCUREMENT)))
        await ClientBook(self.parts.ledger.clients).put(msgspec.structs.replace(client, **facts))
        self.secrets[client_id] = secret
        return client

    async def token(self, client: str = "app", **form: str) -> httpx.Response:
        """Ask for a token as a client does; one without a secret only says its name."""
        async with self.caller() as http:
            if client in self.secrets:
                return await http.post(
                    "/oauth/token", data=form, auth=(client, self.secrets[client])
                )
            return await http.post("/oauth/token", data={"client_id": client, **form})

    async def exchange(self, code: str, client: str = "app", **form: str) -> httpx.Response:
        sent = {"redirect_uri": CALLBACK, "code_verifier": VERIFIER} | form
        return await self.token(client, grant_type="authorization_code", code=code, **sent)

    async def refresh(self, token: str, client: str = "app", **form: str) -> httpx.Response:
        return await self.token(client, grant_type="refresh_token", refresh_token=token, **form)

    async def device(self, client: str = "scanner", **form: str) -> httpx.Response:
        async with self.caller() as http:
            return await http.post(
                "/oauth/device_authorization", data={"client_id": client, **form}
            )

    async def poll(self, device_code: str, client: str = "scanner") -> httpx.Response:
        return await self.token(client, grant_type=DEVICE_GRANT, device_code=device_code)

    async def call(self, access_token: str, path: str = "/experience/v1/mobile/receipts/x") -> int:
        """Call an API, and return the status."""
        async with self.caller() as http:
            answer = await http.get(path, headers={"authorization": f"Bearer {access_token}"})
        return answer.status_code

    @asynccontextmanager
    async def later(self, **by: float) -> AsyncGenerator[None]:
        """Let time go by."""
        self.watch.ahead = timedelta(**by)
        try:
            yield
        finally:
            self.watch.ahead = timedelta()

    async def records(self, action: str) -> list[Any]:
        found = await self.parts.ledger.audit.recent(limit=50, kind="access")
        return [each.evidence for each in found if each.evidence.action == action]

    def caller(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=ISSUER)


def query_of(**said: str) -> str:
    """Return the query of a sound request with other parameters; '-' leaves one out."""
    sound = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": CALLBACK,
        "scope": MOBILE,
        "state": "af0ifjsldkj",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    return urlencode({name: value for name, value in (sound | said).items() if value != "-"})


def form_of(shown: httpx.Response) -> tuple[str, dict[str, str]]:
    """Return where the form of a page goes, and its hidden fields."""
    action = re.search(r'<form method="post" action="([^"]*)"', shown.text)
    assert action, shown.text
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', shown.text)
    return action[1], {name: html.unescape(value) for name, value in found}


def answer_of(sent: httpx.Response) -> dict[str, str]:
    """Return what an app is told at its address."""
    assert sent.status_code == 303, sent.text
    return dict(parse_qsl(urlsplit(sent.headers["location"]).query, keep_blank_values=True))


@asynccontextmanager
async def open_site(state: Path) -> AsyncGenerator[Site]:
    """Serve the committed pipeline over a database of its own, with a few apps and roles."""
    told = load(ROOT / "gateway.toml")
    config = msgspec.structs.replace(
        told,
        state_folder=str(state),
        server=msgspec.structs.replace(told.server, issuer=ISSUER),
        people=PeopleSettings(roles=ROLES, tries=Tries(person=7, address=8)),
    )
    watch = Watch()
    async with open_stores(config) as opened:
        dsn = await fresh_database(opened.dsn, f"site_{uuid.uuid4().hex}")
        stores = Stores(dsn=dsn, valkey=opened.valkey)
        async with open_parts(config, watch, stores) as parts:
            site = Site(parts, create_app(parts), watch)
            await _introduce(site)
            yield site


async def _introduce(site: Site) -> None:
    people = ("authorization_code", "refresh_token")
    own = ("http://127.0.0.1/cb", "com.example.scan:/cb")
    await asyncio.gather(
        site.client("app", name="Ward app", grant_types=people, redirect_uris=(CALLBACK,)),
        site.client(
            "other", grant_types=people, redirect_uris=("https://other.example/cb", CALLBACK)
        ),
        site.client("native", grant_types=people, redirect_uris=own, auth_method="none"),
        site.client("once", grant_types=people[:1], redirect_uris=(CALLBACK,)),
        site.client("retired", grant_types=people, redirect_uris=(CALLBACK,), active=False),
        site.client("machine", redirect_uris=(CALLBACK,)),
        site.client("scanner", grant_types=(DEVICE_GRANT, "refresh_token"), auth_method="none"),
        site.client("scanner-2", grant_types=(DEVICE_GRANT,), auth_method="none"),
    )
    for public in ("native", "scanner", "scanner-2"):
        del site.secrets[public]
