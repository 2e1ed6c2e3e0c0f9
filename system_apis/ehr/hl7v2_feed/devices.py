"""What one charge line says about the devices it charges: UDI, lot, serial, expiry. Pure.

A sender puts them in one of three places after FT1: PRT (role EQUIP, HL7 v2.8.2 7.4.4), OBX with a
code for UDI, lot, serial or expiry (one device per OBX-4), or a segment of its own (`Feed.places`).
Several sources for one device must agree; nothing is chosen silently.
"""

from collections.abc import Callable, Iterable
from datetime import date
from typing import NamedTuple, TypeVar

from canonical.errors import MalformedMessage
from canonical.item import ItemCode
from standards.hl7v2.message import Group, Segment
from standards.hl7v2.values import day
from standards.udi.codec import parse
from system_apis.ehr.hl7v2_feed.wire import ISSUERS, OBSERVATIONS, Feed, Meaning

_EQUIPMENT = "EQUIP"
_UDI_BEGINS = ("(", "+", "=", "&", "]")
_GTIN_LENGTH = 14

_Value = TypeVar("_Value", str, date | None)


class Device(NamedTuple):
    """What is known of one device, or of the whole line where it is no single device."""

    codes: tuple[ItemCode, ...] = ()
    lot: str = ""
    serial: str = ""
    expires: date | None = None
    unit: str = ""


def devices(group: Group, feed: Feed) -> list[Device]:
    """Return the devices that the segments after one FT1 name, in order."""
    sources = [
        [found for one in group.every("PRT") if (found := _participation(one)) != Device()],
        _observed(group, feed),
        _placed(group, feed),
    ]
    given = [source for source in sources if source]
    if len(given) > 1 and any(len(source) > 1 for source in given):
        raise MalformedMessage(
            "several devices, described in several places",
            where=group.leader.place(7),
            expected="all devices of a line in PRT, or all in OBX",
        )
    if len(given) > 1:
        return [merged((source[0] for source in given), group.leader.place(7))]
    return given[0] if given else []


def identified(text: str, where: str) -> Device:
    """Return what a UDI or a bare device identifier says; a failure names the field it stood in."""
    try:
        udi = parse(text)
    except MalformedMessage as exc:
        raise MalformedMessage(exc.detail, where=where, expected=exc.expected) from exc
    return Device((udi.item_code(),), udi.lot, udi.serial, udi.expires)


def merged(parts: Iterable[Device], where: str) -> Device:
    """Join what several fields say of one device, or raise when they contradict each other."""
    whole = Device()
    for part in parts:
        whole = Device(
            _united(whole.codes, part.codes, where),
            _agreed(whole.lot, part.lot, where),
            _agreed(whole.serial, part.serial, where),
            _agreed(whole.expires, part.expires, where),
            _agreed(whole.unit, part.unit, where),
        )
    return whole


def _participation(segment: Segment) -> Device:
    """PRT-10 device, 16 UDI-DI, 18 expiry, 19 lot, 20 serial (HL7 v2.8.2 7.4.4)."""
    issued = segment.plain(16)
    if not issued and segment.plain(4).upper() != _EQUIPMENT:
        return Device()
    expiry = segment.plain(18)
    parts = [
        Device(
            lot=segment.plain(19),
            serial=segment.plain(20),
            expires=day(expiry, segment.place(18)) if expiry else None,
        )
    ]
    if issued:
        parts.append(_issued(segment, issued))
    if _looks_like_udi(segment.plain(10)):
        parts.append(identified(segment.plain(10), segment.place(10)))
    return merged(parts, segment.place(10))


def _issued(segment: Segment, text: str) -> Device:
    """PRT-16 is an EI: its object identifier says who issued it."""
    scheme = ISSUERS.get(segment.plain(16, 3)) or ISSUERS.get(segment.plain(16, 2).upper())
    if scheme in {None, "gtin"} or text.startswith(_UDI_BEGINS):
        return identified(text, segment.place(16))
    return Device((ItemCode(scheme=scheme or "gtin", value=text),))


def _looks_like_udi(text: str) -> bool:
    """PRT-10 also carries plain equipment numbers, which name no item."""
    return text.startswith(_UDI_BEGINS) or (text.startswith("01") and len(text) > _GTIN_LENGTH)


def _observed(group: Group, feed: Feed) -> list[Device]:
    found: dict[str, list[Device]] = {}
    for segment in group.every("OBX"):
        code = segment.plain(3)
        meaning = feed.observations.get(code) or OBSERVATIONS.get(code)
        text = segment.plain(5)
        if meaning in _READERS and text:
            part = _READERS[meaning](text, segment.place(5))
            found.setdefault(segment.plain(4), []).append(part)
    return [merged(parts, group.leader.place(7)) for parts in found.values()]


def _placed(group: Group, feed: Feed) -> list[Device]:
    found: dict[int, list[Device]] = {}
    for meaning, place in feed.places.items():
        if meaning not in _READERS:
            continue
        for index, segment in enumerate(named(group, place[:3])):
            text = at_place(segment, place)
            if text:
                where = segment.place(int(place[4:].split(".")[0]))
                found.setdefault(index, []).append(_READERS[meaning](text, where))
    return [merged(found[index], group.leader.place(7)) for index in sorted(found)]


def at_place(segment: Segment, place: str) -> str:
    """Return the value that a configured place such as `ZUI-1` or `FT1-23.1` names."""
    field, _, component = place[4:].partition(".")
    return segment.plain(int(field), int(component or 1))


def named(group: Group, name: str) -> tuple[Segment, ...]:
    """Return the segments of that name in the group, its leader included."""
    return (group.leader,) if group.leader.name == name else group.every(name)


def _expiring(text: str, where: str) -> Device:
    return Device(expires=day(text, where))


_READERS: dict[Meaning | None, Callable[[str, str], Device]] = {
    "udi": identified,
    "expires": _expiring,
    "lot": lambda text, _: Device(lot=text),
    "serial": lambda text, _: Device(serial=text),
    "unit": lambda text, _: Device(unit=text),
    "erp": lambda text, _: Device(codes=(ItemCode(scheme="erp", value=text),)),
    "supplier-sku": lambda text, _: Device(codes=(ItemCode(scheme="supplier-sku", value=text),)),
}


def _agreed(one: _Value, other: _Value, where: str) -> _Value:
    if one and other and one != other:
        raise MalformedMessage(
            "two fields contradict each other about a device",
            where=where,
            expected="the same lot, serial, expiry and unit everywhere",
        )
    return one or other


def _united(
    known: tuple[ItemCode, ...], more: tuple[ItemCode, ...], where: str
) -> tuple[ItemCode, ...]:
    schemes = {code.scheme: code.value for code in known}
    for code in more:
        _agreed(schemes.get(code.scheme, ""), code.value, where)
    return known + tuple(code for code in more if code not in known)
