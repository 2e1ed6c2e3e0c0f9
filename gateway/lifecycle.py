"""The table of versions (policy `lifecycle` in gateway.toml) as the OpenAPI documents tell it."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from gateway.catalogue import Policy
from gateway.config import ConfigurationRefused, load
from gateway.openapi_components import problem_reference, response_header
from policies.lifecycle import ApiTerm, Lifecycle, api_of

_SHIPPED: Final = Path(__file__).resolve().parent.parent / "gateway.toml"


@cache
def shipped_lifecycle() -> Lifecycle:
    """Return the table that Suture is published with."""
    return lifecycle_of(load(_SHIPPED).pipeline)


def lifecycle_of(pipeline: Sequence[Policy]) -> Lifecycle:
    """Return the table of a pipeline; an empty one where it has none."""
    found = (policy for policy in pipeline if isinstance(policy, Lifecycle))
    return next(found, Lifecycle())


def announce(paths: Mapping[str, Any], lifecycle: Lifecycle) -> None:
    """Mark the operations of a document that are deprecated, and say until when they are served."""
    for path, operations in paths.items():
        for operation in operations.values():
            term = lifecycle.term_of(operation["operationId"], path)
            if term is not None and term.deprecated is not None:
                _mark(operation, term)


def _mark(operation: dict[str, Any], term: ApiTerm) -> None:
    fields = ["Deprecation", "Link"]
    operation["deprecated"] = True
    operation["x-deprecated-since"] = str(term.deprecated)
    if term.successor:
        operation["x-successor"] = term.successor
    if term.sunset is not None:
        operation["x-sunset"] = str(term.sunset)
        operation["responses"]["410"] = problem_reference("410")
        fields.append("Sunset")
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response["headers"] |= {name: response_header(name) for name in fields}


def require_terms(lifecycle: Lifecycle, operations: Mapping[str, str]) -> None:
    """Raise `ConfigurationRefused` for a term of what is not served (`operations`: id → path)."""
    apis = {api_of(path) for path in operations.values()}
    for place, term in enumerate(lifecycle.terms):
        unknown = {
            "api": term.api if term.api and term.api not in apis else "",
            "operation": term.operation if term.operation not in {"", *operations} else "",
            "successor": ""
            if not term.successor.startswith("/") or term.successor in operations.values()
            else term.successor,
        }
        for field, value in unknown.items():
            if value:
                raise ConfigurationRefused(
                    f"nothing is served by this name: {value}"
                    f" - at `$.pipeline[...].terms[{place}].{field}`"
                )
