"""What is written for people: decisions are complete, and links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
ONE_PAGE = 60
DECISIONS = sorted((ROOT / "decisions").glob("[0-9]*.md"))


def _links(page: Path) -> list[str]:
    prose = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", "", page.read_text())
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def test_every_link_of_every_page_leads_somewhere() -> None:
    lost = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in (*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md"))
        for link in _links(page)
        if "://" not in link and not link.startswith(("mailto:", "#"))
        if not (page.parent / link.partition("#")[0]).exists()
    ]
    assert lost == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_says_why_what_follows_and_what_keeps_it(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"(?m)^## (.+)$", text) == PARTS
    assert len(text.splitlines()) <= ONE_PAGE
    decision = text.split("## Decision")[1].split("## Consequences")[0]
    assert re.search(r"(?m)^> \S", decision), "the decision is a sentence that can be quoted"


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_what_keeps_a_decision_exists(page: Path) -> None:
    keepers = page.read_text().split("## Enforced by")[1]
    paths = re.findall(r"`([\w.-]*/[\w./-]+|[\w-]+\.(?:toml|py|lock)|Makefile)`", keepers)
    assert paths, "name the file that keeps it"
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert _links(ROOT / "decisions" / "README.md") == [page.name for page in DECISIONS]
