"""X12 856 to canonical ship notices: the HL hierarchy shipment, order, pack, item."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Final

from canonical.errors import MalformedMessage, UnsupportedMessage
from canonical.shipment import ShipNotice, ShippedLine
from standards.x12.envelope import TransactionSet
from system_apis.edi.x12.wire import Placed, gtin_of, named, only, placed, supplier_sku_of

_NOT_NEW: Final = frozenset({"01", "02", "03", "04", "05"})
"""BSN01 (data element 353): cancellation, addition, deletion, change and replacement. They alter
an earlier notice, so a person decides.
"""

_TRACKING: Final = ("CN", "2I", "BM")
"""REF01 (data element 128): carrier's reference, tracking number, bill of lading."""

_EXPIRY: Final = frozenset({"036", "208"})
"""DTM01 (data element 374): expiration, lot number expiration."""

_ARRIVAL: Final = frozenset({"017", "067"})
_SHIPPED: Final = "011"


class _Level:
    """One HL loop with its segments and its place in the hierarchy."""

    __slots__ = ("kind", "opening", "parent", "segments")

    def __init__(self, opening: Placed, parent: "_Level | None") -> None:
        self.opening = opening
        self.parent = parent
        self.kind = opening.required(3)
        self.segments = list[Placed]()

    def above(self, kind: str) -> "_Level | None":
        """Return the nearest level of that kind, from this one upwards."""
        level: _Level | None = self
        while level is not None and level.kind != kind:
            level = level.parent
        return level


def ship_notices(each: TransactionSet, supplier: str) -> tuple[ShipNotice, ...]:
    """Read an 856: one notice for each order in the shipment."""
    segments = placed(each)
    opening = only(segments, "BSN")
    if opening.text(1) in _NOT_NEW:
        raise UnsupportedMessage(
            "this ship notice changes an earlier one",
            where=f"BSN01 in segment {opening.position}",
            fix="settle it with the supplier",
        )
    levels = _levels(segments)
    _check_totals(segments, levels)
    shipment = [part for level in levels if level.kind == "S" for part in level.segments]
    return tuple(
        ShipNotice(
            number=opening.required(2),
            order=order,
            supplier=supplier,
            shipped_on=_dated(shipment, frozenset({_SHIPPED})) or opening.day(3),
            expected_on=_dated(shipment, _ARRIVAL),
            carrier=_carrier(shipment),
            tracking=_tracking(shipment),
            lines=tuple(lines),
        )
        for order, lines in _lines_by_order(levels, opening).items()
    )


def _levels(segments: list[Placed]) -> list[_Level]:
    known = dict[str, _Level]()
    levels = list[_Level]()
    for each in segments:
        if each.name == "HL":
            level = _level(each, known)
            levels.append(level)
            known[each.text(1)] = level
        elif levels and each.name not in {"CTT", "SE"}:
            levels[-1].segments.append(each)
    return levels


def _level(opening: Placed, known: dict[str, _Level]) -> _Level:
    if opening.required(1) in known:
        raise opening.refusal(1, "this hierarchical id was used before", "an id of its own")
    parent = opening.text(2)
    if parent and parent not in known:
        raise opening.refusal(2, "no such parent", "an HL01 that came before")
    if bool(parent) != bool(known):
        raise opening.refusal(2, "one level is the root", "a parent, except for the first")
    return _Level(opening, known.get(parent))


def _check_totals(segments: list[Placed], levels: list[_Level]) -> None:
    """CTT01 counts HL segments; CTT02 adds up SN102."""
    for total in named(segments, "CTT"):
        if total.number(1) != len(levels):
            raise total.refusal(1, "the number of levels is another", str(len(levels)))
        if total.text(2):
            shipped = sum((each.decimal(2) for each in named(segments, "SN1")), Decimal())
            if total.decimal(2) != shipped:
                raise total.refusal(2, "the hash total is another", "the sum of SN102")


def _lines_by_order(levels: list[_Level], opening: Placed) -> dict[str, list[ShippedLine]]:
    found = dict[str, list[ShippedLine]]()
    for level in levels:
        if level.kind == "I":
            found.setdefault(_order_of(level), []).append(_shipped_line(level))
    if not found:
        raise MalformedMessage(
            "a ship notice without items",
            where=f"BSN02 in segment {opening.position}",
            expected="at least one HL of level I",
        )
    return found


def _order_of(item: _Level) -> str:
    order = item.above("O")
    if order is None:
        raise item.opening.refusal(2, "an item outside any order", "an order above it")
    for each in named(order.segments, "PRF"):
        return each.required(1)
    raise order.opening.refusal(1, "an order level without PRF", "the purchase order number")


def _shipped_line(item: _Level) -> ShippedLine:
    product, shipped = (_one(item, name) for name in ("LIN", "SN1"))
    products = product.products(2)
    numbered = shipped if shipped.text(1) else product
    return ShippedLine(
        order_line=numbered.number(1),
        quantity=shipped.quantity(2, 3),
        supplier_sku=supplier_sku_of(products),
        gtin=gtin_of(products),
        lot=next(_referred(item, "LT"), "") or products.get("LT", ""),
        serials=tuple(_referred(item, "SE")) or tuple(filter(None, [products.get("SN", "")])),
        expires=_dated(item.segments, _EXPIRY),
    )


def _one(item: _Level, name: str) -> Placed:
    for each in named(item.segments, name):
        return each
    raise item.opening.refusal(3, f"an item level without {name}", name)


def _referred(item: _Level, qualifier: str) -> Iterator[str]:
    references = named(item.segments, "REF")
    return (each.required(2) for each in references if each.text(1) == qualifier)


def _dated(segments: list[Placed], qualifiers: frozenset[str]) -> date | None:
    for each in named(segments, "DTM"):
        if each.text(1) in qualifiers:
            return each.day(2)
    return None


def _carrier(shipment: list[Placed]) -> str:
    return next((each.text(5) or each.text(3) for each in named(shipment, "TD5")), "")


def _tracking(shipment: list[Placed]) -> str:
    references = {each.text(1): each.text(2) for each in named(shipment, "REF")}
    return next((references[kind] for kind in _TRACKING if references.get(kind)), "")
