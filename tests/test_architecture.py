"""The shape of the whole: who may import whom, and which lists must name everything there is."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest

from canonical import errors

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = PYPROJECT["tool"]["importlinter"]
ASIDE = {"tests", "bench"}
"""Packages with rules of their own: nothing in production imports them."""


def packages() -> set[str]:
    with_code = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[!.]*/**/*.py")}
    return with_code - ASIDE


def test_every_package_says_what_it_is() -> None:
    folders = {path.parent for package in packages() for path in (ROOT / package).rglob("*.py")}
    silent = [
        str(folder.relative_to(ROOT))
        for folder in sorted(folders)
        if not (folder / "__init__.py").exists()
        or ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) is None
    ]
    assert silent == [], "each needs an __init__.py with a docstring of one line"


def test_every_import_contract_is_kept() -> None:
    linter = "from importlinter.cli import lint_imports_command as lint; lint(['--no-logo'])"
    run = subprocess.run(
        [sys.executable, "-c", linter], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("checker", "listed"),
    [
        ("import-linter", CONTRACTS["root_packages"]),
        ("pyright", PYPROJECT["tool"]["pyright"]["include"]),
        ("mypy", PYPROJECT["tool"]["mypy"]["packages"]),
    ],
)
def test_no_package_escapes_a_checker(checker: str, listed: list[str]) -> None:
    assert packages() - set(listed) == set(), f"{checker} does not look at all packages"


def test_every_layer_of_the_law_is_in_the_layers_contract() -> None:
    layers = next(c["layers"] for c in CONTRACTS["contracts"] if c["type"] == "layers")
    named = {name.strip(" ()") for layer in layers for name in re.split(r"[|:]", layer)}
    assert named == packages() - {"sandbox"}


@pytest.mark.parametrize("parent", ["system_apis", "process_apis", "experience_apis", "policies"])
def test_siblings_of_one_layer_are_independent(parent: str) -> None:
    independent = [c["modules"] for c in CONTRACTS["contracts"] if c["type"] == "independence"]
    assert [f"{parent}.*"] in independent


def failures() -> dict[str, type[errors.Failure]]:
    """Every failure that can be raised: one that has a slug of its own."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.Failure) and "slug" in vars(value)
    }


def test_the_vocabulary_of_failures_is_closed() -> None:
    families = {name for name, value in vars(errors).items() if isinstance(value, type)}
    strangers = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for package in packages() - {"sandbox"}
        for path in (ROOT / package).rglob("*.py")
        if path != ROOT / "canonical" / "errors.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        if families & {ast.unparse(parent).rpartition(".")[2] for parent in node.bases}
    ]
    assert strangers == [], "failures come from canonical/errors.py only"


@pytest.mark.parametrize("name", sorted(failures().keys() - {"Failure"}))
def test_a_failure_is_named_once_and_drawn_in_the_tree(name: str) -> None:
    slug = failures()[name].slug
    assert slug == re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    assert re.search(rf"\b{name}\b", errors.__doc__ or "")


def test_only_the_patient_context_has_fields_for_a_patient() -> None:
    naming = [
        f"{path.name}:{node.lineno}"
        for path in (ROOT / "canonical").glob("*.py")
        if path.name != "context.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AnnAssign) and re.match("patient|mrn|ssn", ast.unparse(node.target))
    ]
    assert naming == []


XML_READERS = ("xml.etree", "xml.sax", "xml.dom", "xml.parsers", "lxml", "xmltodict", "bs4")
"""What reads XML and believes what a document says of itself. `xml.sax.saxutils` only writes."""


def calls_and_imports() -> Iterator[tuple[str, ast.AST]]:
    for package in packages():
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def test_xml_is_read_without_entities_and_without_a_document_type() -> None:
    """By defusedxml, which refuses both; a type such as Element may be named for the checkers."""
    told = [*calls_and_imports()]
    calls = [
        (place, ast.unparse(node))
        for place, node in told
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("fromstring")
    ]
    assert calls, "nobody reads XML: this test looks for the wrong name"
    assert [place for place, call in calls if "forbid_dtd=True" not in call] == []
    assert [place for place, node in told if set(imported(node)) & {*XML_READERS}] == []


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the XML readers that a statement imports."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        names = [] if names == ["Element"] else [node.module or ""]
    for name in names:
        if name != "xml.sax.saxutils":
            yield from (reader for reader in XML_READERS if name.startswith(reader))


def policies(around: str) -> list[type[msgspec.Struct]]:
    """Every policy `around` an `app` (inbound) or a `transport` (outbound): a tagged Struct."""
    package = importlib.import_module("policies")
    found: list[type[msgspec.Struct]] = []
    for module in pkgutil.walk_packages(package.__path__, "policies."):
        for value in vars(importlib.import_module(module.name)).values():
            is_own = isinstance(value, type) and value.__module__ == module.name
            if is_own and issubclass(value, msgspec.Struct) and value.__struct_config__.tag:
                assert callable(value), f"{value.__name__} wraps nothing"
                if list(inspect.signature(value.__call__).parameters)[1] == around:
                    found.append(value)
    return found


INBOUND, OUTBOUND = policies("app"), policies("transport")


def test_there_are_policies_in_both_directions() -> None:
    assert INBOUND
    assert OUTBOUND


@pytest.mark.parametrize("policy", INBOUND + OUTBOUND, ids=lambda policy: policy.__name__)
def test_a_policy_is_one_word_in_its_file_its_struct_and_its_tag(
    policy: type[msgspec.Struct],
) -> None:
    file, config = policy.__module__.rpartition(".")[2], policy.__struct_config__
    assert policy.__name__ == "".join(word.capitalize() for word in file.split("_"))
    assert (config.tag_field, config.tag) == ("policy", file.replace("_", "-"))
    assert config.frozen
    assert config.forbid_unknown_fields


def union_members(module: ModuleType) -> set[Any]:
    """Every class that a union of the module names, however deep."""
    waiting, found = list(vars(module).values()), set[Any]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, UnionType) or get_origin(value) is Union:
            waiting += get_args(value)
            found |= {part for part in get_args(value) if isinstance(part, type)}
    return found


def test_gateway_toml_can_name_every_inbound_policy() -> None:
    if not (ROOT / "gateway" / "catalogue.py").exists():
        pytest.skip("there is no gateway/catalogue.py yet")
    named = union_members(importlib.import_module("gateway.catalogue"))
    assert [policy.__name__ for policy in INBOUND if policy not in named] == []


@pytest.mark.parametrize("policy", OUTBOUND, ids=lambda policy: policy.__name__)
def test_every_outbound_policy_is_composed_by_the_gateway(policy: type[msgspec.Struct]) -> None:
    line = f"from {policy.__module__} import {policy.__name__}"
    assert any(line in path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
