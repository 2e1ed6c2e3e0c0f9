"""Tables of rows under the vendor's names, read from `schema.toml`, with indexes for equality."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

Value = str | bool | Decimal | date | None
Row = dict[str, Value]
Key = tuple[Value, ...]

_EMPTY: dict[str, Value] = {"N": Decimal(0), "D": None, "T": None, "B": False}


class SapError(Exception):
    """A refusal in the vendor's words: HTTP status, message class/number, text."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Link:
    """A navigation property: the target's properties and the own ones they equal."""

    target: str
    on: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shape:
    """An entity set: its keys, the kind of each property, its links and its indexes."""

    service: str
    name: str
    keys: tuple[str, ...]
    kinds: dict[str, str]
    links: dict[str, Link]
    indexes: tuple[tuple[str, ...], ...]


class _Entry(TypedDict, total=False):
    keys: list[str]
    index: list[list[str]]
    properties: str
    expand: dict[str, str]
    parent: dict[str, str]


@cache
def shapes() -> dict[str, Shape]:
    """Read the schema file; entity set names are unique across services."""
    raw = tomllib.loads((Path(__file__).parent / "schema.toml").read_text())
    services = cast("dict[str, dict[str, _Entry]]", raw)
    entries = {
        name: (service, entry) for service, sets in services.items() for name, entry in sets.items()
    }
    kinds = {
        name: dict(pair.split(":") for pair in entry.get("properties", "").split())
        for name, (_, entry) in entries.items()
    }
    result: dict[str, Shape] = {}
    for name, (service, entry) in entries.items():
        keys = tuple(entry.get("keys", []))
        links = {
            link: Link(target, _join(keys, kinds[target], entries[target][1]))
            for link, target in entry.get("expand", {}).items()
        }
        indexes = (keys, *(tuple(each) for each in entry.get("index", [])))
        result[name] = Shape(service, name, keys, kinds[name], links, indexes)
    return result


def _join(
    keys: tuple[str, ...], child: dict[str, str], entry: _Entry
) -> tuple[tuple[str, str], ...]:
    renamed = entry.get("parent")
    if renamed:
        return tuple(renamed.items())
    return tuple((key, key) for key in keys if key in child)


def text(row: Row, name: str) -> str:
    """Return a property as text; what is not text reads as ''."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def number(row: Row, name: str) -> Decimal:
    """Return a property as a number; what is not a number reads as 0."""
    value = row.get(name)
    return value if isinstance(value, Decimal) else Decimal(0)


def flag(row: Row, name: str) -> bool:
    """Return a property as yes or no."""
    return row.get(name) is True


def day(row: Row, name: str, default: date) -> date:
    """Return a property as a date, or the default."""
    value = row.get(name)
    return value if isinstance(value, date) else default


class Table:
    """The rows of one entity set. Rows are changed through `update` only, so that indexes hold."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._buckets: dict[tuple[str, ...], dict[Key, dict[Key, Row]]] = {
            index: {} for index in shape.indexes
        }

    def __len__(self) -> int:
        return len(self._buckets[self.shape.keys])

    def rows(self) -> Iterable[Row]:
        """All rows in the order they came."""
        for bucket in self._buckets[self.shape.keys].values():
            yield from bucket.values()

    def insert(self, given: Row) -> Row:
        """Keep a row; properties not given get the initial value of their kind."""
        row: Row = {
            name: given.get(name, _EMPTY.get(kind, "")) for name, kind in self.shape.kinds.items()
        }
        for name, value in row.items():
            if value is None and self.shape.kinds[name] not in ("D", "T"):
                row[name] = _EMPTY.get(self.shape.kinds[name], "")
        key = self._key(row)
        for index, buckets in self._buckets.items():
            buckets.setdefault(_of(row, index), {})[key] = row
        return row

    def update(self, row: Row, **changes: Value) -> None:
        """Change properties that are no keys, and keep every index right."""
        key = self._key(row)
        moved = [index for index in self._buckets if not changes.keys().isdisjoint(index)]
        for index in moved:
            self._buckets[index][_of(row, index)].pop(key)
        row.update(changes)
        for index in moved:
            self._buckets[index].setdefault(_of(row, index), {})[key] = row

    def get(self, *key: Value) -> Row | None:
        """Return the row of a full key."""
        bucket = self._buckets[self.shape.keys].get(key)
        return next(iter(bucket.values())) if bucket else None

    def find(self, wanted: Row) -> list[Row]:
        """Return the rows whose properties equal all that is wanted, by the best index there is."""
        usable = [index for index in self._buckets if wanted.keys() >= set(index)]
        if not usable:
            candidates: Iterable[Row] = self.rows()
        else:
            best = max(usable, key=len)
            candidates = self._buckets[best].get(_of(wanted, best), {}).values()
        return [row for row in candidates if all(row[name] == v for name, v in wanted.items())]

    def _key(self, row: Row) -> Key:
        return _of(row, self.shape.keys)


def _of(row: Row, names: tuple[str, ...]) -> Key:
    return tuple(row[name] for name in names)


class Store:
    """All tables and the number ranges of one simulated system."""

    def __init__(self) -> None:
        self._tables = {name: Table(shape) for name, shape in shapes().items()}
        self._last: dict[str, int] = {}

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def number(self, first: str) -> str:
        """Return the next number of the range that starts at `first`."""
        self._last[first] = self._last.get(first, int(first) - 1) + 1
        return str(self._last[first]).zfill(len(first))

    def linked(self, row: Row, link: Link) -> list[Row]:
        """Return the rows that a navigation property leads to."""
        return self[link.target].find({theirs: row[own] for theirs, own in link.on})
