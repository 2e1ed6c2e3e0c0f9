"""A person signs in by keyboard, sees what an app wants and lets it: offline, in a real browser."""

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import msgspec
import pytest
from playwright.async_api import Page, expect

from gateway.authorization.book import ClientBook
from gateway.config import Config
from gateway.runtime import Stores, running_gateway
from gateway.sign_in.book import PersonBook
from policies.oauth.clients import new_client
from policies.oauth.device import DEVICE_CODE
from policies.oauth.passwords import password_hash
from policies.oauth.people import Person
from tests.browser.test_console_access import (
    BROKEN_REFERENCES,
    FOCUS,
    HEADINGS,
    NAMELESS,
    PALE,
    SMALL_TARGETS,
)
from tests.security.hospital_site import MOBILE, VERIFIER, challenge_of

PASSWORD = "four small boats at noon"


class Ward(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway with one person and one app, and the address at which the app listens."""

    url: str
    callback: str
    answers: "asyncio.Queue[dict[str, str]]"

    def request(self) -> str:
        said = {
            "response_type": "code",
            "client_id": "ward-app",
            "redirect_uri": self.callback,
            "scope": MOBILE,
            "state": "xyz",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        return f"{self.url}/oauth/authorize?{urlencode(said)}"


@pytest.fixture
async def ward(config: Config, stores: Stores) -> AsyncGenerator[Ward]:
    answers = asyncio.Queue[dict[str, str]]()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode()
        if line.startswith("GET /cb?"):
            answers.put_nowait(dict(parse_qsl(urlsplit(line.split()[1]).query)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n")
        writer.write(b"<!doctype html><title>App</title><p>Back in the app</p>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(app, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with running_gateway(config, ("api",), stores=stores) as running:
        ledger = running.parts.ledger
        client = msgspec.structs.replace(
            new_client("ward-app", (MOBILE,))[0],
            name="Ward app",
            auth_method="none",
            grant_types=("authorization_code", "refresh_token", DEVICE_CODE),
            redirect_uris=("http://127.0.0.1/cb",),
        )
        await ClientBook(ledger.clients).put(client)
        kept = await asyncio.to_thread(password_hash, PASSWORD)
        await PersonBook(ledger.people).add(
            Person(
                person_id="alex",
                display_name="Alex Example",
                password=kept,
                roles=("receiver",),
            )
        )
        yield Ward(url=running.url, callback=f"http://127.0.0.1:{port}/cb", answers=answers)
    server.close()
    await server.wait_closed()


async def test_a_person_signs_in_by_keyboard_and_lets_an_app_act(ward: Ward, watched):
    page: Page = watched.page
    await page.goto(ward.request())
    await expect(page.get_by_label("Person id")).to_be_focused()
    await accessible(page)
    await page.keyboard.type("alex")
    await page.keyboard.press("Tab")
    await page.keyboard.type("not the password")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("The person id or the password is wrong.")
    await expect(page.get_by_label("Password")).to_be_focused()
    await accessible(page)
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=2)).to_have_text("Let an app act for you?")
    await expect(page.get_by_text("Ward app")).to_be_visible()
    await accessible(page)
    await focus(page, "Allow")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Back in the app")).to_be_visible()
    told = await asyncio.wait_for(ward.answers.get(), 10)
    assert (told["state"], told["iss"]) == ("xyz", ward.url)
    async with httpx.AsyncClient(base_url=ward.url, trust_env=False) as http:
        form = {
            "grant_type": "authorization_code",
            "client_id": "ward-app",
            "code": told["code"],
            "redirect_uri": ward.callback,
            "code_verifier": VERIFIER,
        }
        given = (await http.post("/oauth/token", data=form)).json()
    assert given["scope"] == MOBILE
    own = (ward.url, ward.callback.removesuffix("/cb"))
    assert [url for url in watched.requests if not url.startswith(own)] == []
    assert watched.violations == []


async def test_a_person_lets_a_scanner_act_and_signs_out(ward: Ward, watched):
    page: Page = watched.page
    async with httpx.AsyncClient(base_url=ward.url, trust_env=False) as http:
        form = {"client_id": "ward-app", "scope": MOBILE}
        device = (await http.post("/oauth/device_authorization", data=form)).json()
        await page.goto(device["verification_uri_complete"])
        await page.keyboard.type("alex")
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Code that the device shows")).to_be_focused()
        await accessible(page)
        await page.keyboard.press("Enter")
        await expect(page.get_by_text(f"shows {device['user_code']}")).to_be_visible()
        await accessible(page)
        await focus(page, "Allow")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=2)).to_have_text("The device may go on")
        asked = {"client_id": "ward-app", "grant_type": DEVICE_CODE}
        answer = await http.post(
            "/oauth/token", data=asked | {"device_code": device["device_code"]}
        )
        assert answer.status_code == 200, answer.text
    await page.goto(f"{ward.url}/oauth/sign-out")
    await expect(page.get_by_text("1 and 1 at present")).to_be_visible()
    await accessible(page)
    await page.get_by_role("link", name="Change your password").press("Enter")
    await expect(page.get_by_label("Password so far")).to_be_visible()
    await accessible(page)
    await page.go_back()
    await focus(page, "Sign out everywhere")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=2)).to_have_text("You are signed out")
    await page.goto(ward.request())
    await expect(page.get_by_label("Person id")).to_be_visible()
    assert (watched.errors, watched.violations) == ([], [])


async def test_a_mistake_of_the_app_is_told_on_a_page_that_leads_nowhere(ward: Ward, watched):
    page: Page = watched.page
    await page.goto(ward.request().replace("%2Fcb", "%2Felsewhere"))
    await expect(page.get_by_role("alert")).to_contain_text("not registered for this app")
    await accessible(page)
    assert page.url.startswith(ward.url)
    assert await page.get_by_role("link").count() == 0


async def focus(page: Page, name: str) -> None:
    """Reach something with the Tab key; every stop on the way has to show where it is."""
    for _ in range(10):
        await page.keyboard.press("Tab")
        seen = await page.evaluate(FOCUS)
        assert seen["page"] or seen["ringed"], seen
        if name in seen["name"]:
            return
    raise AssertionError(f"{name} cannot be reached")


async def accessible(page: Page) -> None:
    """Check names, sizes, order and contrast of a page, dark and light, narrow and wide."""
    assert await page.evaluate(NAMELESS) == []
    assert await page.evaluate(BROKEN_REFERENCES) == []
    assert await page.evaluate(SMALL_TARGETS) == []
    assert await page.evaluate(HEADINGS) == [1, 2]
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert await page.evaluate(PALE) == []
    await page.set_viewport_size({"width": 320, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    await page.set_viewport_size({"width": 1280, "height": 800})
