"""The refusals of OAuth, in Authlib's words: one class a code (RFC 6749, 7591, 8693).

All of them are rendered here. A client that cannot prove who it is gets one and the same answer,
whatever was wrong with its proof.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Authlib has no types; what leaves this module has.

from collections.abc import Mapping

import msgspec
from authlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc7591.errors import (
    InvalidClientMetadataError,
    InvalidRedirectURIError,
    InvalidSoftwareStatementError,
    UnapprovedSoftwareStatementError,
)

__all__ = [
    "AccessDeniedError",
    "InvalidClientError",
    "InvalidClientMetadataError",
    "InvalidDpopProofError",
    "InvalidGrantError",
    "InvalidRedirectURIError",
    "InvalidRequestError",
    "InvalidScopeError",
    "InvalidSoftwareStatementError",
    "InvalidTargetError",
    "OAuth2Error",
    "Reply",
    "UnapprovedSoftwareStatementError",
    "UnauthorizedClientError",
    "UnsupportedGrantTypeError",
    "UseDpopNonceError",
    "answered",
    "refused",
]

Header = tuple[bytes, bytes]

_JSON: tuple[Header, ...] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
)
_CHALLENGE = (b"www-authenticate", b'Basic realm="suture", charset="UTF-8"')


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]
    """The token is wanted for an audience that is not ours (RFC 8693 2.2.2)."""

    error = "invalid_target"


class InvalidDpopProofError(OAuth2Error):  # type: ignore[misc]
    """The proof of possession does not hold (RFC 9449 5)."""

    error = "invalid_dpop_proof"


class UseDpopNonceError(OAuth2Error):  # type: ignore[misc]
    """The proof needs the nonce that is sent along (RFC 9449 8)."""

    error = "use_dpop_nonce"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint of the authorization server answers.

    `client` is who proved to be asking, `error` the code of a refusal, `object` what it was about:
    for the record.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes
    client: str = ""
    error: str = ""
    object: str = ""


def answered(
    body: Mapping[str, object], *, client: str = "", status: int = 200, about: str = ""
) -> Reply:
    """Return an answer that no cache may keep (RFC 6749 5.1)."""
    return Reply(
        status=status,
        headers=_JSON,
        body=msgspec.json.encode(body),
        client=client,
        object=about,
    )


def refused(error: OAuth2Error, *, client: str = "") -> Reply:
    """Return a refusal with its code and what to do about it."""
    code = str(error.error)
    if code == InvalidClientError.error:
        told = {"error": code, "error_description": "Unknown client or wrong secret."}
        return Reply(
            status=401,
            headers=(*_JSON, _CHALLENGE),
            body=msgspec.json.encode(told),
            client=client,
            error=code,
        )
    return Reply(
        status=int(error.status_code),
        headers=_JSON,
        body=msgspec.json.encode(dict(error.get_body())),
        client=client,
        error=code,
    )
