"""What differs between two JSON values, field by field."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, cast

import msgspec

_MOST = 200


class Difference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One field that differs; `null` stands for one that is not there."""

    path: str
    before: msgspec.Raw
    after: msgspec.Raw


def differences(before: str | bytes | None, after: str | bytes | None) -> tuple[Difference, ...]:
    """Return the fields in which two JSON texts differ, in the order of the paths."""
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
    if isinstance(before, dict) and isinstance(after, dict):
        olds, news = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        for name in sorted(olds.keys() | news.keys()):
            yield from _fields(f"{path}.{name}", olds.get(name), news.get(name))
    elif isinstance(before, list) and isinstance(after, list):
        pairs: Iterator[tuple[Any, Any]] = zip_longest(before, after)
        for place, (old, new) in enumerate(pairs):
            yield from _fields(f"{path}[{place}]", old, new)
    else:
        yield Difference(path=path, before=_raw(before), after=_raw(after))


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
