"""What differs between two configurations, field by field, and what of it needs a restart."""

import hashlib
from collections.abc import Iterator
from typing import Any, Final, TypeGuard, cast

import msgspec

from gateway.config import Config

RELOADABLE: Final = ("pipeline", "deadlines", "approval", "cancellation", "matching", "retention")
"""Sections of gateway.toml that are put in force in a running process. Sockets, stores, systems
and keys are opened once: what they are changes with a restart.
"""
_LONGEST_VALUE = 80
_MISSING: Final = object()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One field: where, what it was, what it becomes ('' where it is not there)."""

    where: str
    was: str
    becomes: str
    restart: bool


def changes(was: Config, becomes: Config) -> list[Change]:
    """Return what changes, in the order of the file."""
    old, new = _plain(was), _plain(becomes)
    return [
        Change(where=f"$.{section}{place}", was=a, becomes=b, restart=section not in RELOADABLE)
        for section in new
        for place, a, b in _differences(_keyed(old[section]), _keyed(new[section]))
    ]


def digest(config: Config) -> str:
    """Return the SHA-256 of everything that is reloadable: of what it says, not how it is spelt."""
    plain = {name: value for name, value in _plain(config).items() if name in RELOADABLE}
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def _plain(config: Config) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain


def _keyed(value: Any) -> Any:
    """Return lists whose members have a name as a mapping by it: a new member shifts none."""
    if not isinstance(value, list | tuple):
        return value
    members = list(cast("tuple[Any, ...]", value))
    names = [_name(member) for member in members]
    if "" in names or len(set(names)) != len(names):
        return dict(enumerate(members))
    return {f" {name}": member for name, member in zip(names, members, strict=True)}


def _name(member: Any) -> str:
    if not _is_mapping(member):
        return ""
    parts = (member.get(key) for key in ("policy", "id", "operation", "api", "name"))
    return " ".join(str(part) for part in parts if part)


def _differences(was: Any, becomes: Any) -> Iterator[tuple[str, str, str]]:
    if _is_mapping(was) and _is_mapping(becomes):
        old, new = was, becomes
        for key in dict.fromkeys((*old, *new)):
            left, right = _keyed(old.get(key, _MISSING)), _keyed(new.get(key, _MISSING))
            for place, a, b in _differences(left, right):
                yield f"{_step(key)}{place}", a, b
        common = [key for key in old if key in new and _is_named(key)]
        if common != [key for key in new if key in old and _is_named(key)]:
            yield " order", ", ".join(map(_bare, old)), ", ".join(map(_bare, new))
    elif was != becomes:
        yield "", _shown(was), _shown(becomes)


def _is_mapping(value: Any) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _is_named(key: Any) -> bool:
    """Whether a key is the name of a list's member: only lists have an order."""
    return str(key).startswith(" ")


def _step(key: Any) -> str:
    if isinstance(key, int) or _is_named(key):
        return f"[{_bare(key)}]"
    return f".{key}"


def _bare(key: Any) -> str:
    return str(key).strip()


def _shown(value: Any) -> str:
    if value is _MISSING:
        return ""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
