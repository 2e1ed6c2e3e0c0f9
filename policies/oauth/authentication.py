"""How a client proves who it is: a secret (RFC 6749 2.3.1), an assertion it signed (RFC 7523), or
the certificate of its connection (RFC 8705 2.1).

One way per call, and only the way that the client was registered for: a client with a key cannot be
impersonated with a secret, nor the other way round. Whatever is wrong, the answer is the same.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import msgspec

from policies.oauth.assertions import ASSERTION_TYPE, Assertions, claimed_client
from policies.oauth.certificates import names_in
from policies.oauth.clients import OAuthClient, is_client_id
from policies.oauth.refusals import InvalidClientError, InvalidRequestError
from policies.oauth.server import Call, Form

FindClient = Callable[[str], Awaitable[OAuthClient | None]]

SECRET_METHODS = ("client_secret_basic", "client_secret_post")
AUTH_METHODS = (*SECRET_METHODS, "private_key_jwt")
"""As the metadata names them (RFC 8414 2)."""


class ClientAuthentication(msgspec.Struct, frozen=True, kw_only=True):
    """Authenticates clients that `find` knows. `assertions` checks what clients signed."""

    find: FindClient
    assertions: Assertions

    async def __call__(self, call: Call, form: Form) -> OAuthClient:
        """Return the client that proved who it is; raise InvalidClientError where none did."""
        basic = _basic_credentials(call.header(b"authorization") or b"")
        ways = (basic is not None, "client_secret" in form, "client_assertion" in form)
        if sum(ways) > 1:
            raise InvalidRequestError("The client authenticates in more than one way.")
        if "client_assertion" in form or "client_assertion_type" in form:
            return await self._by_assertion(form, call.now)
        client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret"))
        if form.get("client_id", client_id) != client_id:
            raise InvalidClientError
        client = await self._active(client_id)
        if secret is None:
            return _by_certificate(client, call.certificate)
        if client.auth_method != "client_secret" or not client.accepts(secret, call.now):
            raise InvalidClientError
        return client

    async def _by_assertion(self, form: Form, now: float) -> OAuthClient:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidClientError
        assertion = form.get("client_assertion", "")
        client_id = claimed_client(assertion)
        if form.get("client_id", client_id) != client_id:
            raise InvalidClientError
        client = await self._active(client_id)
        if client.auth_method != "private_key_jwt":
            raise InvalidClientError
        await self.assertions.check(assertion, client, now)
        return client

    async def _active(self, client_id: str) -> OAuthClient:
        client = await self.find(client_id) if is_client_id(client_id) else None
        if client is None or not client.active:
            raise InvalidClientError
        return client


def _by_certificate(client: OAuthClient, shown: bytes | None) -> OAuthClient:
    """Return a client that proves itself by its certificate, or has no proof of its own."""
    if client.auth_method == "none":
        return client
    if client.auth_method != "tls_client_auth" or shown is None:
        raise InvalidClientError
    if not client.tls_subject or client.tls_subject not in names_in(shown):
        raise InvalidClientError
    return client


def _basic_credentials(authorization: bytes) -> tuple[str, str] | None:
    """Read the credentials of RFC 6749 2.3.1; what cannot be read is as good as absent."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote(client_id), unquote(secret)) if colon else None
