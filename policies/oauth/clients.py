"""OAuth clients, as the registry keeps them: with a salted hash, never with the secret."""

import hashlib
import hmac
import re
import secrets

import msgspec

from canonical.errors import InvalidRequest
from canonical.request import DataClass

_client_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
_scope = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+").fullmatch
"""scope-token of RFC 6749, appendix A.4."""


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A system that may ask for tokens. `facilities` empty means every facility; patient-linked
    data has to be granted by name.
    """

    client_id: str
    secret_hash: str
    secret_salt: str
    scopes: tuple[str, ...]
    facilities: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    data_classes: tuple[DataClass, ...] = ("supply", "financial")
    sla: str = "standard"
    active: bool = True

    def accepts(self, secret: str) -> bool:
        """Compare in constant time. A secret is 256 random bits: it needs no slow hash."""
        given = _digest(secret, self.secret_salt)
        return hmac.compare_digest(given, self.secret_hash)


def new_client(
    client_id: str, scopes: tuple[str, ...], facilities: tuple[str, ...] = ()
) -> tuple[OAuthClient, str]:
    """Return a client and its secret, which nobody can read again."""
    if not _client_id(client_id):
        raise InvalidRequest(
            "the client id cannot be used",
            where="clientId",
            expected="1 to 64 letters, digits, dots, hyphens and underscores",
        )
    for scope in scopes:
        if not _scope(scope):
            raise InvalidRequest(
                "a scope cannot be used", where="scopes", expected="printable, without spaces"
            )
    secret, salt = secrets.token_urlsafe(32), secrets.token_hex(16)
    client = OAuthClient(
        client_id=client_id,
        secret_hash=_digest(secret, salt),
        secret_salt=salt,
        scopes=scopes,
        facilities=facilities,
    )
    return client, secret


def _digest(secret: str, salt: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode(errors="replace")).hexdigest()
