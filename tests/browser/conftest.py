"""A console to look at, and a browser to look with."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
    expect,
)

from gateway.demo.people import Refused
from gateway.demo.stage import Stage

expect.set_options(timeout=15_000)  # a busy machine is no broken page

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
    go_on: Callable[[], Awaitable[int]]
    """Lets something happen in the story; returns how many hops it has when all is done."""


@pytest.fixture
async def console(stage: Stage) -> Console:
    """The running gateway's console: a case whose requisition waits for an approver."""
    case = {
        "caseNumber": "CASE-77",
        "visit": "VISIT-77",
        "procedure": "27130",
        "procedureName": "Total hip arthroplasty",
        "location": "OR",
        "start": "2027-03-01T13:00:00+00:00",
    }
    sent = (await stage.ehr.post("/sim/cases", json=case)).json()["controlId"]
    operator = stage.people["operator"]

    async def told():
        return await operator.call("GET", f"/experience/v1/operations/transactions/{sent}")

    def planned(trace: Any) -> list[Any]:
        return [each for each in trace["flows"] if each["name"] == "case-demand"]

    async def go_on() -> int:
        """Another surgeon: the case is planned again."""
        before = len(planned(await told()))
        answer = await stage.ehr.put("/sim/cases/CASE-77", json={"surgeon": f"S-{before}"})
        answer.raise_for_status()
        await _until(
            told,
            lambda trace: (
                len(planned(trace)) > before
                and all(each["status"] == "done" for each in planned(trace))
            ),
        )
        return len((await told())["hops"])

    await _until(told, lambda trace: any(task["status"] == "open" for task in trace["tasks"]))
    trace = await told()
    return Console(
        url=stage.running.url,
        token=operator.token,
        client=operator.client,
        secret=operator.secret,
        transaction=trace["id"],
        title=trace["title"],
        order=next(value for kind, value in trace["references"] if kind == "requisition"),
        go_on=go_on,
    )


async def _until(told: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> None:
    for _ in range(150):
        with contextlib.suppress(Refused):
            if holds(await told()):
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the console's story did not come about")


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
