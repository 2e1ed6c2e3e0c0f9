"""What must not be read by whoever reads the database: message bodies and patient contexts.

AES-256-GCM under the active key of a ring (`ledger/key_ring.py`). A sealed value is `version 1 ·
key id 8 · nonce 12 · ciphertext · tag 16` bytes; version, key id and the row's id are associated
data, so that a value cannot be moved to another row or said to be of another key. Values of times
before rings are `nonce 12 · ciphertext · tag 16` with the row's id alone, and open as they did.
Pseudonyms are HMAC-SHA256 under a secret of the ring that never rotates: stable, so that two
messages of one case meet; useless without it.
"""

import hmac
import os
from base64 import b32encode

import msgspec
from cryptography.exceptions import InvalidTag

from canonical.context import PatientContext
from canonical.errors import InternalFault, MissingKey
from ledger.ids import new_id
from ledger.key_ring import HEADER, HEADER_BYTES, KeyRing, plain_ring

_encode = msgspec.json.Encoder().encode
_context = msgspec.json.Decoder(PatientContext)


_NONCE_BYTES = 12


class Vault:
    """Seals, opens and pseudonymises under a ring of keys, or one secret as a ring of its own."""

    def __init__(self, secret: bytes | KeyRing) -> None:
        self.keys = secret if isinstance(secret, KeyRing) else KeyRing(plain_ring(secret))
        self._pseudonym_key = self.keys.ring.pseudonym_secret

    def seal(self, row: str, body: bytes) -> bytes:
        header, cipher = self.keys.sealing()
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + cipher.encrypt(nonce, body, header + row.encode())

    def open(self, row: str, sealed: bytes) -> bytes:
        """Return what was sealed in this row; raise `MissingKey`, or `InternalFault` if damaged."""
        named = HEADER.match(sealed)
        cipher = self.keys.opening(named[1].decode()) if named else None
        tried = [] if cipher is None else [(cipher, sealed[:HEADER_BYTES])]
        for opener, header in (*tried, *((old, b"") for old in self.keys.unversioned())):
            nonce, rest = _parted(sealed[len(header) :])
            try:
                return opener.decrypt(nonce, rest, header + row.encode())
            except (InvalidTag, ValueError):  # ValueError: cut off within the nonce
                continue
        if named and cipher is None:
            raise _missing(row, named[1].decode(), self.keys)
        raise InternalFault(
            "a sealed value does not open",
            where=row,
            fix=f"check SUTURE_KEY_FILE or the key ring, which holds {self.keys.ring.named()}",
        )

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


def _parted(value: bytes) -> tuple[bytes, bytes]:
    return value[:_NONCE_BYTES], value[_NONCE_BYTES:]


def _missing(row: str, name: str, keys: KeyRing) -> MissingKey:
    return MissingKey(
        f"the key {name} that sealed a value is not in the key ring",
        where=row,
        expected=f"one of {keys.ring.named()}",
        fix=f"put key {name} back into the key ring (SUTURE_KEY_RING_FILE, or SUTURE_KEY_FILE)",
    )
