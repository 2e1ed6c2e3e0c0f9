"""Which format a document is in, by its content; file names are not asked."""

import re
from typing import Final, Literal, NamedTuple

import msgspec

Format = Literal["HL7", "X12", "FHIR", "EDIFACT", "cXML", "UBL", "FHIR XML", "unknown"]

READABLE: Final[frozenset[Format]] = frozenset({"HL7", "X12", "FHIR"})

_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_FILLER: Final = b"\r\n\t \x00\x0b\x0c"
_COMPRESSED: Final = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_FAR_ENOUGH: Final = 1 << 16
_NAMED_FORMATS: Final[tuple[tuple[re.Pattern[bytes], Format], ...]] = (
    (re.compile(rb"(?:MSH|FHS|BHS)(?![A-Za-z0-9])"), "HL7"),
    (re.compile(rb"ISA(?![A-Za-z0-9])"), "X12"),
    (re.compile(rb"UNA[^A-Za-z0-9]|UN[BH]\+"), "EDIFACT"),
)
_XML_FORMATS: Final[tuple[tuple[re.Pattern[bytes], Format], ...]] = (
    (re.compile(rb"<cXML[\s/>]|<!DOCTYPE\s+cXML\b"), "cXML"),
    (re.compile(rb"urn:oasis:names:(?:specification|tc):ubl:"), "UBL"),
    (re.compile(rb"""=["']http://hl7\.org/fhir["']"""), "FHIR XML"),
)
_RESOURCE_TYPE: Final = re.compile(rb'"resourceType"\s*:')


class Sniffed(NamedTuple):
    """The format; of an unknown one, what it is instead."""

    format: Format
    instead: str = ""


class _Object(msgspec.Struct, rename="camel"):
    resource_type: object = None


_object = msgspec.json.Decoder(_Object)


def sniffed(body: bytes) -> Sniffed:
    """Say which format `body` is in."""
    start = body[:_FAR_ENOUGH].lstrip(_FILLER)
    for mark in _BOMS:
        start = start.removeprefix(mark).lstrip(_FILLER)
    if not start:
        return Sniffed("unknown", "nothing in it")
    for pattern, name in _NAMED_FORMATS:
        if pattern.match(start):
            return Sniffed(name)
    if start.startswith(b"<"):
        return _xml(start)
    if start.startswith((b"{", b"[")):
        return _json(body)
    if body.startswith(_COMPRESSED):
        return Sniffed("unknown", "compressed")
    return Sniffed("unknown", "neither HL7 v2, X12 nor FHIR")


def _xml(start: bytes) -> Sniffed:
    for pattern, name in _XML_FORMATS:
        if pattern.search(start):
            return Sniffed(name)
    return Sniffed("unknown", "other XML")


def _json(body: bytes) -> Sniffed:
    """Ask a whole object itself; of broken JSON, or several in a row, look for the key."""
    text = body.removeprefix(_BOMS[0]).strip()
    try:
        is_fhir = _object.decode(text).resource_type is not None
    except msgspec.ValidationError:
        is_fhir = False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        is_fhir = _RESOURCE_TYPE.search(text) is not None
    return Sniffed("FHIR") if is_fhir else Sniffed("unknown", "other JSON")
