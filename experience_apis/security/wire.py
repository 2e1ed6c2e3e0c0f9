"""FHIR R4 AuditEvent and Bundle, as far as audit records need them (hl7.org/fhir/R4/auditevent)."""

from datetime import datetime

import msgspec

_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


class _Element(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A FHIR element: what is not said is not there."""


class Coding(_Element, frozen=True, kw_only=True):
    system: str
    code: str
    display: str = ""


class Concept(_Element, frozen=True, kw_only=True):
    coding: tuple[Coding, ...] = ()
    text: str = ""


class Identifier(_Element, frozen=True, kw_only=True):
    value: str
    system: str = ""


class Reference(_Element, frozen=True, kw_only=True):
    identifier: Identifier | None = None
    display: str = ""


class Extension(_Element, frozen=True, kw_only=True):
    url: str
    value_code: str


class Network(_Element, frozen=True, kw_only=True):
    """Where an agent was; `type` 2 is an IP address."""

    extension: tuple[Extension, ...] = ()
    address: str = ""
    type: str = ""

    @classmethod
    def unknown(cls) -> "Network":
        return cls(extension=(Extension(url=_ABSENT, value_code="unknown"),))


class Agent(_Element, frozen=True, kw_only=True):
    """Who took part; `policy` is the token and the configuration it was allowed by."""

    type: Concept
    who: Reference
    requestor: bool
    policy: tuple[str, ...] = ()
    network: Network = msgspec.field(default_factory=Network.unknown)


class Source(_Element, frozen=True, kw_only=True):
    observer: Reference
    site: str = ""
    type: tuple[Coding, ...]


class Detail(_Element, frozen=True, kw_only=True):
    type: str
    value_string: str


class Entity(_Element, frozen=True, kw_only=True):
    what: Reference
    type: Coding
    role: Coding | None = None
    detail: tuple[Detail, ...] = ()


class Meta(_Element, frozen=True, kw_only=True):
    profile: tuple[str, ...]


class AuditEvent(_Element, frozen=True, kw_only=True, tag_field="resourceType", tag="AuditEvent"):
    """FHIR R4 AuditEvent, as far as it is used here."""

    id: str
    meta: Meta | None = None
    type: Coding
    subtype: tuple[Coding, ...]
    action: str
    recorded: datetime
    outcome: str
    outcome_desc: str = ""
    purpose_of_event: tuple[Concept, ...] = ()
    agent: tuple[Agent, ...]
    source: Source
    entity: tuple[Entity, ...] = ()


class BundleLink(msgspec.Struct, frozen=True, kw_only=True):
    relation: str
    url: str


class BundleEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`fullUrl` is left out: an audit record has no address of its own."""

    resource: AuditEvent


class AuditBundle(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="resourceType",
    tag="Bundle",
):
    """FHIR R4 Bundle with the matches, newest first; a link `next` where there are more."""

    type: str
    link: tuple[BundleLink, ...] = ()
    entry: tuple[BundleEntry, ...] = ()
