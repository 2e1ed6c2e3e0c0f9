"""The operations console is for everybody: named, ordered, visible, readable, still."""

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
