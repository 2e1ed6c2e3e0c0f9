"""FHIR R4: read a transaction bundle of one procedure and the devices it used."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

from standards.fhir import codec, resources

_DEVICES = 4

Values = list[tuple[str, ...]]
Read = Callable[[], Values]

_SUBJECT = {"reference": "urn:uuid:patient"}


def bundle() -> bytes:
    """Return the bundle."""
    told: list[tuple[str, dict[str, Any]]] = [
        ("patient", {"resourceType": "Patient", "name": [{"family": "Testperson"}]}),
        ("procedure", _procedure()),
    ]
    for number in range(1, _DEVICES + 1):
        told.append((f"device-{number}", _device(number)))
        told.append((f"use-{number}", _use(number)))
    entries = [
        {
            "fullUrl": f"urn:uuid:{name}",
            "resource": {**resource, "id": name},
            "request": {"method": "POST", "url": resource["resourceType"]},
        }
        for name, resource in told
    ]
    return msgspec.json.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _procedure() -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "identifier": [{"system": "urn:hospital:case", "value": "CASE-42"}],
        "code": {"coding": [{"code": "27130", "display": "Total hip arthroplasty"}]},
        "subject": _SUBJECT,
        "performedPeriod": {
            "start": "2026-03-04T07:30:00-06:00",
            "end": "2026-03-04T09:10:00-06:00",
        },
        "location": {"reference": "Location/OR-3"},
    }


def _device(number: int) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "udiCarrier": [
            {
                "deviceIdentifier": "00844588003288",
                "issuer": "http://hl7.org/fhir/NamingSystem/gs1-di",
                "carrierHRF": f"(01)00844588003288(17)271231(10)LOT-7(21)SN-{number}",
            }
        ],
        "status": "active",
        "lotNumber": "LOT-7",
        "serialNumber": f"SN-{number}",
        "deviceName": [{"name": "Femoral stem, size 4", "type": "user-friendly-name"}],
    }


def _use(number: int) -> dict[str, Any]:
    return {
        "resourceType": "DeviceUseStatement",
        "status": "completed",
        "subject": _SUBJECT,
        "device": {"reference": f"urn:uuid:device-{number}"},
    }


def suture(body: bytes) -> Read:
    """Read with our codec: the JSON's shape, the bundle, and every resource in it."""

    def read() -> Values:
        found = codec.read(body)
        assert isinstance(found, resources.Bundle)
        return [
            (each.description.resource_type, each.description.id, *_of_suture(each.resource))
            for each in codec.entries(found)
        ]

    return read


def _of_suture(resource: resources.Known | None) -> tuple[str, ...]:
    if isinstance(resource, resources.Device):
        return (resource.udi_carrier[0].device_identifier, resource.serial_number)
    if isinstance(resource, resources.DeviceUseStatement):
        return (resource.status, resource.device.reference)
    return ()


def fhir_resources(body: bytes) -> Read:
    """Read with the R4B models of fhir.resources, which check more: dates, patterns, choices."""
    read_json: Any = import_module("fhir.resources.R4B.bundle").Bundle.model_validate_json

    def read() -> Values:
        return [
            (each.resource.get_resource_type(), each.resource.id, *_of_fhir(each.resource))
            for each in read_json(body).entry
        ]

    return read


def _of_fhir(resource: Any) -> tuple[str, ...]:
    name = resource.get_resource_type()
    if name == "Device":
        return (resource.udiCarrier[0].deviceIdentifier, resource.serialNumber)
    if name == "DeviceUseStatement":
        return (resource.status, resource.device.reference)
    return ()
