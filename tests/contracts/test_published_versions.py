"""What was published is kept: whoever built against a version goes on working."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config import ConfigurationRefused
from gateway.lifecycle import require_terms, shipped_lifecycle
from gateway.openapi import document, operation_paths
from gateway.openapi_changes import breaking_changes
from gateway.published_api import broken_promises, publish, versions
from policies.lifecycle import ApiTerm, Lifecycle

FOLDER = Path(__file__).resolve().parents[2] / "openapi" / "published"
PROCESS = msgspec.json.decode((FOLDER / "process-v1.json").read_bytes())
ORDERS = "/experience/v1/procurement/orders"


def test_nothing_that_was_published_is_broken() -> None:
    assert broken_promises(FOLDER) == {}, "add a new version beside it (suture openapi --publish)"


def test_every_version_that_is_served_is_published() -> None:
    published = {file.stem for file in FOLDER.glob("*.json")}
    assert published >= set(versions()), "run suture openapi --publish openapi/published"


def operation(told: Any, path: str = "/process/v1/requisitions", method: str = "post") -> Any:
    return told["paths"][path][method]


def schema(told: Any, name: str) -> Any:
    return told["components"]["schemas"][name]


def without(name: str) -> Callable[[Any], None]:
    def changed(told: Any) -> None:
        del told["paths"][name]

    return changed


BREAKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a path is gone": (without("/process/v1/receipts"), "POST /process/v1/receipts: is gone"),
    "an operation has another name": (
        lambda told: operation(told).update(operationId="order"),
        "another operationId",
    ),
    "another scope is needed": (
        lambda told: operation(told).update(security=[{"oauth2": ["process.all:write"]}]),
        "another security",
    ),
    "a parameter is gone": (
        lambda told: operation(told, "/process/v1/tasks", "get").update(parameters=[]),
        "query parameter status is gone",
    ),
    "a new parameter is needed": (
        lambda told: operation(told, "/process/v1/tasks", "get")["parameters"].append(
            {"name": "team", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
        "query parameter team is new and needed",
    ),
    "a success is another one": (
        lambda told: operation(told)["responses"].pop("202"),
        "answers 202 no more",
    ),
    "a body of another kind": (
        lambda told: operation(told)["requestBody"].update(content={"application/xml": {}}),
        "application/json is no longer sent",
    ),
    "a field that was given is gone": (
        lambda told: schema(told, "Submitted")["properties"].pop("transaction"),
        "$.transaction is gone",
    ),
    "a field that was given may be missing": (
        lambda told: schema(told, "Submitted").update(required=[]),
        "may be missing now",
    ),
    "a field that was given is of another type": (
        lambda told: schema(told, "Submitted")["properties"].update(
            transaction={"type": "integer"}
        ),
        "$.transaction is of another type",
    ),
    "a field that could be sent is gone": (
        lambda told: schema(told, "RequisitionLine")["properties"].pop("quantity"),
        "$.lines[].quantity is gone",
    ),
    "one more field is needed": (
        lambda told: schema(told, "RequisitionLine")["required"].append("note"),
        "$.lines[].note is needed now",
    ),
    "a text may be less long": (
        lambda told: schema(told, "RequisitionLine")["properties"]["item"].update(maxLength=1),
        "narrower maxLength",
    ),
    "fewer values are taken": (
        lambda told: schema(told, "RequisitionLine")["properties"]["item"].update(enum=["A"]),
        "takes fewer values",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_change_that_breaks_callers_is_found(case: str) -> None:
    breaking, says = BREAKS[case]
    now = copy.deepcopy(PROCESS)
    breaking(now)
    found = breaking_changes(PROCESS, now)
    assert any(says in each for each in found), found


HARMLESS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda _: None,
    "a new path": lambda told: told["paths"].update({"/process/v1/new": {}}),
    "an optional parameter": lambda told: operation(told, "/process/v1/tasks", "get")[
        "parameters"
    ].append({"name": "team", "in": "query", "required": False, "schema": {"type": "string"}}),
    "an optional field to send": lambda told: schema(told, "RequisitionLine")["properties"].update(
        note={"type": "string"}
    ),
    "a field more in answers": lambda told: schema(told, "Submitted")["properties"].update(
        more={"type": "string"}
    ),
    "a longer text": lambda told: schema(told, "RequisitionLine")["properties"]["item"].pop(
        "maxLength", None
    ),
    "another refusal": lambda told: operation(told)["responses"].update({"418": {}}),
    "it is deprecated": lambda told: operation(told).update(deprecated=True),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_a_change_that_breaks_nobody_is_none(case: str) -> None:
    now = copy.deepcopy(PROCESS)
    HARMLESS[case](now)
    assert breaking_changes(PROCESS, now) == []


def test_publishing_writes_each_version_whole_and_keeps_what_it_said(tmp_path: Path) -> None:
    names = {file.stem for file in publish(tmp_path)}
    assert {"experience-v1", "experience-v2", "process-v1", "system-v1"} <= names
    assert broken_promises(tmp_path) == {}
    told = msgspec.json.decode((tmp_path / "experience-v2.json").read_bytes())
    assert set(told["paths"]) == {"/experience/v2/procurement/orders"}
    assert "OrderPage" in told["components"]["schemas"]
    assert "OrderList" not in told["components"]["schemas"]
    (tmp_path / "gone-v1.json").write_bytes((tmp_path / "process-v1.json").read_bytes())
    assert any("is gone" in each for each in broken_promises(tmp_path)["gone-v1"])


def test_what_the_table_calls_deprecated_is_marked_in_its_document() -> None:
    told = document("experience")["paths"][ORDERS]["get"]
    assert told["deprecated"] is True
    assert told["x-successor"] == "/experience/v2/procurement/orders"
    assert {"Deprecation", "Sunset", "Link"} <= told["responses"]["200"]["headers"].keys()
    assert "410" in told["responses"]
    other = document("experience")["paths"]["/experience/v2/procurement/orders"]["get"]
    assert "deprecated" not in other
    fresh = document("experience", Lifecycle())["paths"][ORDERS]["get"]
    assert "deprecated" not in fresh


def test_the_table_has_dates_of_every_version_that_is_served() -> None:
    apis = {
        path.split("/", 3)[1] + "/" + path.split("/", 3)[2] for path in operation_paths().values()
    }
    assert {term.api for term in shipped_lifecycle().terms if term.api} == apis
    require_terms(shipped_lifecycle(), operation_paths())


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"api": "experience/v9"}, "terms[0].api"),
        ({"operation": "listOrder"}, "terms[0].operation"),
        (
            {"api": "experience/v1", "deprecated": "2026-11-21", "successor": "/experience/v2/x"},
            "terms[0].successor",
        ),
    ],
)
def test_a_term_of_what_is_not_served_is_refused_with_its_place(
    fields: dict[str, str], place: str
) -> None:
    term = msgspec.convert({"introduced": "2026-01-01", **fields}, ApiTerm)
    with pytest.raises(ConfigurationRefused, match="nothing is served by this name") as refused:
        require_terms(Lifecycle(terms=(term,)), operation_paths())
    assert place in str(refused.value)
