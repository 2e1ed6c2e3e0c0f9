"""The operations console in a real browser: kept at home, led by keys, live."""

import re

import pytest
from playwright.async_api import Page, expect

# Each of these is a fact about the whole page, read where the page is shown.
NAMELESS = """() => [...document.querySelectorAll(
    'a, button, input, select, textarea, [role=region], [tabindex="0"]')]
  .filter((node) => node.checkVisibility())
  .filter((node) => {
    const labelled = (node.getAttribute('aria-labelledby') ?? '').split(' ')
      .map((id) => document.getElementById(id)?.textContent ?? '').join('');
    const labels = [...(node.labels ?? [])].map((label) => label.textContent).join('');
    return !(node.getAttribute('aria-label') || labelled || labels || node.textContent.trim());
  }).map((node) => node.outerHTML.slice(0, 120))"""
BROKEN_REFERENCES = """() => [...document.querySelectorAll(
    '[aria-controls], [aria-labelledby], [aria-describedby], label[for]')]
  .flatMap((node) => ['aria-controls', 'aria-labelledby', 'aria-describedby', 'for']
    .flatMap((name) => (node.getAttribute(name) ?? '').split(' ').filter(Boolean)))
  .filter((id) => !document.getElementById(id))"""
TWICE = """() => [...document.querySelectorAll('[id]')].map((node) => node.id)
  .filter((id, place, all) => all.indexOf(id) !== place)"""
HEADINGS = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
  .filter((node) => node.checkVisibility()).map((node) => Number(node.tagName[1]))"""
LANDMARKS = """() => ['header', 'main', '[role=search]'].map((landmark) =>
  [...document.querySelectorAll(landmark)].filter((node) => node.checkVisibility()
    && !(landmark === 'header' && node.closest('main'))).length)"""
SMALL_TARGETS = """() => [...document.querySelectorAll('button, input')]
  .filter((node) => node.checkVisibility() && node.type !== 'checkbox')
  .filter((node) => node.getBoundingClientRect().height < 24)
  .map((node) => node.textContent)"""
# Text against the nearest painted background behind it (WCAG 1.4.3).
PALE = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => colour.slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba('white');
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = [];
  while (words.nextNode()) {
    const node = words.currentNode.parentElement;
    if (!words.currentNode.data.trim() || !node.checkVisibility()) continue;
    const [one, other] = [rgba(getComputedStyle(node).color), behind(node)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) pale.push(`${ratio.toFixed(2)} ${node.className} ${words.currentNode.data}`);
  }
  return pale;
}"""
FOCUS = """() => {
  const node = document.activeElement;
  const style = getComputedStyle(node);
  return { name: node.tagName + '#' + node.id + ' ' + node.textContent.slice(0, 40),
    ringed: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    page: node === document.body };
}"""


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
    await rows.nth(2).focus()
    await page.keyboard.press("Enter")
    await page.evaluate("() => { window.sameDocument = true; }")

    await console.go_on()
    await expect(rows).not_to_have_count(before)
    await expect(page.get_by_role("status")).to_contain_text("new hop")
    await expect(rows.nth(2)).to_be_focused()
    await expect(rows.nth(2)).to_have_attribute("aria-expanded", "true")
    assert await page.evaluate("window.sameDocument")
    hops = await rows.count()
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


async def test_everything_has_a_name_a_place_and_a_size(console, watched):
    page = watched.page
    await opened(page, console, story=True)
    await page.locator(".hop-row").first.click()
    await page.keyboard.press("t")
    await page.keyboard.press("Enter")
    assert await page.evaluate(NAMELESS) == []
    assert await page.evaluate(BROKEN_REFERENCES) == []
    assert await page.evaluate(TWICE) == []
    assert await page.evaluate(SMALL_TARGETS) == []
    assert await page.evaluate(LANDMARKS) == [1, 1, 1]
    levels = await page.evaluate(HEADINGS)
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip([0, *levels], levels, strict=False))


async def test_every_stop_of_the_tab_key_shows_where_it_is(console, watched):
    page = watched.page
    await opened(page, console, story=True)
    stops = list[str]()
    for _ in range(40):
        await page.keyboard.press("Tab")
        focus = await page.evaluate(FOCUS)
        if focus["page"]:
            continue
        assert focus["ringed"], focus["name"]
        stops.append(focus["name"])
    assert stops[0].startswith("A#")
    assert any("find-name" in stop for stop in stops)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(console, watched, scheme):
    page = watched.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await opened(page, console, story=True)
    await page.locator(".hop-row").first.click()
    await page.locator('.hop[data-kind="effect"] .hop-row').first.click()
    assert await page.evaluate(PALE) == []


@pytest.mark.parametrize("width", [320, 768, 1600])
async def test_nothing_is_cut_off_at_any_width(console, watched, width):
    page = watched.page
    await page.set_viewport_size({"width": width, "height": 800})
    await opened(page, console, story=True)
    await page.locator('.hop[data-kind="effect"] .hop-row').first.click()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 320:
        await expect(page.get_by_label("Find a transaction")).to_be_hidden()
        await page.get_by_role("button", name="All transactions").click()
        await expect(page.get_by_label("Find a transaction")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_nothing_moves_for_people_who_asked_for_stillness(console, watched):
    page = watched.page
    await page.emulate_media(reduced_motion="reduce")
    await opened(page, console, story=True)
    before = await page.locator(".hop-row").count()
    await console.go_on()
    await expect(page.locator(".hop-row")).not_to_have_count(before)
    moving = "() => document.getAnimations().length"
    assert await page.evaluate(moving) == 0
