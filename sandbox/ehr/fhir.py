"""The EHR's FHIR R4 side: what it posts about usage, and the ChargeItems it keeps."""

from dataclasses import dataclass, field
from itertools import count
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec

from sandbox.ehr.hl7 import Envelope
from sandbox.ehr.hospital import NewCase, Patient, Usage, UsedLine

VISIT = "urn:sandbox:ehr:visit"
CASE = "urn:sandbox:ehr:case"
ITEM = "urn:sandbox:ehr:item"
SKU = "urn:sandbox:ehr:sku"
USE = "urn:sandbox:ehr:use"
MRN = "urn:sandbox:ehr:mrn"
QUANTITY = "urn:suture:fhir:quantity-used"
"""The extension for a count, as agreed with the gateway."""

Json = dict[str, object]

_encode = msgspec.json.Encoder(decimal_format="number").encode


def usage_bundle(usage: Usage, case: NewCase, patient: Patient, envelope: Envelope) -> bytes:
    """Write a transaction: Patient, Encounter, Procedure, then a Device and its use a line."""
    at = (usage.at or envelope.at).isoformat()
    people = _Names(envelope.control_id)
    subject: Json = {"reference": people.url("patient")}
    entries = [
        _entry(people.url("patient"), _patient(patient)),
        _entry(people.url("encounter"), _encounter(case, subject)),
        _entry(people.url("procedure"), _procedure(usage, case, people, at)),
    ]
    for number, line in enumerate(usage.lines, 1):
        device = people.url(f"device-{number}")
        use: Json = {
            "resourceType": "DeviceUseStatement",
            "identifier": [
                {"system": USE, "value": line.reference or f"{envelope.control_id}-{number}"}
            ],
            "status": "entered-in-error" if line.credit else "completed",
            "subject": subject,
            "derivedFrom": [{"reference": people.url("procedure")}],
            "timingDateTime": at,
            "device": {"reference": device},
        }
        if line.quantity != 1 or line.unit != "EA":
            counted = {"value": line.quantity, "unit": line.unit}
            use["extension"] = [{"url": QUANTITY, "valueQuantity": counted}]
        entries += [_entry(device, _device(line)), _entry(people.url(f"use-{number}"), use)]
    bundle: Json = {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:sandbox:ehr:bundle", "value": envelope.control_id},
        "meta": {"versionId": "1"},
        "type": "transaction",
        "timestamp": envelope.at.isoformat(),
        "entry": entries,
    }
    return _encode(bundle)


@dataclass(frozen=True)
class _Names:
    """The urn:uuid of each resource of one bundle: the same for the same message."""

    control_id: str

    def url(self, what: str) -> str:
        return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{self.control_id}/{what}')}"


def _entry(url: str, resource: Json) -> Json:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": url, "resource": resource, "request": request}


def _patient(patient: Patient) -> Json:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": MRN, "value": patient.number}],
        "name": [{"family": patient.family, "given": [patient.given]}],
    }


def _encounter(case: NewCase, subject: Json) -> Json:
    return {
        "resourceType": "Encounter",
        "identifier": [{"system": VISIT, "value": case.visit}],
        "status": "in-progress",
        "class": {"code": "IMP"},
        "subject": subject,
    }


def _procedure(usage: Usage, case: NewCase, people: _Names, at: str) -> Json:
    code = {"system": "http://www.ama-assn.org/go/cpt", "code": case.procedure}
    procedure: Json = {
        "resourceType": "Procedure",
        "identifier": [{"system": CASE, "value": case.case_number}],
        "status": "completed",
        "code": {"coding": [code], "text": case.procedure_name or case.procedure},
        "subject": {"reference": people.url("patient")},
        "encounter": {"reference": people.url("encounter")},
        "performedDateTime": at,
        "location": {"identifier": {"value": usage.location or case.location}},
    }
    if case.surgeon:
        procedure["performer"] = [{"actor": {"identifier": {"value": case.surgeon}}}]
    return procedure


def _device(line: UsedLine) -> Json:
    device: Json = {
        "resourceType": "Device",
        "identifier": [
            {"system": system, "value": value}
            for system, value in ((ITEM, line.code), (SKU, line.sku))
            if value
        ],
        "udiCarrier": [{"carrierHRF": line.udi}] if line.udi else [],
        "lotNumber": line.lot,
        "serialNumber": line.serial,
        "expirationDate": line.expires.isoformat() if line.expires else "",
        "deviceName": [{"name": line.description, "type": "user-friendly-name"}]
        if line.description
        else [],
    }
    return {name: value for name, value in device.items() if value}


class ChargeItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the charge reviewers' server insists on; the rest is kept as it came."""

    resource_type: str
    status: str
    code: dict[str, object]
    subject: dict[str, object]
    identifier: list[dict[str, str]] = []


@dataclass
class ChargeBook:
    """The ChargeItems that wait for review."""

    items: dict[str, Json] = field(default_factory=dict[str, Json])
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def named(self, identifier: str) -> list[Json]:
        """Return the items with that `system|value` (or value alone)."""
        return [item for item in self.items.values() if identifier in _tokens(item)]

    def create(self, item: Json) -> Json:
        """Keep a new item under an id of our own."""
        number = f"charge-{next(self._numbers)}"
        kept: Json = {**item, "id": number, "meta": {"versionId": "1"}}
        self.items[number] = kept
        return kept

    def patch(self, number: str, changes: list["Change"]) -> Json:
        """Replace what the operations name, and count the version up."""
        item = self.items[number]
        for change in changes:
            item[change.path.removeprefix("/")] = change.value
        item["meta"] = {"versionId": str(int(version_of(item)) + 1)}
        return item


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a JSON Patch; this server replaces top-level fields only."""

    op: Literal["replace"]
    path: str
    value: str


def version_of(item: Json) -> str:
    """Return the version of a kept item."""
    return msgspec.convert(item["meta"], dict[str, str])["versionId"]


def _tokens(item: Json) -> set[str]:
    identifiers = msgspec.convert(item.get("identifier", []), list[dict[str, str]])
    return {
        token
        for one in identifiers
        for token in (f"{one.get('system', '')}|{one.get('value', '')}", one.get("value", ""))
    }


def problem(status: int, text: str) -> Json:
    """Return an OperationOutcome."""
    codes = {404: "not-found", 412: "multiple-matches", 422: "invalid", 429: "throttled"}
    issue = {"severity": "error", "code": codes.get(status, "exception"), "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


CAPABILITIES: Json = {
    "resourceType": "CapabilityStatement",
    "status": "active",
    "date": "2026-01-01",
    "kind": "instance",
    "fhirVersion": "4.0.1",
    "format": ["json"],
    "rest": [
        {
            "mode": "server",
            "resource": [
                {
                    "type": "ChargeItem",
                    "interaction": [
                        {"code": "create"},
                        {"code": "read"},
                        {"code": "patch"},
                        {"code": "search-type"},
                    ],
                    "conditionalCreate": True,
                    "searchParam": [{"name": "identifier", "type": "token"}],
                }
            ],
        }
    ],
}
