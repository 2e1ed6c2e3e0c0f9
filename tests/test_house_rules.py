"""The house rules that no off-the-shelf linter knows. Every escape carries its reason in place."""

import ast
import fnmatch
import importlib.metadata
import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "root_packages"
]
LONGEST_FILE = 300
LONGEST_FUNCTION = 40

EDGES = {
    "policies/problem_details.py": "the one place where a stray exception becomes an answer",
    "ledger/worker.py": "the one place where a stray exception becomes a task",
    "gateway/inspection/documents.py": "the one place where a stray exception becomes a verdict",
}
"""Files with one broad except each: where work of others ends. Nobody else swallows the unknown."""

FORBIDDEN = {
    *("manager", "service", "helper", "util", "common", "base", "handler", "processor"),
    *("data", "info", "impl", "wrapper", "misc"),
}
PREFIXES = ("get_", "process_", "handle_", "do_")
NOT_OUR_NAMES = {
    "handle_async_request": "httpx.AsyncBaseTransport",
    "handle_response": "authlib.oauth2.rfc6749.AuthorizationServer",
    "data_received": "asyncio.Protocol",
}
BUSINESS_WORDS = re.compile(r"(?i)base_?(?:unit|quantity)|master_?data|odata")
"""Words of the trade that contain a forbidden one."""
FOREIGN_SPELLING = re.compile(r"^sandbox/|/wire\.py$|^standards/fhir/resources\.py$")
"""Files that spell every name as a vendor or a standard does."""

COPYLEFT = ("trytond", "proteus", "bots")
NO_REGISTRY = re.compile(
    r"py[p]i\.org|pythonhoste[d]\.org|registry\.npmj[s]|registry\.yarnpk[g]|deb\.debia[n]\.org"
    r"|crates\.i[o]\b|proxy\.golan[g]"
)
NO_MACHINE_PATH = re.compile(r"(?<![\w./-])/wor[k]/|\.\./share[d]\b|(?<![\w.])/roo[t]/")
REASON = re.compile(r"#\s*house:\s*(\S.*)?$")
BROAD_REASON = re.compile(r"#\s*noqa:\s*BLE001\s+-\s+\S+")


class Source(NamedTuple):
    name: str
    lines: list[str]
    tree: ast.Module


@cache
def sources() -> list[Source]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return [_source(path) for path in sorted(paths)]


def _source(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path.relative_to(ROOT).as_posix(), text.splitlines(), ast.parse(text))


@cache
def kept_files() -> list[Path]:
    """Every file that is or will be committed: what .gitignore does not name."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()] + [".git"]

    def is_kept(name: str) -> bool:
        return not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)

    found: list[Path] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = filter(is_kept, folders)
        found += [Path(folder, file) for file in files if is_kept(file)]
    return sorted(found)


def excused(line: str, place: str) -> bool:
    """Whether the line says why it breaks a rule; saying it without a reason is a fault."""
    match = REASON.search(line)
    if match:
        assert match[1], f"{place}: an exception to a house rule needs its reason"
    return match is not None


def assert_none(found: list[str], rule: str) -> None:
    assert not found, rule + "".join(f"\n  {place}" for place in found)


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    long = [
        f"{source.name}: {len(source.lines)} lines"
        for source in sources()
        if len(source.lines) > LONGEST_FILE and not excused(source.lines[0], source.name)
    ]
    assert_none(long, "split by noun, or say why on the first line: # house: reason")


def test_no_function_is_longer_than_forty_lines() -> None:
    long = [
        f"{source.name}:{node.lineno} {node.name}: {length} lines"
        for source in sources()
        for node in functions(source)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
        and not excused(source.lines[node.lineno - 1], f"{source.name}:{node.lineno}")
    ]
    assert_none(long, "name the parts, or say why on the def line: # house: reason")


def test_nothing_is_swallowed_but_at_the_edges() -> None:
    swallowed: dict[str, int] = {}
    for source in sources():
        for line in _swallowing_lines(source.tree):
            place = f"{source.name}:{line}"
            assert source.name in EDGES, f"{place}: name the exceptions, or raise again"
            assert BROAD_REASON.search(source.lines[line - 1]), f"{place}: say why"
            swallowed[source.name] = swallowed.get(source.name, 0) + 1
    assert swallowed == dict.fromkeys(EDGES, 1)


def _swallowing_lines(tree: ast.Module) -> Iterator[int]:
    """Where everything is caught and not raised again; cleaning up and raising again is fine."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _is_broad(node.type)):
            last = node.body[-1]
            if not (isinstance(last, ast.Raise) and last.exc is None):
                yield node.lineno
        is_suppression = isinstance(node, ast.Call) and _dotted(node.func).endswith("suppress")
        if is_suppression and any(_is_broad(argument) for argument in node.args):
            yield node.lineno


def _is_broad(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple):
        return any(_is_broad(part) for part in node.elts)
    return _dotted(node).removeprefix("builtins.") in ("Exception", "BaseException")


def _dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def test_no_name_says_nothing() -> None:
    empty = [
        f"{place}: {name}"
        for source in sources()
        if not FOREIGN_SPELLING.search(source.name)
        for place, name in _names(source)
        if _words(name) & FORBIDDEN and name not in NOT_OUR_NAMES
    ]
    assert_none(empty, "these names do not say what the thing is")


def test_no_function_is_called_after_its_being_called() -> None:
    empty = [
        f"{source.name}:{node.lineno}: {node.name}"
        for source in sources()
        if not FOREIGN_SPELLING.search(source.name)
        for node in functions(source)
        if node.name.lstrip("_").startswith(PREFIXES) and node.name not in NOT_OUR_NAMES
    ]
    assert_none(empty, "say from where, or what becomes of it: stock_at, place_order")


def _names(source: Source) -> Iterator[tuple[str, str]]:
    for part in source.name.removesuffix(".py").split("/"):
        yield source.name, part
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield f"{source.name}:{node.lineno}", node.name


def _words(name: str) -> set[str]:
    own = BUSINESS_WORDS.sub("", name)
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", own)}
    return words | {word.removesuffix("s") for word in words}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OrderService", {"order", "service"}),
        ("http_utils", {"http", "util"}),
        ("HTTPHandler", {"http", "handler"}),
        ("_base", {"base"}),
        ("BaseClient", {"base"}),
    ],
)
def test_words_are_found_in_both_spellings(name: str, words: set[str]) -> None:
    assert words <= _words(name)


def test_nothing_is_mocked() -> None:
    mocked = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in kept_files()
        if path.suffix == ".py"
        for node in ast.walk(_source(path).tree)
        if _imports_mock(node)
    ]
    assert_none(mocked, "fakes and simulators, never mocks")


def _imports_mock(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name in ("mock", "unittest.mock") for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        from_unittest = node.module == "unittest" and any(a.name == "mock" for a in node.names)
        return from_unittest or node.module in ("mock", "unittest.mock")
    return False


@pytest.mark.parametrize(
    ("pattern", "what"),
    [(NO_REGISTRY, "a package registry's address"), (NO_MACHINE_PATH, "a path of one machine")],
    ids=["registry", "machine"],
)
def test_no_file_knows_where_it_was_made(pattern: re.Pattern[str], what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in kept_files()
        for number, line in enumerate(_text(path).splitlines(), 1)
        if pattern.search(line)
    ]
    assert_none(found, f"{what} is in these files")


def _text(path: Path) -> str:
    body = path.read_bytes()
    return "" if b"\0" in body else body.decode(errors="replace")


def requirements(file: str = "requirements.lock") -> dict[str, str]:
    """Each locked package with its block of the lock file."""
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", (ROOT / file).read_text())
    return {re.split(r"[=\[ ]", block)[0]: block for block in blocks if block.strip()}


@pytest.mark.parametrize("file", ["requirements.lock", "bench/peers/requirements.lock"])
def test_every_locked_package_has_hashes_and_none_an_address(file: str) -> None:
    lock = (ROOT / file).read_text()
    blocks = requirements(file).items()
    assert [name for name, block in blocks if "--hash=sha256:" not in block] == []
    assert re.findall(r"(?m)^.*(?:://|^-|--index|--extra-index|--find-links).*$", lock) == []


def test_every_dependency_of_the_project_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [line for group in (project["dependencies"], *extras) for line in group]
    names = {_canonical(re.split(r"[\[<>=;~! ]", line)[0]) for line in wanted}
    missing = names - {_canonical(name) for name in requirements()}
    assert_none(sorted(missing), "run: make lock")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_copyleft_package_is_locked() -> None:
    assert [name for name in requirements() if _canonical(name).startswith(COPYLEFT)] == []
    declared = {
        name: importlib.metadata.metadata(name) for name in requirements() if _is_installed(name)
    }
    licences = {
        name: " ".join([str(facts["License-Expression"]), *facts.get_all("Classifier", [])])
        for name, facts in declared.items()
    }
    assert [name for name, text in licences.items() if re.search(r"\b(?:A?GPL|GNU)", text)] == []


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return False  # of another platform
    return True
