"""FHIR JSON: one resource, a bundle, or NDJSON as bulk exports write it.

A usage report (Procedure, DeviceUseStatement, or a bundle with one) is mapped; any other resource
is described by its type and by what it carries. Field values are not shown: most are a patient's.
"""

import re
from collections import Counter
from typing import Final, get_args

import msgspec

from canonical.errors import Failure, NothingToPost, UnsupportedMessage
from canonical.usage import NothingUsed
from gateway.inspection.permissive import ANY, NOTE, fhir_feed
from gateway.inspection.verdict import (
    SEALED,
    UNTYPED,
    Canonical,
    Contents,
    Message,
    Part,
    Structure,
    refusal,
)
from standards.fhir import codec
from standards.fhir.resource_types import RESOURCE_TYPES
from standards.fhir.resources import (
    Bundle,
    Device,
    DeviceUseStatement,
    Identifier,
    Known,
    Procedure,
)
from system_apis.ehr.fhir_r4.mapping import usage_facts
from system_apis.ehr.fhir_r4.references import Document, document

_FIRST_TYPE: Final = re.compile(rb'"resourceType"\s*:\s*"([A-Z][A-Za-z]{1,39})"')
_STANDARD_SYSTEMS: Final = "http://hl7.org/fhir/NamingSystem/"
_BOM: Final = b"\xef\xbb\xbf"
_KNOWN: Final = frozenset(one.__name__ for one in get_args(Known))
_USAGE: Final = frozenset({"Procedure", "DeviceUseStatement"})
_NO_RESOURCE: Final = UnsupportedMessage(
    "no resource type of FHIR",
    where="$.resourceType",
    expected="a resource type of DSTU2, STU3, R4 or R5",
)

_json = msgspec.json.Decoder(msgspec.Raw)


def contents(body: bytes) -> Contents:
    """Read one resource, or one a line."""
    return Contents(
        parts=tuple(Part(body=each, messages=(_message(each),)) for each in _lines(body))
    )


def _lines(body: bytes) -> list[bytes]:
    """Take NDJSON apart: its first line is a whole document, as that of written JSON is not."""
    lines = [line for line in body.removeprefix(_BOM).splitlines() if line.strip()]
    if len(lines) > 1 and _is_whole(lines[0]) and all(line.lstrip()[:1] == b"{" for line in lines):
        return lines
    return [body]


def _is_whole(line: bytes) -> bool:
    try:
        _json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _message(body: bytes) -> Message:
    try:
        described = codec.describe(body)
    except Failure as failure:
        return Message(type=_guess(body), failure=refusal(failure))
    name = _named(described.resource_type)
    if name == UNTYPED:
        return Message(type=UNTYPED, failure=refusal(_NO_RESOURCE))
    if name not in _KNOWN:
        return Message(type=name, structure=Structure(resources={name: 1}))
    try:
        resource = codec.read(body)
        structure = _structure(resource)
    except Failure as failure:
        return Message(type=name, failure=refusal(failure))
    if structure.resources.keys().isdisjoint(_USAGE):
        return Message(type=name, structure=structure)
    return _mapped(resource, Message(type=name, structure=structure, note=NOTE))


def _mapped(resource: Known, described: Message) -> Message:
    """Map as the FHIR door does: a procedure without a device is taken note of, not refused."""
    try:
        feed = fhir_feed(_item_systems(document(resource)))
        facts, _ = usage_facts(resource, feed)
    except NothingToPost:
        nothing = Canonical(object="NothingUsed", value=NothingUsed(facility=ANY, source=ANY))
        return msgspec.structs.replace(described, canonical=(nothing,), structure=None)
    except Failure as failure:
        return msgspec.structs.replace(described, failure=refusal(failure))
    told = tuple(Canonical(object=type(each).__name__, value=each) for each in facts)
    return msgspec.structs.replace(
        described, canonical=told, structure=None, patient_context=SEALED
    )


def _guess(body: bytes) -> str:
    found = _FIRST_TYPE.search(body)
    return _named(found[1].decode()) if found else UNTYPED


def _named(word: str) -> str:
    """Return a resource type as it is; any other word could be a value and is not said."""
    return word if word in RESOURCE_TYPES else UNTYPED


def _structure(resource: Known) -> Structure:
    if not isinstance(resource, Bundle):
        return Structure(resources={type(resource).__name__: 1})
    types = Counter(_named(one.description.resource_type) for one in codec.entries(resource))
    return Structure(bundle=resource.type, resources=dict(types))


def _item_systems(whole: Document) -> frozenset[str]:
    """Collect under which systems the document names its devices."""
    parts = (*whole.parts, *(part for inside in whole.inner.values() for part in inside))
    found = list[Identifier]()
    for part in parts:
        if isinstance(part.resource, Device):
            found += part.resource.identifier
        elif isinstance(part.resource, DeviceUseStatement):
            found.append(part.resource.device.identifier)
        elif isinstance(part.resource, Procedure):
            found += [one.identifier for one in part.resource.used_reference]
            found += [one.manipulated.identifier for one in part.resource.focal_device]
    systems = frozenset(one.system for one in found if one.value)
    return frozenset(one for one in systems if not one.startswith(_STANDARD_SYSTEMS))
