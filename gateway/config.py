"""The configuration: `gateway.toml` as typed Structs, refused with the exact path when wrong.

Secrets are never in the file: they come from the environment, `NAME` or `NAME_FILE`. Nothing else
reads the environment.
"""

import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from canonical.deadline import Deadlines
from gateway.catalogue import Policy
from gateway.sign_in.settings import PeopleSettings
from ledger.alert_rules import AlertRules
from ledger.settings import LedgerSettings, RetentionRules
from policies.oauth.certificates import TrustedProxies
from policies.oauth.dpop import DpopSettings
from policies.oauth.issuer_settings import ExternalIssuer
from policies.oauth.registration import RegistrationTerms
from process_apis.case_demand.rules import CancellationPolicy
from process_apis.invoice_matching.rules import MatchTolerance
from process_apis.requisition_to_order.rules import ApprovalPolicy
from system_apis.ehr.fhir_r4.feed import FhirFeed
from system_apis.ehr.hl7v2_feed.wire import Feed
from system_apis.erp.s4hana.settings import S4Settings

Role = Literal["api", "listener", "worker"]
ROLES: tuple[Role, ...] = ("api", "listener", "worker")


class ConfigurationRefused(Exception):
    """The configuration does not hold; the text says where and why."""


class _Section(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """A table of gateway.toml: unknown keys are refused."""


class Tls(_Section, frozen=True, kw_only=True):
    """TLS at one of our ports: PEM files of the certificate with its chain, its key, and the
    authorities of callers' certificates. Files that change are read again within `reload_seconds`;
    new ones that do not fit together are logged, and the last good ones stay.
    """

    certificate: str
    key: str
    client_ca: str = ""
    client_certificates: Literal["none", "optional", "required"] = "none"
    minimum: Literal["1.2", "1.3"] = "1.2"
    reload_seconds: Annotated[float, msgspec.Meta(ge=0.1)] = 10.0

    def __post_init__(self) -> None:
        if (self.client_certificates == "none") != (self.client_ca == ""):
            raise ValueError("client-ca and client-certificates are said together")


class Server(_Section, frozen=True, kw_only=True):
    """Where HTTP is served, and the issuer that tokens name ('' takes the address served).

    With `tls` it is HTTPS. `proxies` are those of ours that end TLS before us, and pass on which
    certificate the caller showed.

    Header fields that are not whole within `header_seconds`, and connections on which nothing comes
    for as long, are closed; so are fields larger than `header_bytes`, before any policy sees them.
    """

    host: str = "127.0.0.1"
    port: int = 8420
    issuer: str = ""
    token_seconds: int = 600
    tls: Tls | None = None
    proxies: TrustedProxies | None = None
    header_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    header_bytes: Annotated[int, msgspec.Meta(ge=8192)] = 65_536


class Mllp(_Section, frozen=True, kw_only=True):
    """Where HL7 v2 is listened for, with `tls` over TLS. 2575 is the registered port of MLLP."""

    host: str = "127.0.0.1"
    port: int = 2575
    max_frame_bytes: int = 1_048_576
    idle_seconds: float = 300.0
    tls: Tls | None = None


class Upstream(_Section, frozen=True, kw_only=True):
    """A system we call. `user` with the secret of `password_secret` is basic authentication."""

    url: str
    timeout_seconds: float = 10.0
    attempts: int = 3
    failures_to_open: int = 5
    open_seconds: float = 5.0
    user: str = ""
    password_secret: str = ""


class Facility(_Section, frozen=True, kw_only=True):
    """A hospital: its ERP plant and its time zone (IANA)."""

    id: str
    zone: str

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (OSError, ValueError, KeyError) as exc:
            raise ValueError(f"zone {self.zone!r} is not a time zone of this machine") from exc


class Feeds(_Section, frozen=True, kw_only=True):
    """How each sender's documents are to be read."""

    hl7v2: tuple[Feed, ...] = ()
    fhir: FhirFeed | None = None


class Edi(_Section, frozen=True, kw_only=True):
    """Our own interchange identifiers, each `qualifier:id` (ISA05/06)."""

    own: tuple[Annotated[str, msgspec.Meta(pattern="^[^:]+:.+$")], ...] = ()


class Events(_Section, frozen=True, kw_only=True):
    """How subscribers are told. `source` names this installation in every event.

    A webhook that fails is tried again after `retry_seconds`, doubled up to the longest; after
    `max_attempts` in a row, or `give_up_hours`, it is suspended and a person is asked. Targets are
    public https addresses unless `allow_private_targets`. A stream keeps about `stream_length`.
    """

    source: str = "urn:suture"
    allow_private_targets: bool = False
    timeout_seconds: float = 15.0
    max_body_bytes: int = 262_144
    retry_seconds: float = 5.0
    longest_retry_seconds: float = 3600.0
    max_attempts: int = 12
    give_up_hours: float = 24.0
    rotation_hours: float = 24.0
    lease_seconds: float = 10.0
    stream_length: int = 100_000
    heartbeat_seconds: float = 15.0


class Observability(_Section, frozen=True, kw_only=True):
    """How much is traced (0 to 1), and where spans go.

    `mask` are regular expressions of what must not be in a log here, such as the hospital's own
    patient numbers; what looks like a person or a secret is masked without them.
    """

    sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    spans: Literal["off", "console"] = "off"
    mask: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for pattern in self.mask:
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ValueError(f"mask {pattern!r} is no regular expression: {exc}") from exc


class Config(_Section, frozen=True, kw_only=True):
    """All of gateway.toml. `pipeline` is the inbound policies, outermost first.

    `state_folder` keeps what Suture makes itself: keys and the embedded servers. `database` names
    a database of the embedded PostgreSQL other than its first one.
    """

    pipeline: tuple[Policy, ...]
    server: Server = Server()
    mllp: Mllp = Mllp()
    state_folder: str = ".suture"
    database: str = ""
    issuers: tuple[ExternalIssuer, ...] = ()
    dpop: DpopSettings = DpopSettings()
    facilities: tuple[Facility, ...] = ()
    upstreams: dict[str, Upstream] = {}
    feeds: Feeds = Feeds()
    erp: S4Settings = msgspec.field(default_factory=S4Settings)
    edi: Edi = Edi()
    approval: ApprovalPolicy = msgspec.field(default_factory=ApprovalPolicy)
    cancellation: CancellationPolicy = msgspec.field(default_factory=CancellationPolicy)
    matching: MatchTolerance = msgspec.field(default_factory=MatchTolerance)
    events: Events = Events()
    registration: RegistrationTerms = RegistrationTerms()
    deadlines: Deadlines = msgspec.field(default_factory=Deadlines)
    people: PeopleSettings = PeopleSettings()
    observability: Observability = Observability()
    ledger: LedgerSettings = LedgerSettings()
    retention: RetentionRules = RetentionRules()
    alerts: AlertRules = AlertRules()

    def __post_init__(self) -> None:
        for said in ([one.name for one in self.issuers], [one.url for one in self.issuers]):
            if len(set(said)) != len(said):
                raise ValueError("two issuers have one name or url")


def load(path: Path) -> Config:
    """Read and check the file, or raise `ConfigurationRefused` naming the place."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise ConfigurationRefused(f"{path} does not exist") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationRefused(f"{path} is not a text file that can be read") from exc
    return read(text, str(path))


def read(text: str, place: str) -> Config:
    """Check a text of gateway.toml from `place`, or raise `ConfigurationRefused` naming both."""
    try:
        _check_upstreams(place, text)
        return msgspec.toml.decode(text, type=Config)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, msgspec.DecodeError) as exc:
        raise ConfigurationRefused(f"{place}: {exc}") from exc


def policy_version(config: Config) -> str:
    """Return what names this configuration in records: the same file, the same name.

    Where a replica is found, and where it keeps what it makes itself, is no policy.
    """
    told = msgspec.structs.replace(
        config,
        server=msgspec.structs.replace(config.server, host="", port=0),
        mllp=msgspec.structs.replace(config.mllp, host="", port=0),
        state_folder="",
        database="",
    )
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:12]


class _Upstreams(msgspec.Struct):
    upstreams: dict[str, object] = {}


def _check_upstreams(place: str, text: str) -> None:
    """Read each by its name: where one of them is wrong, msgspec only says `$.upstreams[...]`."""
    for name, table in msgspec.toml.decode(text, type=_Upstreams).upstreams.items():
        try:
            msgspec.convert(table, Upstream)
        except msgspec.ValidationError as exc:
            raise ConfigurationRefused(f"{place}: $.upstreams.{name}: {exc}") from exc


def setting(name: str, default: str = "") -> str:
    """Return a setting from the environment."""
    return os.environ.get(name, default)


def provide(name: str, value: str) -> None:
    """Give a setting that the environment leaves open (the demonstration's own secrets)."""
    os.environ.setdefault(name, value)


def secret(name: str) -> str:
    """Return a secret from `NAME`, or from the file that `NAME_FILE` names; '' where unset."""
    value = os.environ.get(name, "")
    file = os.environ.get(f"{name}_FILE", "")
    if value or not file:
        return value
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationRefused(f"{name}_FILE: cannot read {file} as text") from exc
