"""OAuth clients, as the registry keeps them: with salted hashes, never with a secret."""

import hashlib
import hmac
import math
import re
import secrets
from typing import Literal, get_args

import msgspec

from canonical.errors import InvalidRequest
from canonical.request import DataClass

CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name (RFC 8693)
INTROSPECT = "oauth.tokens:introspect"
"""Who has this scope may introspect the tokens of others."""
ACT = "oauth.tokens:act"
"""Who has this scope may exchange the tokens of others, and acts for them."""

AuthMethod = Literal["client_secret", "private_key_jwt", "tls_client_auth", "none"]
"""How a client proves who it is: by a secret (basic or post), by an assertion that it signed, by
its certificate, or not at all (an app in the hands of people: its grants prove something else).
"""

Binding = Literal["dpop", "certificate"]
"""What a token can be bound to: a key that its bearer proves to have (RFC 9449), or the certificate
of its connection (RFC 8705).
"""
BINDINGS: tuple[Binding, ...] = get_args(Binding)

PublicKey = dict[str, str]
"""A public JWK: `kty`, `kid`, `crv`, `x`, `y`, `n`, `e`, `alg`, `use`."""

_client_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
_scope = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+").fullmatch
"""scope-token of RFC 6749, appendix A.4."""


class EarlierSecret(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A secret that was replaced: good until `until` (seconds), so that nobody is cut off."""

    secret_hash: str
    secret_salt: str
    until: float


class Wish(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client that registered itself asked for, until a person gives it."""

    scopes: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    data_classes: tuple[DataClass, ...] = ("supply",)


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A system that may ask for tokens. `facilities` empty means every facility; patient-linked
    data has to be granted by name.

    `grant_types` are those it may use. `jwks`, or what is found at `jwks_uri`, verifies its
    assertions. `wish` and `software` are of clients that registered themselves (RFC 7591).
    `tls_subject` is the name in its certificate, as `dns:…`, `uri:…`, `email:…`, `ip:…` or `dn:…`
    (RFC 8705 2.1.2). `binds` says what its tokens are bound to, asked for or not.
    """

    client_id: str
    secret_hash: str = ""
    secret_salt: str = ""
    scopes: tuple[str, ...]
    facilities: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    data_classes: tuple[DataClass, ...] = ("supply", "financial")
    sla: str = "standard"
    active: bool = True
    name: str = ""
    auth_method: AuthMethod = "client_secret"
    grant_types: tuple[str, ...] = (CLIENT_CREDENTIALS, TOKEN_EXCHANGE)
    redirect_uris: tuple[str, ...] = ()
    jwks: tuple[PublicKey, ...] = ()
    jwks_uri: str = ""
    earlier_secret: EarlierSecret | None = None
    wish: Wish | None = None
    software: str = ""
    tls_subject: str = ""
    binds: tuple[Binding, ...] = ()

    def accepts(self, secret: str, now: float = math.inf) -> bool:
        """Compare in constant time. A secret is 256 random bits: it needs no slow hash."""
        if not self.secret_hash:
            return False
        if hmac.compare_digest(_digest(secret, self.secret_salt), self.secret_hash):
            return True
        earlier = self.earlier_secret
        if earlier is None or now >= earlier.until:
            return False
        return hmac.compare_digest(_digest(secret, earlier.secret_salt), earlier.secret_hash)


def new_client(
    client_id: str, scopes: tuple[str, ...], facilities: tuple[str, ...] = ()
) -> tuple[OAuthClient, str]:
    """Return a client and its secret, which nobody can read again."""
    check_client_id(client_id)
    check_scopes(scopes)
    secret, salt = secrets.token_urlsafe(32), secrets.token_hex(16)
    client = OAuthClient(
        client_id=client_id,
        secret_hash=_digest(secret, salt),
        secret_salt=salt,
        scopes=scopes,
        facilities=facilities,
    )
    return client, secret


def with_new_secret(
    client: OAuthClient, now: float, overlap_seconds: float
) -> tuple[OAuthClient, str]:
    """Return the client with a new secret; the one it had stays good for `overlap_seconds`."""
    secret, salt = secrets.token_urlsafe(32), secrets.token_hex(16)
    earlier = EarlierSecret(
        secret_hash=client.secret_hash,
        secret_salt=client.secret_salt,
        until=now + overlap_seconds,
    )
    rotated = msgspec.structs.replace(
        client,
        secret_hash=_digest(secret, salt),
        secret_salt=salt,
        earlier_secret=earlier if client.secret_hash and overlap_seconds > 0 else None,
    )
    return rotated, secret


def with_certificate(client: OAuthClient, subject: str) -> OAuthClient:
    """Return the client as one that proves itself by its certificate (RFC 8705 2.1)."""
    kind, _, name = subject.partition(":")
    if kind not in ("dns", "uri", "email", "ip", "dn") or not name:
        raise InvalidRequest(
            "the name of the certificate cannot be used",
            where="tlsSubject",
            expected="dns:NAME, uri:…, email:…, ip:… or dn:… as RFC 4514 writes it",
        )
    return msgspec.structs.replace(
        client,
        secret_hash="",
        secret_salt="",
        auth_method="tls_client_auth",
        tls_subject=subject,
    )


def is_client_id(text: str) -> bool:
    """Return whether a client may be called so: only then is it looked for."""
    return _client_id(text) is not None


def check_client_id(client_id: str) -> None:
    """Raise `InvalidRequest` for an id that breaks headers or keys."""
    if not is_client_id(client_id):
        raise InvalidRequest(
            "the client id cannot be used",
            where="clientId",
            expected="1 to 64 letters, digits, dots, hyphens and underscores",
        )


def check_scopes(scopes: tuple[str, ...]) -> None:
    """Raise `InvalidRequest` for a scope that cannot be sent."""
    for scope in scopes:
        if not _scope(scope):
            raise InvalidRequest(
                "a scope cannot be used", where="scopes", expected="printable, without spaces"
            )


def _digest(secret: str, salt: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode(errors="replace")).hexdigest()
