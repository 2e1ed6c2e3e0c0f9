"""What must not be read by whoever reads the database: message bodies and patient contexts.

AES-256-GCM under one key (bytes of `nonce 12 · ciphertext · tag 16`), the row's id as associated
data so that a sealed value cannot be moved to another row. Pseudonyms are HMAC-SHA256 under a key
derived from the same secret: stable, so that two messages of one case meet; useless without it.
"""

import hashlib
import hmac
import os
from base64 import b32encode

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from canonical.context import PatientContext
from canonical.errors import InternalFault
from ledger.ids import new_id

_encode = msgspec.json.Encoder().encode
_context = msgspec.json.Decoder(PatientContext)


class Vault:
    """Seals, opens and pseudonymises under one 32-byte secret."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"suture seal" + secret).digest())
        self._pseudonym_key = hashlib.sha256(b"suture pseudonym" + secret).digest()

    def seal(self, row: str, body: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, body, row.encode())

    def open(self, row: str, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], row.encode())
        except (InvalidTag, ValueError) as exc:  # ValueError: cut off within the nonce
            raise InternalFault(
                "a sealed value does not open", where=row, fix="check SUTURE_KEY_FILE"
            ) from exc

    def seal_context(self, token: str, context: PatientContext) -> bytes:
        return self.seal(token, _encode(context))

    def open_context(self, token: str, sealed: bytes) -> PatientContext:
        return _context.decode(self.open(token, sealed))

    def pseudonym(self, kind: str, *parts: str) -> str:
        """Return `kind_…`, the same for the same parts, or '' where the last part is empty."""
        if not parts or not parts[-1]:
            return ""
        message = "\x1f".join((kind, *parts)).encode()
        digest = hmac.digest(self._pseudonym_key, message, "sha256")
        return f"{kind}_" + b32encode(digest[:15]).decode().lower()

    def new_token(self) -> str:
        """Return a fresh context token."""
        return new_id("ctx")
