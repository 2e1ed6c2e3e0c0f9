"""Replay from here, in a real browser: what it would do first, a reason, then the new flow."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_console_access import (
    BROKEN_REFERENCES,
    HEADINGS,
    NAMELESS,
    PALE,
    SMALL_TARGETS,
    TWICE,
)

STEP = "reserve the items"


async def opened(page: Page, console, step: str = STEP) -> None:
    """Open a hop of the case's plan, and go to its replay, by keyboard alone."""
    await page.goto(
        f"{console.url}/console#token={console.token}&transaction={console.transaction}"
    )
    await expect(page.get_by_role("heading", level=2, name=console.title)).to_be_visible()
    row = page.locator(".hop-row").filter(has_text=step).first
    await row.focus()
    await page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Replay from here…")
    await expect(button).to_be_visible()
    for _ in range(4):
        await page.keyboard.press("Tab")
        if await button.evaluate("(node) => node === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=f"Replay from «{step}»")).to_be_focused()


async def test_a_replay_is_previewed_reasoned_and_done_by_keyboard(console, watched):
    page = watched.page
    await opened(page, console)
    seen = page.get_by_role("region", name=f"Replay from «{STEP}»")
    await expect(seen).to_contain_text("Nothing would change.")
    step = seen.get_by_role("listitem").filter(has_text=STEP)
    await expect(step).to_contain_text("Not done twice")
    flows = page.get_by_role("region", name="Flows, table").locator("tbody tr")
    before = await flows.count()

    reason = page.get_by_label("Why replay?")
    await reason.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("A reason is needed")
    await expect(reason).to_be_focused()
    await page.keyboard.type("to be sure")
    await page.keyboard.press("Enter")

    await expect(flows).to_have_count(before + 1)
    await expect(flows.last).to_contain_text("done")
    hop = page.locator('.hop[data-kind="replay"]')
    await expect(hop).to_have_count(1)
    await hop.locator(".hop-row").click()
    await expect(hop).to_contain_text("to be sure")
    suppressed = page.locator(".hop").filter(has_text=STEP).last
    await expect(suppressed).to_contain_text("suppressed")
    assert watched.errors == []
    assert watched.violations == []


async def test_what_would_differ_is_shown_field_by_field(console, watched):
    page = watched.page
    await opened(page, console, "stock of IMP-20003")  # what was reserved is not free any more
    await page.get_by_label(re.compile("As it is today")).check()
    seen = page.get_by_role("region", name="Replay from «stock of IMP-20003»")
    await expect(seen.locator(".fields dt").first).to_contain_text("$.")
    await expect(seen.locator(".fields del").first).to_be_visible()
    await expect(seen.locator(".fields ins").first).to_be_visible()


async def test_escape_closes_the_panel_and_a_refusal_is_explained(console, watched):
    page = watched.page
    await opened(page, console)
    await expect(page.get_by_label("Why replay?")).to_be_visible()
    await page.get_by_label("Why replay?").focus()
    await page.keyboard.press("Escape")
    button = page.get_by_role("button", name="Replay from here…")
    await expect(button).to_be_focused()
    await expect(button).to_have_attribute("aria-expanded", "false")

    await page.route(
        "**/replay-preview",
        lambda route: route.fulfill(
            status=409,
            content_type="application/problem+json",
            body='{"detail": "this flow has been replayed already", "fix": "replay the other"}',
        ),
    )
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("Next: replay the other.")


async def test_a_step_of_a_flow_that_goes_on_offers_no_replay(console, watched):
    page = watched.page
    await opened(page, console)
    place = page.locator(".hop").filter(has_text="requisition in the ERP change")
    await place.locator(".hop-row").click()
    await expect(place.get_by_role("region", name=re.compile("^Out"))).to_be_visible()
    await expect(place.get_by_role("button", name="Replay from here…")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_panel_is_named_ordered_and_readable(console, watched, scheme):
    page = watched.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await opened(page, console)
    await page.get_by_label(re.compile("As it is today")).check()
    await expect(page.get_by_label("Why replay?")).to_be_visible()
    for fact in (NAMELESS, BROKEN_REFERENCES, TWICE, SMALL_TARGETS, PALE):
        assert await page.evaluate(fact) == []
    levels = await page.evaluate(HEADINGS)
    assert all(after - before <= 1 for before, after in zip([0, *levels], levels, strict=False))
    await page.set_viewport_size({"width": 320, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
