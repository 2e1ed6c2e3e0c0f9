"""The audit page in a real browser: who saw it, is it whole, and the evidence taken along."""

import csv
import io
import time

import msgspec
import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from playwright.async_api import Page, expect

from gateway.demo.people import Person
from gateway.demo.stage import Stage
from tests.browser.test_console_access import (
    BROKEN_REFERENCES,
    FOCUS,
    HEADINGS,
    NAMELESS,
    PALE,
    SMALL_TARGETS,
    TWICE,
)
from tests.journeys.front_doors import FACILITY, Floor, person
from tests.journeys.test_audit_review import used


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A patient's story that somebody looked at, and a reviewer who shall find out who."""

    stage: Stage
    url: str
    reviewer: Person
    case: str
    transaction: str


@pytest.fixture
async def review(stage: Stage) -> Review:
    floor = Floor(stage)
    case, transaction = await used(floor)
    curious = await person(stage, "curious", "experience.operations:read")
    await floor.send(curious, "GET", f"/experience/v1/operations/transactions/{transaction}")
    return Review(
        stage=stage,
        url=stage.running.url,
        reviewer=await person(stage, "reviewer", "experience.security:read"),
        case=case,
        transaction=transaction,
    )


async def opened(page: Page, review: Review, *, asked: str = "") -> None:
    await page.goto(f"{review.url}/console/audit#token={review.reviewer.token}{asked}")
    await expect(page.locator("#rows .row").first).to_be_visible()


async def test_who_saw_a_patient_is_found_verified_and_exported_by_keyboard(review, watched):
    """The task of a reviewer in a hurry: six acts, each a field filled in or a key pressed."""
    page = watched.page
    await opened(page, review)
    began, acts = time.monotonic(), 0

    await expect(page.get_by_label("Facility").first).to_be_focused()
    await page.keyboard.type(FACILITY)
    acts += 1
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Case or encounter number")).to_be_focused()
    acts += 1
    await page.keyboard.type(review.case)
    await page.keyboard.press("Enter")
    acts += 1
    await expect(page.get_by_role("heading", name="Who saw it", exact=True)).to_be_focused()
    seen = page.get_by_role("region", name="Who saw it, table")
    await expect(seen.get_by_role("row").filter(has_text="curious")).to_have_count(1)
    await expect(seen.get_by_role("row").filter(has_text="usage-to-replenishment")).to_have_count(1)

    await page.keyboard.press("v")
    acts += 1
    await expect(page.get_by_text("Everything holds")).to_be_visible()
    files = []
    for key in ("c", "f"):
        async with page.expect_download() as coming:
            await page.keyboard.press(key)
        acts += 1
        files.append(await (await coming.value).path())
    rows = list(csv.DictReader(io.StringIO(files[0].read_text())))
    assert "curious" in {row["actor"] for row in rows}
    events = [AuditEvent.model_validate_json(line) for line in files[1].read_text().splitlines()]
    assert len(events) >= len(rows)

    assert acts == 6
    assert time.monotonic() - began < 60
    assert review.case not in page.url
    assert review.case not in await page.content()
    assert watched.errors == []
    assert watched.violations == []
    home = (review.url, f"blob:{review.url}")
    assert [asked for asked in watched.requests if not asked.startswith(home)] == []


async def test_a_transaction_is_followed_from_a_record_and_back(review, watched):
    page = watched.page
    await opened(page, review, asked="&actor=curious")
    await page.keyboard.press("j")
    row = page.locator("#rows .row").filter(has_text=review.transaction).first
    await row.focus()
    await page.keyboard.press("Enter")
    await expect(row).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("t")
    await expect(page.get_by_role("heading", name="One transaction")).to_be_focused()
    assert page.url.endswith(f"#transaction={review.transaction}")
    await expect(page.locator("#rows")).to_contain_text("patient context opened")
    await page.go_back()
    await expect(page.get_by_label("Actor")).to_have_value("curious")


async def test_what_is_broken_is_named_record_by_record(review, watched):
    ledger = review.stage.running.parts.ledger
    row = await ledger.database.row("select chain, seq from audit where actor = 'curious' limit 1")
    await ledger.database.run(
        "update audit set actor = 'nobody' where chain = $1 and seq = $2", *row
    )
    page = watched.page
    await opened(page, review)
    await page.get_by_role("button", name="Verify the trail").click()
    told = page.locator(".verdict")
    await expect(told).to_contain_text("1 break")
    await expect(told).to_contain_text(f"Record {row['seq']} of {row['chain']}")
    await expect(told).to_contain_text("another actor than it says")


async def test_an_unknown_number_and_a_missing_one_are_explained(review, watched):
    page = watched.page
    await opened(page, review)
    await page.get_by_role("button", name="Who saw it").click()
    await expect(page.get_by_role("alert")).to_contain_text("Both the facility and the number")
    await page.get_by_label("Facility").first.fill(FACILITY)
    await page.get_by_label("Case or encounter number").fill("CASE-NEVER")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("nobody saw it here")


async def test_somebody_who_may_not_read_the_trail_is_told_so(review, watched):
    page = watched.page
    other = await person(review.stage, "operator-only", "experience.operations:read")
    await page.goto(f"{review.url}/console/audit")
    await expect(page.get_by_label("Client id")).to_be_focused()
    await page.keyboard.type(other.client)
    await page.keyboard.press("Tab")
    await page.keyboard.type(other.secret)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("lacks the scope")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_is_named_ordered_and_readable(review, watched, scheme):
    page = watched.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await opened(page, review, asked=f"&linked={review.transaction}&evidence=access")
    await expect(page.get_by_role("region", name="Who saw it, table")).to_be_visible()
    await page.locator("#rows .row").first.click()
    await page.get_by_role("button", name="Verify the trail").click()
    await expect(page.get_by_text("Everything holds")).to_be_visible()
    for fact in (NAMELESS, BROKEN_REFERENCES, TWICE, SMALL_TARGETS, PALE):
        assert await page.evaluate(fact) == []
    levels = await page.evaluate(HEADINGS)
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip([0, *levels], levels, strict=False))
    for _ in range(30):
        await page.keyboard.press("Tab")
        focus = await page.evaluate(FOCUS)
        assert focus["ringed"] or focus["page"], focus["name"]
    for width in (320, 768, 1600):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
