"""Clients that register themselves (RFC 7591): into the sandbox, until a person promotes them.

What the signed statement says counts before what the caller says. A new client may try the
protocol: it sees no facility, and gets the scopes of the sandbox. What it asked for is kept as its
wish. It proves itself with keys, or with a secret that is shown once.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import get_args
from urllib.parse import SplitResult, urlsplit

import msgspec

from canonical.errors import InvalidRequest
from canonical.request import DataClass
from policies.oauth.authentication import AUTH_METHODS, SECRET_METHODS
from policies.oauth.client_keys import public_keys
from policies.oauth.clients import (
    CLIENT_CREDENTIALS,
    OAuthClient,
    PublicKey,
    Wish,
    check_scopes,
    new_client,
)
from policies.oauth.refusals import (
    InvalidClientMetadataError,
    InvalidRedirectURIError,
    InvalidSoftwareStatementError,
    OAuth2Error,
    Reply,
    answered,
    refused,
)
from policies.oauth.server import Call
from policies.oauth.statements import StatementIssuer, Statements

SANDBOX = "sandbox"
"""The tier of service of clients that nobody has looked at, and the only facility they see: one
that no hospital has.
"""
_LONGEST_BODY = 65_536
_MOST = 50


class RegistrationTerms(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """Whose statements let a client register itself, and what it may do in the sandbox. Without
    issuers nobody can.
    """

    issuers: tuple[StatementIssuer, ...] = ()
    sandbox_scopes: tuple[str, ...] = ()


class _Metadata(msgspec.Struct, frozen=True):
    """What is said of a client (RFC 7591 2), by the statement or by the caller."""

    token_endpoint_auth_method: str = AUTH_METHODS[0]
    grant_types: tuple[str, ...] = (CLIENT_CREDENTIALS,)
    redirect_uris: tuple[str, ...] = ()
    client_name: str = ""
    scope: str = ""
    jwks: msgspec.Raw = msgspec.Raw(b"")
    jwks_uri: str = ""
    software_id: str = ""
    facilities: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    data_classes: tuple[str, ...] = ("supply",)


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """The registration endpoint. `keep` adds a client that is in the book by then."""

    terms: RegistrationTerms
    statements: Statements
    grant_types: tuple[str, ...]
    keep: Callable[[OAuthClient], Awaitable[None]]

    async def answer(self, call: Call) -> Reply:
        """Register a client, or say in the words of RFC 7591 3.2.2 why not."""
        try:
            asked = _asked(call)
            statement = _statement(asked)
            said = await self.statements.checked(statement, call.now)
            told = _metadata({**asked, **said})
            client, secret = self._client(told)
            await self.keep(client)
        except OAuth2Error as error:
            return refused(error)
        shown = _registered(client, told, call.now) | {"software_statement": statement}
        if secret:
            shown |= {"client_secret": secret, "client_secret_expires_at": 0}
        return answered(shown, client=client.client_id, status=201, about=client.client_id)

    def _client(self, told: _Metadata) -> tuple[OAuthClient, str]:
        if told.token_endpoint_auth_method not in AUTH_METHODS:
            raise InvalidClientMetadataError("token_endpoint_auth_method is none of ours.")
        if not told.grant_types or not set(told.grant_types) <= set(self.grant_types):
            raise InvalidClientMetadataError("grant_types has one that is not supported.")
        wish = _wish(told)
        keys = _keys(told)
        scopes = tuple(scope for scope in self.terms.sandbox_scopes if scope in wish.scopes)
        client, secret = new_client(f"reg-{secrets.token_hex(8)}", scopes, (SANDBOX,))
        client = msgspec.structs.replace(
            client,
            name=told.client_name[:100],
            data_classes=("supply",),
            sla=SANDBOX,
            grant_types=told.grant_types,
            redirect_uris=_redirects(told.redirect_uris),
            software=told.software_id[:100],
            wish=wish,
        )
        if told.token_endpoint_auth_method in SECRET_METHODS:
            return client, secret
        return with_keys(client, keys, told.jwks_uri), ""


def with_keys(client: OAuthClient, keys: tuple[PublicKey, ...], jwks_uri: str) -> OAuthClient:
    """Return the client as one that proves itself by what it signs; it has no secret any more."""
    return msgspec.structs.replace(
        client,
        auth_method="private_key_jwt",
        jwks=keys,
        jwks_uri=jwks_uri,
        secret_hash="",
        secret_salt="",
        earlier_secret=None,
    )


def _asked(call: Call) -> dict[str, msgspec.Raw]:
    kind = (call.header(b"content-type") or b"").split(b";")[0].strip().lower()
    if kind != b"application/json" or len(call.body) > _LONGEST_BODY:
        raise InvalidClientMetadataError("The body is application/json, and 64 KiB at most.")
    try:
        return _members.decode(call.body)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise InvalidClientMetadataError("The body is not a JSON object.") from exc


def _statement(asked: dict[str, msgspec.Raw]) -> str:
    try:
        return msgspec.json.decode(asked["software_statement"], type=str)
    except (KeyError, msgspec.MsgspecError) as exc:
        raise InvalidSoftwareStatementError("A software_statement is needed.") from exc


def _metadata(told: dict[str, msgspec.Raw]) -> _Metadata:
    try:
        read = msgspec.json.decode(msgspec.json.encode(told), type=_Metadata)
    except msgspec.MsgspecError as exc:
        raise InvalidClientMetadataError("A member is not of the type of RFC 7591 2.") from exc
    names = (read.client_name, read.software_id, *read.facilities, *read.roles)
    if not all(name.isprintable() for name in names):
        raise InvalidClientMetadataError("A name has characters that cannot be printed.")
    return read


def _wish(told: _Metadata) -> Wish:
    scopes = tuple(dict.fromkeys(told.scope.split()))
    known: tuple[DataClass, ...] = get_args(DataClass)
    try:
        check_scopes(scopes)
    except InvalidRequest as exc:
        raise InvalidClientMetadataError("A scope cannot be used.") from exc
    if max(len(scopes), len(told.facilities), len(told.roles)) > _MOST:
        raise InvalidClientMetadataError("Too much is asked for.")
    if not set(told.data_classes) <= set(known):
        raise InvalidClientMetadataError("data_classes has one that is not known.")
    return Wish(
        scopes=scopes,
        facilities=told.facilities,
        roles=told.roles,
        data_classes=tuple(each for each in known if each in told.data_classes),
    )


def _keys(told: _Metadata) -> tuple[PublicKey, ...]:
    """Return the keys in hand; a client that signs needs them, or an https address of them."""
    if told.jwks and told.jwks_uri:
        raise InvalidClientMetadataError("jwks and jwks_uri exclude each other.")
    if told.jwks:
        try:
            return public_keys(bytes(told.jwks))
        except InvalidRequest as exc:
            raise InvalidClientMetadataError("jwks has a key that cannot be used.") from exc
    if told.jwks_uri:
        check_https(told.jwks_uri)
    elif told.token_endpoint_auth_method not in SECRET_METHODS:
        raise InvalidClientMetadataError("private_key_jwt needs jwks or jwks_uri.")
    return ()


def _parts(address: str) -> SplitResult | None:
    """Split an address; None where it is none, or has characters that programs read differently."""
    if not address.isascii() or not address.isprintable() or set(address) & set(' \\"<>'):
        return None
    try:
        parts = urlsplit(address)
        known = parts.hostname is not None and parts.port != 0
    except ValueError:
        return None
    return parts if known else None


def check_https(address: str) -> None:
    """Raise for what is no plain https address."""
    parts = _parts(address)
    if parts is None or parts.scheme != "https" or parts.username or parts.fragment:
        raise InvalidClientMetadataError("jwks_uri is an https address.")


def _redirects(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Check where people may be sent back to: https, or this very device (RFC 8252 7.3)."""
    for address in addresses:
        parts = _parts(address)
        own = parts is not None and parts.hostname in ("127.0.0.1", "::1")
        good = parts is not None and (parts.scheme == "https" or (parts.scheme == "http" and own))
        if not good or "#" in address or "*" in address or "@" in address:
            raise InvalidRedirectURIError("A redirect_uri is https, exact, without a fragment.")
    if len(addresses) > _MOST:
        raise InvalidRedirectURIError("Too many redirect_uris.")
    return addresses


def _registered(client: OAuthClient, told: _Metadata, now: float) -> dict[str, object]:
    shown: dict[str, object] = {
        "client_id": client.client_id,
        "client_id_issued_at": int(now),
        "token_endpoint_auth_method": told.token_endpoint_auth_method,
        "grant_types": client.grant_types,
        "redirect_uris": client.redirect_uris,
        "client_name": client.name,
        "software_id": client.software,
        "scope": " ".join(client.scopes),
    }
    if client.jwks_uri:
        shown["jwks_uri"] = client.jwks_uri
    if client.jwks:
        shown["jwks"] = {"keys": client.jwks}
    return shown
