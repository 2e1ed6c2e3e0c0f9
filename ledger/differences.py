"""What differs between two JSON values, field by field."""

from collections.abc import Iterator
from typing import Any, cast

import msgspec

_MOST = 200


class Difference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One field that differs; `null` stands for one that is not there."""

    path: str
    before: msgspec.Raw
    after: msgspec.Raw


def differences(before: str | bytes | None, after: str | bytes | None) -> tuple[Difference, ...]:
    """Return the fields in which two JSON texts differ."""
    found = _fields("$", _read(before), _read(after))
    return tuple(each for each, _ in zip(found, range(_MOST), strict=False))


def are_equal(before: str | bytes | None, after: str | bytes | None) -> bool:
    """Return whether two JSON texts say the same, however they are written."""
    return before == after or bool(_read(before) == _read(after))


def _read(text: str | bytes | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _fields(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if before == after:
        return
    olds, news = _parts(before), _parts(after)
    if olds is not None and news is not None and type(before) is type(after):
        for name in {**olds, **news}:
            yield from _fields(path + name, olds.get(name), news.get(name))
    else:
        yield Difference(path=path, before=_raw(before), after=_raw(after))


def _parts(value: Any) -> dict[str, Any] | None:
    """Return the parts of an object or list by their piece of a path."""
    if isinstance(value, dict):
        return {f".{name}": part for name, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        parts = msgspec.convert(value, list[Any])
        return {f"[{place}]": part for place, part in enumerate(parts)}
    return None


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
