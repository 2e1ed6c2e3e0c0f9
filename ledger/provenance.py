"""What a step can say of itself: its system, its versions, its result type. Read from the call, not
written twice.

A client has `system` (and `mapping_version`); a module of rules or mappings has `VERSION`.
"""

import sys
from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any, get_type_hints

import msgspec


def result_type(call: Callable[..., Any]) -> Any:
    """Return the annotated result of a function or method."""
    return _result_type(getattr(call, "__func__", call))


@cache
def _result_type(function: Callable[..., Any]) -> Any:
    return get_type_hints(function)["return"]


def parameter_types(call: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotated types of the call's parameters."""
    return get_type_hints(getattr(call, "__func__", call))


def parameter_names(call: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the call's parameters, without `self`."""
    names = _parameter_names(getattr(call, "__func__", call))
    return names[1:] if hasattr(call, "__self__") else names


@cache
def _parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(signature(function).parameters)


def system_of(call: Callable[..., Any], kind: str) -> str:
    """Return the system a call speaks to; a rule speaks to nobody but us."""
    if kind == "decide":
        return "rules"
    return str(getattr(getattr(call, "__self__", None), "system", "ledger"))


def destination_of(call: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Return whom a call waits for: what its client says of these arguments, or its system."""
    client = getattr(call, "__self__", None)
    destination = getattr(client, "destination", None)
    return str(destination(*args) if destination is not None else getattr(client, "system", ""))


def versions_of(call: Callable[..., Any], kind: str, flow: str) -> str:
    """Return which flow, rule and mapping version ran, as JSON."""
    if kind == "decide":
        return _versions(flow, "rule", str(getattr(sys.modules[call.__module__], "VERSION", "0")))
    mapping = getattr(getattr(call, "__self__", None), "mapping_version", "")
    return _versions(flow, "mapping", str(mapping))


@cache
def _versions(flow: str, kind: str, version: str) -> str:
    versions = {"flow": flow, kind: version} if version else {"flow": flow}
    return msgspec.json.encode(versions).decode()
