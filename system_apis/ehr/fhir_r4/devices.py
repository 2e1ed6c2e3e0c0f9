"""A FHIR Device, or a mere identifier of one, as a usage line: codes, lot, serial, expiry.

What the label says (udiCarrier) and what the fields beside it say must agree: the wrong lot is
worse than a refused document.
"""

import binascii
from base64 import b64decode
from datetime import date
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from canonical.errors import InvalidRequest, MalformedMessage, UnsupportedMessage, WrongUnit
from canonical.item import CodeScheme, ItemCode, Quantity, gtin
from canonical.usage import UsageLine
from standards.fhir import moments
from standards.fhir.resources import (
    CodeableConcept,
    Device,
    DeviceUseStatement,
    Identifier,
    UdiCarrier,
)
from standards.fhir.resources import Quantity as FhirQuantity
from standards.udi import codec as udi
from standards.units import codes as units
from system_apis.ehr.fhir_r4.feed import FhirFeed

_T = TypeVar("_T", str, date | None)

UCUM: Final = "http://unitsofmeasure.org"
_NAMING: Final = "http://hl7.org/fhir/NamingSystem/"
_UDI_SYSTEM: Final = f"{_NAMING}fda-udi"
_DI_SYSTEMS: Final[dict[str, CodeScheme]] = {
    f"{_NAMING}gs1-di": "gtin",
    f"{_NAMING}gs1": "gtin",
    f"{_NAMING}hibcc-dI": "hibcc",
    f"{_NAMING}hibcc": "hibcc",
    f"{_NAMING}iccbba-blood-di": "iccbba",
    f"{_NAMING}iccbba-other-di": "iccbba",
    f"{_NAMING}iccbba-blood": "iccbba",
    f"{_NAMING}iccbba-other": "iccbba",
    f"{_NAMING}iccbba": "iccbba",
}
"""The issuers' own systems, with and without -di, as implementations write them."""

ONE_DEVICE: Final = Quantity(value=Decimal(1), unit="EA")


class _Label(msgspec.Struct, frozen=True, kw_only=True):
    codes: tuple[ItemCode, ...] = ()
    lot: str = ""
    serial: str = ""
    expires: date | None = None


def line_of_device(device: Device, feed: FhirFeed, where: str) -> UsageLine:
    """One device used, from its own resource."""
    if device.status == "entered-in-error":
        raise UnsupportedMessage("the device is entered in error", where=f"{where}.status")
    label = _Label()
    for index, carrier in enumerate(device.udi_carrier):
        label = _both(label, _label(carrier, f"{where}.udiCarrier[{index}]"), where)
    codes = dict.fromkeys((*label.codes, *_listed_codes(device.identifier, feed, where)))
    if not codes:
        raise UnsupportedMessage(
            "the device names no item",
            where=where,
            expected="udiCarrier, or an identifier of a configured system",
        )
    expires = (
        moments.day(device.expiration_date, f"{where}.expirationDate")
        if device.expiration_date
        else None
    )
    return UsageLine(
        codes=tuple(codes),
        quantity=ONE_DEVICE,
        description=_description(device),
        lot=_agreed(label.lot, device.lot_number, f"{where}.lotNumber"),
        serial=_agreed(label.serial, device.serial_number, f"{where}.serialNumber"),
        expires=_agreed(label.expires, expires, f"{where}.expirationDate"),
    )


def line_of_identifier(
    identifier: Identifier, description: str, feed: FhirFeed, where: str
) -> UsageLine:
    """One device used, named by an identifier only (logical reference, 2.3.0.2)."""
    if identifier.system == _UDI_SYSTEM:
        label = _from_udi(identifier.value, where)
        return UsageLine(
            codes=label.codes,
            quantity=ONE_DEVICE,
            description=description,
            lot=label.lot,
            serial=label.serial,
            expires=label.expires,
        )
    codes = _listed_codes((identifier,), feed, where)
    if not codes:
        raise UnsupportedMessage(
            "the device is not in the document and its identifier is of no configured system",
            where=where,
            expected="the Device in the same bundle, contained, or an identifier we know",
        )
    return UsageLine(codes=codes, quantity=ONE_DEVICE, description=description)


def line_of_code(used: CodeableConcept, feed: FhirFeed, where: str) -> UsageLine:
    """One item used, named by a code only (Procedure.usedCode).

    A code of no configured system keeps its system as issuer: the crosswalk decides, nothing is
    dropped here.
    """
    codes = tuple(
        _item_code(feed.identifier_systems.get(coding.system), coding.code, feed, where)
        or ItemCode(scheme="ehr", value=coding.code, issuer=coding.system)
        for coding in used.coding
        if coding.code
    )
    if not codes:
        raise UnsupportedMessage("used, but in words only", where=where, expected="a coding")
    text = used.text or next((coding.display for coding in used.coding if coding.display), "")
    return UsageLine(codes=codes, quantity=ONE_DEVICE, description=text)


def quantity_used(statement: DeviceUseStatement, feed: FhirFeed, where: str) -> Quantity:
    """How many: the agreed extension, or one, because a statement is about one device."""
    found = [ext for ext in statement.extension if ext.url == feed.quantity_extension]
    if not found:
        return ONE_DEVICE
    given = found[0].value_quantity
    if len(found) > 1 or given.value is None or not 0 < given.value < 1_000_000:  # noqa: PLR2004
        raise MalformedMessage(
            "not a quantity used",
            where=f"{where}.extension",
            expected="one valueQuantity above zero",
        )
    return Quantity(value=given.value, unit=_unit(given, f"{where}.extension"))


def _unit(given: FhirQuantity, where: str) -> str:
    unit = given.code or given.unit
    if given.system not in ("", UCUM) or (not given.system and unit not in units.UNITS):
        raise WrongUnit(
            "unit of no list we know", where=where, expected=f"a code of {UCUM}, or one of ours"
        )
    try:
        return units.from_ucum(given.code) if given.system else unit
    except WrongUnit as exc:
        raise WrongUnit(exc.detail, where=where, expected=exc.expected, fix=exc.fix) from exc


def _label(carrier: UdiCarrier, where: str) -> _Label:
    """Read a UDI carrier: the print, else the scan, else the device identifier alone."""
    if carrier.carrier_hrf:
        return _from_udi(carrier.carrier_hrf, f"{where}.carrierHRF")
    if carrier.carrier_aidc:
        path = f"{where}.carrierAIDC"
        try:
            scan = b64decode(carrier.carrier_aidc, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise MalformedMessage("not base64 text", where=path, expected="base64Binary") from exc
        return _from_udi(scan, path)
    code = _code_of(_DI_SYSTEMS.get(carrier.issuer), carrier.device_identifier, where)
    return _Label(codes=(code,) if code else ())


def _both(one: _Label, other: _Label, where: str) -> _Label:
    """Join the carriers of one device: several issuers, one lot and serial."""
    return _Label(
        codes=(*one.codes, *other.codes),
        lot=_agreed(one.lot, other.lot, f"{where}.udiCarrier"),
        serial=_agreed(one.serial, other.serial, f"{where}.udiCarrier"),
        expires=_agreed(one.expires, other.expires, f"{where}.udiCarrier"),
    )


def _from_udi(text: str, where: str) -> _Label:
    try:
        read = udi.parse(text)
    except MalformedMessage as exc:
        raise MalformedMessage(
            exc.detail, where=f"{where}: {exc.where}", expected=exc.expected, fix=exc.fix
        ) from exc
    return _Label(codes=(read.item_code(),), lot=read.lot, serial=read.serial, expires=read.expires)


def _listed_codes(
    identifiers: tuple[Identifier, ...], feed: FhirFeed, where: str
) -> tuple[ItemCode, ...]:
    found = (
        _item_code(feed.identifier_systems.get(one.system), one.value, feed, f"{where}.identifier")
        or _code_of(_DI_SYSTEMS.get(one.system), one.value, where)
        for one in identifiers
    )
    return tuple(code for code in found if code is not None)


def _item_code(
    scheme: CodeScheme | None, value: str, feed: FhirFeed, where: str
) -> ItemCode | None:
    code = _code_of(scheme, value, where)
    if code is not None and scheme == "ehr":
        return msgspec.structs.replace(code, issuer=feed.issuer)
    return code


def _code_of(scheme: CodeScheme | None, value: str, where: str) -> ItemCode | None:
    if scheme is None or not value:
        return None
    if scheme != "gtin":
        return ItemCode(scheme=scheme, value=value)
    try:
        return ItemCode(scheme="gtin", value=gtin(value))
    except InvalidRequest as exc:
        raise MalformedMessage(exc.detail, where=where, expected=exc.expected) from exc


def _agreed(label: _T, field: _T, where: str) -> _T:
    if label and field and label != field:
        raise MalformedMessage(
            "the field and the label disagree", where=where, expected="the same as in udiCarrier"
        )
    return label or field


def _description(device: Device) -> str:
    if device.device_name:
        return device.device_name[0].name
    coding = device.type.coding
    return device.type.text or (coding[0].display if coding else "")
