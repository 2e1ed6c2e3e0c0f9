"""A console to look at, and a browser to look with."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec
import pytest
import uvicorn
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.browser.stand_in import StandIn

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Console(msgspec.Struct, frozen=True, kw_only=True):
    """A running console with one story in it that has an open decision task, and can go on."""

    url: str
    token: str
    client: str
    secret: str
    transaction: str
    title: str
    order: str
    go_on: Callable[[], Awaitable[None]]
    """Lets something happen in the story: at least one hop more."""


@pytest.fixture
async def console() -> AsyncGenerator[Console]:
    stand_in = StandIn()
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(stand_in.app, log_level="warning", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    yield Console(
        url=f"http://127.0.0.1:{listening.getsockname()[1]}",
        token=stand_in.token,
        client=stand_in.client,
        secret=stand_in.secret,
        transaction=stand_in.transaction,
        title=stand_in.example.title,
        order="4500000831",
        go_on=stand_in.go_on,
    )
    server.should_exit = server.force_exit = True
    await serving
    listening.close()


class Watched(msgspec.Struct, kw_only=True):
    """A page, and what it did that it should not."""

    page: Page
    errors: list[str]
    requests: list[str]
    violations: list[str]


@pytest.fixture
async def browser() -> AsyncGenerator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=chromium, headless=True, args=CHROMIUM
        )
        yield launched
        await launched.close()


@pytest.fixture
async def watched(browser: Browser) -> AsyncGenerator[Watched]:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    watched = Watched(page=page, errors=[], requests=[], violations=[])

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            watched.errors.append(message.text)

    def asked(request: Request) -> None:
        watched.requests.append(request.url)

    def violated(directive: str) -> None:
        watched.violations.append(directive)

    page.on("console", heard)
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on("request", asked)
    await page.expose_function("violated", violated)
    await page.add_init_script(
        "addEventListener('securitypolicyviolation', (v) => violated(v.violatedDirective))"
    )
    yield watched
    with contextlib.suppress(asyncio.CancelledError):
        await context.close()
