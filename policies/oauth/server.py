"""The token endpoint for client_credentials (RFC 6749 4.4), on Authlib's protocol core.

The core is synchronous and asks for the client in the middle of things. Who asks is known from the
request alone, so the client is looked up first and the core then runs without waiting.
An unknown, an inactive and a lying client get one and the same answer.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# Authlib has no types; what enters and leaves this module has.

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import cast
from urllib.parse import parse_qsl, unquote

import msgspec
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientCredentialsGrant,
    ClientMixin,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from policies.oauth.clients import OAuthClient
from policies.oauth.tokens import TokenIssuer

Header = tuple[bytes, bytes]
TokenResponse = tuple[int, list[Header], bytes]
FindClient = Callable[[str], Awaitable[OAuthClient | None]]

_AUTH_METHODS = ("client_secret_basic", "client_secret_post")
_GRANT = "client_credentials"
_MOST_PARAMETERS = 20


async def token_response(
    form_body: bytes,
    headers: Iterable[Header],
    find_client: FindClient,
    issuer: TokenIssuer,
    now: float,
) -> TokenResponse:
    """Answer one request to the token endpoint, with a token or an error of RFC 6749 5.2."""
    sent = {name.lower(): value for name, value in headers}
    try:
        form = _form(form_body, sent.get(b"content-type", b""))
        basic = _basic_credentials(sent.get(b"authorization", b""))
        if basic and "client_secret" in form:
            raise InvalidRequestError("The client authenticates in more than one way.")
    except OAuth2Error as error:
        return _refusal(error)
    client_id = basic[0] if basic else form.get("client_id", "")
    client = await find_client(client_id) if client_id else None
    server = _Server(client, form.get("scope"), issuer, now)
    request = _TokenRequest(form, sent.get(b"authorization", b"") if basic else b"")
    return cast("TokenResponse", server.create_token_response(request))


def metadata(issuer: str, scopes: tuple[str, ...] = ()) -> dict[str, str | list[str]]:
    """Return the authorization server metadata of RFC 8414 2."""
    root = issuer.rstrip("/")
    return {
        "issuer": issuer,
        "token_endpoint": f"{root}/oauth/token",
        "jwks_uri": f"{root}/oauth/jwks",
        "scopes_supported": list(scopes),
        "response_types_supported": [],
        "grant_types_supported": [_GRANT],
        "token_endpoint_auth_methods_supported": list(_AUTH_METHODS),
    }


def _form(body: bytes, content_type: bytes) -> dict[str, str]:
    if content_type.split(b";")[0].strip().lower() != b"application/x-www-form-urlencoded":
        raise InvalidRequestError("The body is application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(body.decode(), max_num_fields=_MOST_PARAMETERS, errors="strict")
    except ValueError as exc:
        raise InvalidRequestError("The body cannot be read.") from exc
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidRequestError("A parameter is sent more than once.")
    if "grant_type" not in form:
        raise InvalidRequestError("The parameter grant_type is missing.")
    return form


def _basic_credentials(authorization: bytes) -> tuple[str, str] | None:
    """Read the credentials of RFC 6749 2.3.1; what cannot be read is as good as absent."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote(client_id), unquote(secret)) if colon else None


def _response(
    status: int, body: Mapping[str, object], headers: Iterable[tuple[str, str]]
) -> TokenResponse:
    if body.get("error") == "invalid_client":
        status = 401
        body = {"error": "invalid_client", "error_description": "Unknown client or wrong secret."}
        headers = [
            *(header for header in headers if header[0].lower() != "www-authenticate"),
            ("WWW-Authenticate", 'Basic realm="suture", charset="UTF-8"'),
        ]
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
    return status, encoded, msgspec.json.encode(body)


def _refusal(error: OAuth2Error) -> TokenResponse:
    return _response(error.status_code, dict(error.get_body()), error.get_headers())


class _TokenRequest(OAuth2Request):  # type: ignore[misc]
    """One request in Authlib's words."""

    def __init__(self, form: dict[str, str], authorization: bytes) -> None:
        # Authlib refuses plain http by the address; whether there is TLS is decided at the edge.
        headers = {"Authorization": authorization.decode("latin-1")}
        super().__init__("POST", "https://token.invalid/oauth/token", headers=headers)
        self.payload = BasicOAuth2Payload(form)
        self._sent = form

    @property
    def form(self) -> dict[str, str]:
        return self._sent


class _Caller(ClientMixin):  # type: ignore[misc]
    """One client in Authlib's words; None is a client whom no secret opens."""

    def __init__(self, client: OAuthClient | None) -> None:
        self._client = client

    def check_client_secret(self, client_secret: str) -> bool:
        known = self._client
        return known is not None and known.active and known.accepts(client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint == "token" and method in _AUTH_METHODS

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == _GRANT


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = _AUTH_METHODS

    def create_token_response(self) -> tuple[int, dict[str, str | int], list[tuple[str, str]]]:
        """Replace Authlib's own, which writes the token into its debug log."""
        token: dict[str, str | int] = self.generate_token()
        return 200, token, list(self.TOKEN_RESPONSE_HEADER)


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server for one request, with the client and the scope that were looked up."""

    def __init__(
        self, client: OAuthClient | None, scope: str | None, issuer: TokenIssuer, now: float
    ) -> None:
        super().__init__()
        self._client = client
        self._scope = scope
        self._issuer = issuer
        self._now = now
        self.register_grant(_Grant)

    def query_client(self, client_id: str) -> _Caller:  # noqa: ARG002 - looked up before
        return _Caller(self._client)

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def handle_response(  # pyright: ignore[reportIncompatibleMethodOverride] - stub is wrong
        self, status: int, body: Mapping[str, object], headers: Iterable[tuple[str, str]]
    ) -> TokenResponse:
        return _response(status, body, headers)

    def validate_requested_scope(self, scope: str | None) -> None:
        self._granted(scope)

    def generate_token(self, *_: object, **__: object) -> dict[str, str | int]:
        scopes = self._granted(self._scope)
        if self._client is None:
            raise InvalidClientError
        return {
            "access_token": self._issuer.issue(self._client, scopes, self._now),
            "token_type": "Bearer",
            "expires_in": self._issuer.lifetime_seconds,
            "scope": " ".join(scopes),
        }

    def _granted(self, requested: str | None) -> tuple[str, ...]:
        """Return what was asked for, or all the client has when it asks for nothing in particular.

        Asking for more is refused, never silently narrowed (RFC 6749 3.3).
        """
        owned = self._client.scopes if self._client else ()
        wanted = owned if requested is None else tuple(dict.fromkeys(requested.split()))
        if not wanted or not set(wanted) <= set(owned):
            raise InvalidScopeError
        return wanted
