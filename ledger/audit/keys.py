"""The keys that sign checkpoints: Ed25519 (RFC 8032) as JWKs (RFC 8037), kept as a JWK set.

A key's id is its thumbprint (RFC 7638). Which key signs next is said by the checkpoints themselves;
a set only holds what may be needed: the key in force, its successor, and older ones to verify.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from canonical.errors import InternalFault, MalformedMessage

_CHECKPOINT = b"suture audit checkpoint 1\n"
_EXPORT = b"suture audit export 1\n"
_FIX = "give a JWK set with a private Ed25519 key (kty OKP, RFC 8037) in SUTURE_AUDIT_KEY"


class PublicKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public key as a JWK; nothing in it is optional, so that one key has one spelling."""

    kty: str
    crv: str
    x: str

    @property
    def id(self) -> str:
        """The thumbprint: SHA-256 over the required members in the order of their names."""
        members = {"crv": self.crv, "kty": self.kty, "x": self.x}
        return _text(hashlib.sha256(msgspec.json.encode(members)).digest())

    def signed_checkpoint(self, body: bytes, signature: bytes) -> bool:
        """Whether this key signed `body` as a checkpoint."""
        return self._signed(_CHECKPOINT + body, signature)

    def signed_export(self, digest: bytes, signature: bytes) -> bool:
        """Whether this key signed `digest` as that of an export."""
        return self._signed(_EXPORT + digest, signature)

    def _signed(self, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(_octets(self.x)).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class _Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key of the set as it is kept: `d` only where it may sign."""

    kty: str
    crv: str
    x: str
    d: str = ""

    @property
    def public(self) -> PublicKey:
        return PublicKey(kty=self.kty, crv=self.crv, x=self.x)


class _KeySet(msgspec.Struct, frozen=True):
    keys: tuple[_Kept, ...]


_KEYS = tuple[_Kept, ...]


class AuditKeys:
    """A set of keys. It never changes: rotation makes a new one."""

    def __init__(self, kept: tuple[_Kept, ...]) -> None:
        self._kept = kept
        self._by_id = {key.public.id: key for key in kept}

    @property
    def first(self) -> PublicKey:
        """The newest key: it signs the first checkpoint, or is the one to announce."""
        return self._kept[0].public

    def public(self) -> tuple[PublicKey, ...]:
        return tuple(key.public for key in self._kept)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the JWK set that anybody may have."""
        shown = [
            {"kty": k.kty, "crv": k.crv, "x": k.x, "kid": kid, "alg": "EdDSA", "use": "sig"}
            for kid, k in self._by_id.items()
        ]
        return {"keys": shown}

    def signing(self, key_id: str) -> "Signing | None":
        """Return the private key of that id, where it is here."""
        kept = self._by_id.get(key_id)
        return Signing(kept.public, _octets(kept.d)) if kept and kept.d else None

    def with_new(self) -> "AuditKeys":
        """Return a set with a new key in front."""
        return AuditKeys((_new(), *self._kept))

    def encoded(self) -> bytes:
        """Return the JWK set with its private parts, for the file alone."""
        return msgspec.json.encode(_KeySet(self._kept))


class Signing:
    """A private key. Its text never shows it."""

    def __init__(self, public: PublicKey, secret: bytes) -> None:
        self.public = public
        self._key = Ed25519PrivateKey.from_private_bytes(secret)

    def checkpoint(self, body: bytes) -> bytes:
        return self._key.sign(_CHECKPOINT + body)

    def export(self, digest: bytes) -> bytes:
        return self._key.sign(_EXPORT + digest)


def new_audit_keys() -> AuditKeys:
    return AuditKeys((_new(),))


def audit_keys(text: bytes) -> AuditKeys:
    """Read a JWK set, or raise `InternalFault` with what to give instead."""
    try:
        kept = msgspec.json.decode(text, type=_KeySet).keys
        fits = bool(kept) and all(map(_fits, kept)) and bool(kept[0].d)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise InternalFault("the audit key cannot be read", fix=_FIX) from exc
    if not fits:
        raise InternalFault("the audit key cannot sign Ed25519", fix=_FIX)
    return AuditKeys(kept)


def public_key_ids(text: bytes) -> frozenset[str]:
    """Return the ids of the keys in a JWK or a JWK set, or raise `MalformedMessage`."""
    try:
        told = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        keys = msgspec.json.decode(told["keys"] if "keys" in told else b"[%b]" % text, type=_KEYS)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise MalformedMessage("the key cannot be read", expected="a JWK or a JWK set") from exc
    return frozenset(key.public.id for key in keys)


def _fits(key: _Kept) -> bool:
    if (key.kty, key.crv) != ("OKP", "Ed25519"):
        return False
    if not key.d:
        return len(_octets(key.x)) == len(_octets(_new().x))
    private = Ed25519PrivateKey.from_private_bytes(_octets(key.d))
    return _text(private.public_key().public_bytes_raw()) == key.x


def _new() -> _Kept:
    private = Ed25519PrivateKey.generate()
    return _Kept(
        kty="OKP",
        crv="Ed25519",
        x=_text(private.public_key().public_bytes_raw()),
        d=_text(private.private_bytes_raw()),
    )


def _text(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
