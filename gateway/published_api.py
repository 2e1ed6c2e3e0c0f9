"""Published versions of the APIs: one committed document each, which the code must go on keeping.

`openapi/published/experience-v1.json` is what partners built against. It grows when something is
added; nothing in it is taken back before its sunset.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.openapi import TIERS, document
from gateway.openapi_changes import breaking_changes
from policies.lifecycle import api_of


def versions() -> dict[str, dict[str, Any]]:
    """Return the document of each version of each tier, by its name (`experience-v1`)."""
    found: dict[str, dict[str, Any]] = {}
    for tier in TIERS:
        whole = document(tier)
        for api in sorted({api_of(path) for path in whole["paths"]}):
            found[api.replace("/", "-")] = _version(whole, api)
    return found


def broken_promises(folder: Path) -> dict[str, list[str]]:
    """Return what each published document promises that the code does not keep."""
    now = versions()
    nothing: dict[str, Any] = {"paths": {}}
    found = {
        file.stem: breaking_changes(_read(file), now.get(file.stem, nothing))
        for file in sorted(folder.glob("*.json"))
    }
    return {name: said for name, said in found.items() if said}


def publish(folder: Path) -> list[Path]:
    """Write the documents; what was promised must be kept (`broken_promises`)."""
    folder.mkdir(parents=True, exist_ok=True)
    written = list[Path]()
    for name, told in versions().items():
        file = folder / f"{name}.json"
        encoded = msgspec.json.encode(told, order="sorted")
        file.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
        written.append(file)
    return written


def _read(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    return read


def _version(whole: dict[str, Any], api: str) -> dict[str, Any]:
    """Return the paths of one version and the components that they lead to."""
    paths = {path: told for path, told in whole["paths"].items() if api_of(path) == api}
    wanted, waiting = set[str](), [*_references(paths)]
    while waiting:
        reference = waiting.pop()
        if reference not in wanted:
            wanted.add(reference)
            waiting += _references(_found(whole, reference))
    components: dict[str, Any] = {"securitySchemes": whole["components"]["securitySchemes"]}
    for reference in sorted(wanted):
        _, _, kind, name = reference.split("/")
        components.setdefault(kind, {})[name] = _found(whole, reference)
    return {**whole, "paths": paths, "components": components}


def _found(whole: dict[str, Any], reference: str) -> Any:
    target: Any = whole
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    return target


def _references(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        for key, value in told.items():  # pyright: ignore[reportUnknownVariableType] - any JSON
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(told, list):
        for value in told:  # pyright: ignore[reportUnknownVariableType] - any JSON
            yield from _references(value)
