"""What the authorization server says of itself (RFC 8414 2): nothing but what it does."""

from collections.abc import Iterable

from policies.oauth.assertions import ALGORITHMS
from policies.oauth.authentication import AUTH_METHODS
from policies.oauth.dpop import ALGORITHMS as PROOF_ALGORITHMS

Metadata = dict[str, str | bool | list[str]]

_ENDPOINTS = ("token", "introspection", "revocation")
"""Those that clients authenticate at; each has its methods and algorithms in the metadata."""
_OF_APPS = ("token", "revocation")
"""Those that apps in the hands of people may use without a proof of their own."""


def metadata(
    issuer: str,
    grant_types: Iterable[str],
    scopes: Iterable[str] = (),
    *,
    registers: bool = False,
) -> Metadata:
    """Return the authorization server metadata. `registers`: whether clients may do so."""
    root = issuer.rstrip("/")
    said: Metadata = {
        "issuer": issuer,
        "authorization_endpoint": f"{root}/oauth/authorize",
        "device_authorization_endpoint": f"{root}/oauth/device_authorization",
        "token_endpoint": f"{root}/oauth/token",
        "introspection_endpoint": f"{root}/oauth/introspect",
        "revocation_endpoint": f"{root}/oauth/revoke",
        "jwks_uri": f"{root}/oauth/jwks",
        "scopes_supported": sorted(scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "grant_types_supported": list(grant_types),
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
    }
    for endpoint in _ENDPOINTS:
        apps = ["none"] if endpoint in _OF_APPS else []
        said[f"{endpoint}_endpoint_auth_methods_supported"] = [*AUTH_METHODS, *apps]
        said[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    if registers:
        said["registration_endpoint"] = f"{root}/oauth/register"
    return said
