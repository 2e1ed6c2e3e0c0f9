"""Other issuers whose tokens are taken, and what is granted to whoever has which claim."""

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from canonical.request import DataClass

Algorithm = Literal[
    "ES256", "ES384", "ES512", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"
]
"""Asymmetric ones only: a public key is no shared secret."""
_LOCAL = frozenset(("127.0.0.1", "::1", "localhost"))
_SPACED = frozenset(("scope", "scp"))
"""Claims whose text is a list with spaces (RFC 8693 4.2)."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Who has `value` in `claim` gets these. A claim inside others is named by its path with dots.

    What no grant names is not given, whatever a token says of itself. `every_facility` has to be
    said: no facilities are none.
    """

    claim: str
    value: str
    scopes: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    every_facility: bool = False
    roles: tuple[str, ...] = ()
    data_classes: tuple[DataClass, ...] = ()

    def __post_init__(self) -> None:
        if not self.claim or not self.value:
            raise ValueError("claim and value of a grant are not empty")
        if self.every_facility and self.facilities:
            raise ValueError("a grant names facilities, or every-facility")


class ExternalIssuer(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """An issuer by OpenID Connect discovery. `url` is its `iss`, letter by letter.

    `name` stands before its clients and people in our records, so that they never are taken for
    ours. `types` are the kinds of token (`typ`): an issuer that does not follow RFC 9068 says
    "JWT". Keys are asked for again after `refresh_seconds`; while it is away, the known ones are
    good for `outage_seconds`; an unknown key makes us ask at most every `refetch_seconds`.
    """

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,30}$")]
    url: str
    audience: Annotated[str, msgspec.Meta(min_length=1)]
    algorithms: Annotated[tuple[Algorithm, ...], msgspec.Meta(min_length=1)] = ("ES256", "RS256")
    types: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("at+jwt",)
    grants: tuple[Grant, ...] = ()
    sla: str = "standard"
    refresh_seconds: Annotated[float, msgspec.Meta(ge=1)] = 300.0
    refetch_seconds: Annotated[float, msgspec.Meta(ge=0.1)] = 5.0
    outage_seconds: Annotated[float, msgspec.Meta(ge=1)] = 86_400.0
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=30)] = 3.0

    def __post_init__(self) -> None:
        if not is_safe(self.url) or urlsplit(self.url).query or urlsplit(self.url).fragment:
            raise ValueError(f"url {self.url!r} is an https address without query")


class Granted(msgspec.Struct, kw_only=True):
    """What all grants that fit give together."""

    scopes: set[str] = msgspec.field(default_factory=set[str])
    facilities: set[str] = msgspec.field(default_factory=set[str])
    every_facility: bool = False
    roles: set[str] = msgspec.field(default_factory=set[str])
    data_classes: set[DataClass] = msgspec.field(default_factory=set[DataClass])


def is_safe(url: str) -> bool:
    """Whether what is fetched there is what its owner sent: TLS, or our own machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and parts.hostname in _LOCAL


def granted(grants: tuple[Grant, ...], claims: Mapping[str, object]) -> Granted:
    """Return what these claims are given."""
    total = Granted()
    for grant in grants:
        if grant.value in _values(claims, grant.claim):
            total.scopes.update(grant.scopes)
            total.facilities.update(grant.facilities)
            total.every_facility |= grant.every_facility
            total.roles.update(grant.roles)
            total.data_classes.update(grant.data_classes)
    return total


def _values(claims: Mapping[str, object], name: str) -> frozenset[str]:
    found = claims.get(name)
    if found is None:
        outer, dot, inner = name.partition(".")
        below = claims.get(outer)
        if dot and isinstance(below, dict):
            return _values(msgspec.convert(below, dict[str, object]), inner)
        return frozenset()
    if isinstance(found, str):
        return frozenset(found.split() if name in _SPACED else (found,))
    if isinstance(found, list):
        return frozenset(
            value for value in msgspec.convert(found, list[object]) if isinstance(value, str)
        )
    return frozenset()
