"""OData V2 as the vendor speaks it: paths, queries, `d` envelopes, dates as `/Date(ms)/`."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import cast
from urllib.parse import quote

from sandbox.erp.store import Key, Row, SapError, Shape, Store, Value

Rendered = dict[str, object]
STAMP = "LastChangeDateTime"

_PATH = re.compile(r"(?P<set>\w+)(?:\((?P<key>.*?)\))?(?:/(?P<nav>\w+))?")
_PAIR = re.compile(
    r"\s*(?:(?P<name>\w+)\s*=\s*)?(?P<value>datetime'[^']*'|'(?:[^']|'')*'|\w+)\s*,?"
)
_TERM = re.compile(
    r"\s*(?P<name>\w+)\s+eq\s+(?P<value>datetime'[^']*'|'(?:[^']|'')*'|true|false|-?\d+(?:\.\d+)?[mMdD]?)"
    r"\s*(?:and\s+(?=\w)|$)"
)
_DATE = re.compile(r"/Date\((-?\d+)(?:[+-]\d+)?\)/")


@dataclass(frozen=True)
class Query:
    """What the caller asks for: `$filter` (equality and `and` only), paging, fields, expansion."""

    conditions: Row = field(default_factory=dict[str, Value])
    top: int | None = None
    skip: int = 0
    select: frozenset[str] = frozenset()
    expand: frozenset[str] = frozenset()
    order: tuple[str, bool] | None = None


def located(path: str) -> tuple[str, str | None, str]:
    """Split `Set(key)/navigation`."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise SapError(404, "/IWBEP/CM_MGW_RT/020", f"Resource not found for segment '{path}'")
    return found["set"], found["key"], found["nav"] or ""


def key_of(shape: Shape, predicate: str) -> Key:
    """Read `'X'` or `A='X',B='Y'` in the order of the set's keys."""
    given = {m["name"] or shape.keys[0]: m["value"] for m in _PAIR.finditer(predicate)}
    if set(given) != set(shape.keys):
        wanted = ", ".join(shape.keys)
        raise SapError(400, "/IWBEP/CM_MGW_RT/022", f"Invalid key predicate; keys are {wanted}")
    return tuple(_literal(shape, name, given[name]) for name in shape.keys)


def query(shape: Shape, given: dict[str, str]) -> Query:
    """Read the query options, refusing what this system does not support."""
    unknown = [name for name in given if name.startswith("$") and name not in _OPTIONS]
    if unknown:
        raise SapError(501, "/IWBEP/CM_MGW_RT/037", f"Query option {unknown[0]} is not supported")
    order = given.get("$orderby", "").split()
    return Query(
        conditions=_conditions(shape, given.get("$filter", "")),
        top=int(given["$top"]) if "$top" in given else None,
        skip=int(given.get("$skip", "0")),
        select=frozenset(filter(None, given.get("$select", "").split(","))),
        expand=frozenset(filter(None, given.get("$expand", "").split(","))),
        order=(order[0], order[-1] == "desc") if order else None,
    )


_OPTIONS = {"$filter", "$top", "$skip", "$select", "$expand", "$orderby", "$format", "$inlinecount"}


def _conditions(shape: Shape, expression: str) -> Row:
    conditions: Row = {}
    at = 0
    while at < len(expression):
        found = _TERM.match(expression, at)
        if found is None:
            raise SapError(501, "/IWBEP/CM_MGW_RT/011", "Only eq and and are supported in $filter")
        conditions[found["name"]] = _literal(shape, found["name"], found["value"])
        at = found.end()
    return conditions


def _literal(shape: Shape, name: str, value: str) -> Value:
    kind = shape.kinds.get(name)
    if kind is None:
        raise SapError(400, "005056A509B11EE1B9A8FEC11C21578E", f"Property {name} not found")
    if kind == "B":
        return value == "true"
    if kind == "N":
        return Decimal(value.rstrip("mMdD").strip("'"))
    if kind == "D":
        return datetime.fromisoformat(value.removeprefix("datetime").strip("'")).date()
    return value[1:-1].replace("''", "'")


def select(store: Store, shape: Shape, asked: Query) -> list[Row]:
    """Run a query."""
    rows = store[shape.name].find(asked.conditions)
    if asked.order is not None:
        name, descending = asked.order
        rows.sort(key=lambda row: str(row.get(name)), reverse=descending)
    return rows[asked.skip :][: asked.top]


def rendered(store: Store, shape: Shape, row: Row, asked: Query, prefix: str = "") -> Rendered:
    """Write an entity as the vendor does: numbers as text, links deferred unless expanded."""
    uri = f"/sap/opu/odata/sap/{shape.service}/{shape.name}({_predicate(shape, row)})"
    about = {"uri": uri, "type": f"{shape.service}.{shape.name}Type"}
    out: Rendered = {"__metadata": about | ({"etag": etag(row)} if STAMP in shape.kinds else {})}
    for name, value in row.items():
        if prefix or not asked.select or name in asked.select:
            out[name] = _written(value)
    for name, link in shape.links.items():
        path = f"{prefix}{name}"
        if path in asked.expand or any(each.startswith(f"{path}/") for each in asked.expand):
            target = store[link.target].shape
            children = store.linked(row, link)
            out[name] = {
                "results": [rendered(store, target, c, asked, f"{path}/") for c in children]
            }
        elif not asked.select or name in asked.select:
            out[name] = {"__deferred": {"uri": f"{uri}/{name}"}}
    return out


def etag(row: Row) -> str:
    """Return the version of a row: the vendor makes it of the time of its last change."""
    stamp = row.get(STAMP)
    at = f"{stamp:%Y-%m-%dT%H:%M:%S.%f}0Z" if isinstance(stamp, datetime) else ""
    return f"W/\"datetimeoffset'{quote(at)}'\""


def _predicate(shape: Shape, row: Row) -> str:
    pairs = [f"{name}='{row[name]}'" for name in shape.keys]
    return ",".join(pairs) if len(pairs) > 1 else f"'{row[shape.keys[0]]}'"


def _written(value: Value) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return f"/Date({int(value.timestamp() * 1000)}+0000)/"
    if isinstance(value, date):
        midnight = datetime(value.year, value.month, value.day, tzinfo=UTC)
        return f"/Date({int(midnight.timestamp()) * 1000})/"
    return value


def entered(
    shape: Shape, given: dict[str, object]
) -> tuple[Row, dict[str, list[dict[str, object]]]]:
    """Read a create or change request: its properties, checked by kind and length, and its deep
    inserts. When something was last changed is the system's to say: given, it is ignored.
    """
    row: Row = {}
    nested: dict[str, list[dict[str, object]]] = {}
    for name, value in given.items():
        if name in shape.links:
            nested[name] = _children(value)
        elif name not in shape.kinds:
            raise SapError(400, "/IWBEP/CM_MGW_RT/021", f"Property '{name}' is invalid")
        elif shape.kinds[name] != "T":
            row[name] = _read(name, shape.kinds[name], value)
    return row, nested


def _children(value: object) -> list[dict[str, object]]:
    if isinstance(value, dict):
        value = cast("dict[str, object]", value).get("results", [])
    return cast("list[dict[str, object]]", value)


def _read(name: str, kind: str, value: object) -> Value:
    wrong = SapError(400, "/IWCOR/CX_DS_EDM_FACET_ERROR/1", f"Property '{name}' has invalid value")
    if value is None or (kind == "B" and isinstance(value, bool)):
        return value
    if kind == "B" or not isinstance(value, str):
        raise wrong
    if kind == "N":
        return _number(value, wrong)
    if kind == "D":
        return _date(value, wrong)
    if len(value) > int(kind):
        raise wrong
    return value


def _number(value: str, wrong: SapError) -> Decimal:
    try:
        found = Decimal(value)
    except InvalidOperation as exc:
        raise wrong from exc
    if not found.is_finite():
        raise wrong
    return found


def _date(value: str, wrong: SapError) -> date:
    stamp = _DATE.fullmatch(value)
    try:
        if stamp is not None:
            return datetime.fromtimestamp(int(stamp[1]) / 1000, UTC).date()
        return datetime.fromisoformat(value).date()
    except ValueError as exc:
        raise wrong from exc
