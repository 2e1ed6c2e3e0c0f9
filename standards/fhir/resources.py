"""The parts of FHIR R4 (4.0.1) we read and write, as Structs.

- Only fields we use; the others are read over, so a partner's resource is never written again from
  here: the ledger keeps its bytes.
- No field may be null (JSON representation, 2.6.2): what is optional is absent or has a value.
- Codes with a required binding are Literals: a status outside the value set is refused at its path.
- What a resource or entry contains stays raw until `codec.read` is asked for it, because a bundle
  may carry any type beside the ones we know.
"""

from decimal import Decimal
from typing import Literal

import msgspec


class Element(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What every FHIR data type shares: camelCase names, defaults left out."""


class Coding(Element, frozen=True, kw_only=True):
    system: str = ""
    code: str = ""
    display: str = ""


class CodeableConcept(Element, frozen=True, kw_only=True):
    coding: tuple[Coding, ...] = ()
    text: str = ""


NO_CONCEPT = CodeableConcept()


class Identifier(Element, frozen=True, kw_only=True):
    system: str = ""
    value: str = ""
    type: CodeableConcept = NO_CONCEPT


NO_IDENTIFIER = Identifier()


class Reference(Element, frozen=True, kw_only=True):
    reference: str = ""
    type: str = ""
    identifier: Identifier = NO_IDENTIFIER
    display: str = ""


NO_REFERENCE = Reference()


class Quantity(Element, frozen=True, kw_only=True):
    """A measured or counted amount; `value` keeps its digits (5.10 stays 5.10)."""

    value: Decimal | None = None
    unit: str = ""
    system: str = ""
    code: str = ""


NO_QUANTITY = Quantity()


class Extension(Element, frozen=True, kw_only=True):
    url: str
    value_quantity: Quantity = NO_QUANTITY
    value_reference: Reference = NO_REFERENCE


class Period(Element, frozen=True, kw_only=True):
    start: str = ""
    end: str = ""


NO_PERIOD = Period()


class Meta(Element, frozen=True, kw_only=True):
    version_id: str = ""
    last_updated: str = ""
    profile: tuple[str, ...] = ()


NO_META = Meta()


class Annotation(Element, frozen=True, kw_only=True):
    text: str


class HumanName(Element, frozen=True, kw_only=True):
    """A person's name; parts may be null beside an extension (2.6.2.3)."""

    text: str = ""
    family: str = ""
    given: tuple[str | None, ...] = ()


class Resource(Element, tag_field="resourceType", frozen=True, kw_only=True):
    id: str = ""
    meta: Meta = NO_META
    identifier: tuple[Identifier, ...] = ()


class DomainResource(Resource, frozen=True, kw_only=True):
    contained: tuple[msgspec.Raw, ...] = ()
    extension: tuple[Extension, ...] = ()


class UdiCarrier(Element, frozen=True, kw_only=True):
    """Device.udiCarrier. `carrierAIDC` is the scan in base64, `carrierHRF` the print."""

    device_identifier: str = ""
    issuer: str = ""
    carrier_aidc: str = msgspec.field(default="", name="carrierAIDC")
    carrier_hrf: str = msgspec.field(default="", name="carrierHRF")


class DeviceName(Element, frozen=True, kw_only=True):
    name: str
    type: str = ""


DeviceStatus = Literal["active", "inactive", "entered-in-error", "unknown"]


class Device(DomainResource, tag="Device", frozen=True, kw_only=True):
    udi_carrier: tuple[UdiCarrier, ...] = ()
    status: DeviceStatus = "unknown"
    distinct_identifier: str = ""
    manufacture_date: str = ""
    expiration_date: str = ""
    lot_number: str = ""
    serial_number: str = ""
    device_name: tuple[DeviceName, ...] = ()
    model_number: str = ""
    type: CodeableConcept = NO_CONCEPT


UseStatus = Literal["active", "completed", "entered-in-error", "intended", "stopped", "on-hold"]


class DeviceUseStatement(DomainResource, tag="DeviceUseStatement", frozen=True, kw_only=True):
    status: UseStatus
    subject: Reference
    device: Reference
    derived_from: tuple[Reference, ...] = ()
    timing_period: Period = NO_PERIOD
    timing_date_time: str = ""
    recorded_on: str = ""
    reason_reference: tuple[Reference, ...] = ()


class ProcedurePerformer(Element, frozen=True, kw_only=True):
    actor: Reference
    function: CodeableConcept = NO_CONCEPT


class FocalDevice(Element, frozen=True, kw_only=True):
    manipulated: Reference
    action: CodeableConcept = NO_CONCEPT


ProcedureStatus = Literal[
    "preparation",
    "in-progress",
    "not-done",
    "on-hold",
    "stopped",
    "completed",
    "entered-in-error",
    "unknown",
]


class Procedure(DomainResource, tag="Procedure", frozen=True, kw_only=True):
    status: ProcedureStatus
    subject: Reference
    code: CodeableConcept = NO_CONCEPT
    encounter: Reference = NO_REFERENCE
    performed_date_time: str = ""
    performed_period: Period = NO_PERIOD
    performer: tuple[ProcedurePerformer, ...] = ()
    location: Reference = NO_REFERENCE
    focal_device: tuple[FocalDevice, ...] = ()
    used_reference: tuple[Reference, ...] = ()
    used_code: tuple[CodeableConcept, ...] = ()


class Encounter(DomainResource, tag="Encounter", frozen=True, kw_only=True):
    """Read for its identifier only: the visit number."""


class Patient(DomainResource, tag="Patient", frozen=True, kw_only=True):
    name: tuple[HumanName, ...] = ()


class Practitioner(DomainResource, tag="Practitioner", frozen=True, kw_only=True):
    name: tuple[HumanName, ...] = ()


class Location(DomainResource, tag="Location", frozen=True, kw_only=True):
    name: str = ""


ChargeStatus = Literal[
    "planned", "billable", "not-billable", "aborted", "billed", "entered-in-error", "unknown"
]


class ChargeItem(DomainResource, tag="ChargeItem", frozen=True, kw_only=True):
    status: ChargeStatus
    code: CodeableConcept
    subject: Reference
    context: Reference = NO_REFERENCE
    occurrence_date_time: str = ""
    quantity: Quantity = NO_QUANTITY
    product_codeable_concept: CodeableConcept = NO_CONCEPT
    service: tuple[Reference, ...] = ()
    account: tuple[Reference, ...] = ()
    note: tuple[Annotation, ...] = ()


class OutcomeIssue(Element, frozen=True, kw_only=True):
    severity: Literal["fatal", "error", "warning", "information"]
    code: str
    details: CodeableConcept = NO_CONCEPT
    diagnostics: str = ""
    expression: tuple[str, ...] = ()


class OperationOutcome(DomainResource, tag="OperationOutcome", frozen=True, kw_only=True):
    issue: tuple[OutcomeIssue, ...]


class EntryRequest(Element, frozen=True, kw_only=True):
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
    url: str


class EntryResponse(Element, frozen=True, kw_only=True):
    status: str
    location: str = ""
    etag: str = ""


class BundleEntry(Element, frozen=True, kw_only=True):
    full_url: str = ""
    resource: msgspec.Raw = msgspec.Raw()
    request: EntryRequest | None = None
    response: EntryResponse | None = None


BundleType = Literal[
    "document",
    "message",
    "transaction",
    "transaction-response",
    "batch",
    "batch-response",
    "history",
    "searchset",
    "collection",
]


class Bundle(Element, tag_field="resourceType", tag="Bundle", frozen=True, kw_only=True):
    """A container. Unlike other resources its `identifier` is a single one."""

    type: BundleType
    id: str = ""
    meta: Meta = NO_META
    identifier: Identifier = NO_IDENTIFIER
    timestamp: str = ""
    entry: tuple[BundleEntry, ...] = ()


Known = (
    Bundle
    | ChargeItem
    | Device
    | DeviceUseStatement
    | Encounter
    | Location
    | OperationOutcome
    | Patient
    | Practitioner
    | Procedure
)
"""The resources we understand; any other type can still be described."""
