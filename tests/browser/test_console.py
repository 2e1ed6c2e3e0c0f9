"""The operations console in a real browser: kept at home, led by keys, live."""

import re

from playwright.async_api import Page, expect


async def opened(page: Page, console, *, story: bool = False) -> None:
    there = f"&transaction={console.transaction}" if story else ""
    await page.goto(f"{console.url}/console#token={console.token}{there}")
    await expect(page.locator("#live-words")).to_have_text("Live")
    if story:
        await expect(page.get_by_role("heading", level=2, name=console.title)).to_be_visible()


async def test_the_page_loads_under_its_own_policy_and_never_leaves_home(console, watched):
    page = watched.page
    answer = await page.goto(f"{console.url}/console")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    await opened(page, console, story=True)
    await page.locator(".hop-row").nth(1).click()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()

    assert watched.errors == []
    assert watched.violations == []
    assert [asked for asked in watched.requests if not asked.startswith(console.url)] == []


async def test_the_list_shows_a_transaction_and_that_it_needs_a_person(console, watched):
    await opened(watched.page, console)
    line = watched.page.get_by_role("listitem").filter(has_text=console.title).first
    await expect(line).to_contain_text("1 open task")
    await expect(line).to_contain_text(re.compile(r"\d+ hops"))


async def test_a_token_in_the_address_does_not_stay_there(console, watched):
    await opened(watched.page, console, story=True)
    assert watched.page.url == f"{console.url}/console#transaction={console.transaction}"
    await watched.page.reload()
    await expect(watched.page.locator("#story-title")).to_have_text(console.title)


async def test_somebody_signs_in_and_out(console, watched):
    page = watched.page
    await page.goto(f"{console.url}/console")
    await expect(page.get_by_label("Client id")).to_be_focused()
    await page.keyboard.type(console.client)
    await page.keyboard.press("Tab")
    await page.keyboard.type("not the secret")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("not right")

    await expect(page.get_by_label("Client secret")).to_be_focused()
    await page.keyboard.type(console.secret)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Transactions")).to_be_focused()
    await expect(page.locator("#lines")).to_contain_text(console.title)

    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Client id")).to_be_focused()
    assert console.title not in await page.content()


async def test_a_token_that_has_ended_leads_back_to_the_form_with_the_reason(console, watched):
    await watched.page.goto(f"{console.url}/console#token=an-old-one")
    await expect(watched.page.get_by_role("alert")).to_contain_text("Your session has ended")
    await expect(watched.page.get_by_label("Client id")).to_be_visible()


async def test_the_keyboard_alone_opens_a_transaction_and_a_hop_and_steps_back_out(
    console, watched
):
    page = watched.page
    await opened(page, console)
    line = page.locator(f'.line[href$="{console.transaction}"]')
    await expect(line).to_be_visible()
    for _ in range(await page.locator(".line").count()):
        await page.keyboard.press("j")
        if await line.evaluate("(node) => node === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=console.title)).to_be_focused()

    await page.keyboard.press("j")
    await page.keyboard.press("ArrowDown")
    second = page.locator(".hop-row").nth(1)
    await expect(second).to_be_focused()
    await page.keyboard.press("k")
    await expect(page.locator(".hop-row").first).to_be_focused()
    await page.keyboard.press("Enter")
    facts = page.locator(".hop-facts").first
    await expect(facts).to_be_visible()
    await expect(facts.get_by_role("region", name=re.compile("^Out"))).to_contain_text("{")

    await page.keyboard.press("Tab")
    await page.keyboard.press("Escape")
    await expect(facts).to_be_hidden()
    await expect(page.locator(".hop-row").first).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(line).to_be_focused()


async def test_a_new_hop_appears_by_itself_and_leaves_what_is_open_alone(console, watched):
    page = watched.page
    await opened(page, console, story=True)
    rows = page.locator(".hop-row")
    before = await rows.count()
    held = page.locator(f"#{await rows.nth(2).get_attribute('id')}")
    await held.focus()
    await page.keyboard.press("Enter")
    await page.evaluate("() => { window.sameDocument = true; }")

    hops = await console.go_on()
    assert hops > before
    await expect(rows).to_have_count(hops)
    await expect(page.get_by_role("status")).to_contain_text("new hop")
    await expect(held).to_be_focused()
    await expect(held).to_have_attribute("aria-expanded", "true")
    assert await page.evaluate("window.sameDocument")
    await expect(page.locator(".line[aria-current]")).to_contain_text(f"{hops} hops")


async def test_a_lost_line_is_told_and_what_was_missed_is_made_up_for(console, watched):
    page = watched.page
    await page.route("**/operations/events", lambda route: route.abort())
    await page.goto(
        f"{console.url}/console#token={console.token}&transaction={console.transaction}"
    )
    await expect(page.locator("#live-words")).to_contain_text("next try")
    rows = page.locator(".hop-row")
    await expect(rows.first).to_be_visible()
    before = await rows.count()
    await console.go_on()

    await page.unroute("**/operations/events")
    await expect(page.locator("#live-words")).to_have_text("Live", timeout=15_000)
    await expect(rows).not_to_have_count(before)


async def test_a_task_is_resolved_by_keyboard_and_giving_up_needs_a_reason(console, watched):
    page = watched.page
    await opened(page, console, story=True)
    tasks = page.get_by_role("region", name="Open tasks")
    await page.keyboard.press("t")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    reason = tasks.get_by_role("textbox")
    await expect(reason).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(tasks.get_by_role("alert")).to_contain_text("A reason is needed")
    await expect(reason).to_be_focused()
    await expect(reason).to_have_attribute("aria-invalid", "true")

    await page.keyboard.press("Escape")
    await expect(tasks.get_by_role("button").nth(1)).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.type("the contract price holds")
    await page.keyboard.press("Enter")
    await expect(tasks).to_be_hidden()
    await expect(page.get_by_role("heading", name=console.title)).to_be_focused()
    await expect(page.locator(".line[aria-current]")).not_to_contain_text("open task")
    decided = page.locator('.hop[data-tone="decided"]').last
    await decided.get_by_role("button").click()
    await expect(decided).to_contain_text("the contract price holds")


async def test_a_transaction_is_found_by_a_number_somebody_gave(console, watched):
    page = watched.page
    await opened(page, console)
    await page.keyboard.press("/")
    search = page.get_by_label("Find a transaction")
    await expect(search).to_be_focused()
    await page.keyboard.type("no-such-number")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("No transaction goes by")

    await page.keyboard.press("Escape")
    await page.keyboard.type(console.order)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=console.title)).to_be_focused()
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_number_that_leads_nowhere_in_a_link_is_explained(console, watched):
    page = watched.page
    await page.goto(f"{console.url}/console#token={console.token}&transaction=tx_gone")
    heading = page.get_by_role("heading", name="The transaction cannot be shown")
    await expect(heading).to_be_visible()
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()


async def test_single_letters_can_be_switched_off(console, watched):
    page = watched.page
    await opened(page, console, story=True)
    await page.keyboard.press("?")
    await page.get_by_label("Single-letter keys are on").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("/")
    await expect(page.get_by_label("Find a transaction")).not_to_be_focused()


async def test_milestones_hide_reads_and_rules(console, watched):
    page = watched.page
    await opened(page, console, story=True)
    await page.get_by_label("Milestones only").check()
    await expect(page.locator('.hop[data-kind="ask"]').first).to_be_hidden()
    await expect(page.locator('.hop[data-kind="effect"]').first).to_be_visible()
