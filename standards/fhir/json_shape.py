"""What JSON allows and FHIR does not survive: repeated keys and bottomless nesting.

A JSON reader takes the last of two equal keys, a second reader the first: two systems would see two
statuses in one resource. The standard library's scanner (in C) says whether a body is sound; only
one that is not is walked token by token, to say where.
"""

import json  # noqa: TID251 - msgspec has no hook that sees a key twice
import re
from typing import Final, cast

from canonical.errors import MalformedMessage, UnsupportedMediaType

MAX_DEPTH: Final = 64

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[{}\[\],:]', re.DOTALL)
"""An unterminated string is one token to the end, or each quote in it would be tried anew."""

_OPEN, _CLOSE = frozenset({b"{", b"["}), frozenset({b"}", b"]"})


class _Level:
    """One object or array that is open: its keys so far, or the index reached."""

    __slots__ = ("index", "key", "keys", "wants_key")

    def __init__(self, *, is_object: bool) -> None:
        self.keys: set[bytes] | None = set() if is_object else None
        self.key = b""
        self.index = 0
        self.wants_key = is_object

    def step(self) -> str:
        return f".{_name(self.key)}" if self.keys is not None else f"[{self.index}]"


class _Repeated(ValueError):
    """Two keys of one object are equal once their escapes are read."""


class _Depth(int):
    """How many levels an object has, itself included: what stands for it while scanning."""


def refuse_bad_shape(text: bytes) -> None:
    """Refuse a repeated key, too much depth, something that is no object, and a second document."""
    if text[:1] != b"{":
        raise MalformedMessage("not a JSON object", where="$", expected="one FHIR resource")
    try:
        whole = json.loads(
            text, object_pairs_hook=_object_depth, parse_int=_nothing, parse_float=_nothing
        )
    except _Repeated as exc:
        _refuse_where_it_is(text)
        raise MalformedMessage("the same key twice", where="$", expected="each once") from exc
    except (ValueError, RecursionError):
        # Not JSON, or too deep: the walk says which; what it lets pass the decoder refuses.
        _refuse_where_it_is(text)
        return
    if whole > MAX_DEPTH:
        _refuse_where_it_is(text)


def _nothing(_number: str) -> None:
    return None


def _object_depth(pairs: list[tuple[str, object]]) -> _Depth:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _Repeated
    return _Depth(1 + max((_depth(value) for _, value in pairs), default=0))


def _depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(_depth, cast("list[object]", value)), default=0)
    return value if isinstance(value, _Depth) else 0


def _refuse_where_it_is(text: bytes) -> None:
    levels = list[_Level]()
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in _OPEN:
            _open(levels, token, found.start())
        elif token in _CLOSE:
            if levels:
                levels.pop()
        elif levels:
            _advance(levels, token)


def _open(levels: list[_Level], token: bytes, offset: int) -> None:
    if not levels and offset:
        raise UnsupportedMediaType(
            "several documents in one body", where="$", expected="one resource, or a Bundle"
        )
    if len(levels) >= MAX_DEPTH:
        raise MalformedMessage(
            "nested too deep", where=_path(levels), expected=f"at most {MAX_DEPTH} levels"
        )
    levels.append(_Level(is_object=token == b"{"))


def _advance(levels: list[_Level], token: bytes) -> None:
    level = levels[-1]
    if token == b",":
        level.index += 1
        level.wants_key = level.keys is not None
    elif token != b":" and level.wants_key and level.keys is not None:
        level.wants_key = False
        level.key = token
        if token in level.keys:
            raise MalformedMessage("the same key twice", where=_path(levels), expected="each once")
        level.keys.add(token)


def _path(levels: list[_Level]) -> str:
    return "$" + "".join(level.step() for level in levels)


def _name(key: bytes) -> str:
    """Write a key into a path: FHIR names are plain words, anything else could be a value."""
    word = key.strip(b'"')
    return word.decode() if word.isalnum() or (word[:1] == b"_" and word[1:].isalnum()) else "…"
