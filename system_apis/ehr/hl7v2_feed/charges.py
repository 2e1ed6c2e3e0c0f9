"""One FT1 with its segments into usage lines (HL7 v2 6.5.1). Pure.

FT1-29 (NDC), FT1-11 and FT1-12 (amounts) are not read: medication and money have other sources.
"""

from decimal import Decimal

from canonical.errors import Failure, MalformedMessage, UnsupportedMessage
from canonical.item import ItemCode, Quantity
from canonical.usage import UsageLine
from standards.hl7v2.acknowledgement import MISSING
from standards.hl7v2.message import Group, Segment
from standards.hl7v2.values import number
from system_apis.ehr.hl7v2_feed.devices import Device, at_place, devices, identified, named
from system_apis.ehr.hl7v2_feed.places import Place, first_of
from system_apis.ehr.hl7v2_feed.wire import CHARGES, CREDITS, MONEY_ONLY, UDI_SYSTEMS, Feed

_KINDS = "CG or CR"
_CODE_ORDER = ("gtin", "hibcc", "iccbba", "erp", "supplier-sku", "catalogue", "ehr")


def usage_lines(group: Group, feed: Feed, issuer: str) -> list[UsageLine]:
    """Return the usage lines of one FT1, charged or taken back; none where it is of no supply."""
    charge = group.leader
    kind = charge.plain(6).upper()
    if kind in MONEY_ONLY:
        return []
    if kind not in CHARGES | CREDITS:
        raise _not_a_charge(charge, kind)
    found = devices(group, feed)
    if not found and charge.plain(7, 3).upper() in feed.service_systems:
        return []
    codes = _codes(charge, feed, issuer)
    parts = found or [Device()]
    amount = _amount(charge, parts)
    reference = _reference(group, feed)
    description = first_of(Place(charge, 7, 2), Place(charge, 7, 5), Place(charge, 8)).value
    return [
        UsageLine(
            codes=_ordered(device.codes + codes, charge),
            quantity=Quantity(value=amount, unit=_unit(charge, device, feed)),
            description=description,
            lot=device.lot,
            serial=device.serial,
            expires=device.expires,
            reference=f"{reference}/{nth}" if reference and len(parts) > 1 else reference,
        )
        for nth, device in enumerate(parts, start=1)
    ]


def takes_back(charge: Segment) -> bool:
    """Say whether an FT1 is a credit: by its type, or by a quantity below zero."""
    amount = number(Place(charge, 10).value or "1", charge.place(10))
    return charge.plain(6).upper() in CREDITS or amount < 0


def _reference(group: Group, feed: Feed) -> str:
    """Return the sender's id of the line where the feed says that it has one."""
    place = feed.places.get("line-reference", "")
    return next((at_place(one, place) for one in named(group, place[:3])), "")


def _not_a_charge(charge: Segment, kind: str) -> Failure:
    where = charge.place(6)
    if not kind:
        return MalformedMessage(MISSING, where=where, expected=_KINDS)
    return UnsupportedMessage("not a transaction type of table 0017", where=where, expected=_KINDS)


def _codes(charge: Segment, feed: Feed, issuer: str) -> tuple[ItemCode, ...]:
    """Name the item by FT1-7: code, text, system, and the alternate triplet (CWE, 2A.14)."""
    main = ItemCode(scheme="ehr", value=charge.plain(7), issuer=issuer)
    other = ItemCode(scheme="supplier-sku", value=charge.plain(7, 4), issuer=charge.plain(7, 6))
    return _coded(main, charge, 1, feed) + _coded(other, charge, 4, feed)


def _coded(code: ItemCode, charge: Segment, component: int, feed: Feed) -> tuple[ItemCode, ...]:
    system = charge.plain(7, component + 2).upper()
    if not code.value:
        return ()
    if system in {known.upper() for known in feed.erp_systems}:
        return (ItemCode(scheme="erp", value=code.value),)
    if system in UDI_SYSTEMS:
        return identified(code.value, charge.place(7, component)).codes
    return (code,)


def _ordered(codes: tuple[ItemCode, ...], charge: Segment) -> tuple[ItemCode, ...]:
    if not codes:
        raise MalformedMessage(MISSING, where=charge.place(7), expected="an item code")
    return tuple(sorted(dict.fromkeys(codes), key=lambda code: _CODE_ORDER.index(code.scheme)))


def _amount(charge: Segment, parts: list[Device]) -> Decimal:
    """Return the quantity of each line: FT1-10, or one each where it counts several devices. Its
    sign says what `takes_back` says.
    """
    where = charge.place(10)
    amount = abs(number(Place(charge, 10).required(where), where))
    counted = len(parts) > 1 or bool(parts[0].serial)
    if not amount or (counted and amount != len(parts)):
        raise MalformedMessage(
            "the quantity does not fit the devices",
            where=where,
            expected=str(len(parts)) if counted else "not zero",
        )
    return Decimal(1) if counted else amount


def _unit(charge: Segment, device: Device, feed: Feed) -> str:
    """FT1-10 is a bare number in every version: the unit is the sender's agreement."""
    unit = device.unit or feed.default_unit
    if not unit:
        raise MalformedMessage(
            "the quantity has no unit",
            where=charge.place(10),
            expected="a unit of measure",
            fix="set `default-unit` for this feed, or say which field holds the unit",
        )
    return unit
