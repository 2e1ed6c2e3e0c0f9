"""What the authorization server says of itself (RFC 8414 2): nothing but what it does."""

from policies.oauth.assertions import ALGORITHMS
from policies.oauth.authentication import AUTH_METHODS


def metadata(
    issuer: str, grant_types: tuple[str, ...], scopes: tuple[str, ...] = ()
) -> dict[str, str | list[str]]:
    """Return the authorization server metadata."""
    root = issuer.rstrip("/")
    return {
        "issuer": issuer,
        "token_endpoint": f"{root}/oauth/token",
        "jwks_uri": f"{root}/oauth/jwks",
        "scopes_supported": list(scopes),
        "response_types_supported": [],
        "grant_types_supported": list(grant_types),
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
    }
