"""The keys under which values are sealed at rest: one is active and seals, all of them open.

A key's id is a fingerprint of its 32 bytes, so that the same key has the same id in every ring and
an id never stands for other bytes. The secret of pseudonyms is beside the keys and never rotates.
A plain secret (SUTURE_KEY) is a ring of one key. `KeyRing` is the ring as one process holds it: it
reads its file again when the file changed, and when it meets the id of a key it does not have.
"""

import hashlib
import logging
import re
import secrets
from base64 import b32encode
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from canonical.errors import NotFound, StateConflict
from ledger.key_file import KeyFile

log = logging.getLogger("suture.keys")

_BYTES = 32
VERSION = b"\x01"
HEADER = re.compile(rb"\x01(k[a-z2-7]{7})")
"""How a sealed value begins: the version of its form, and the id of its key."""
HEADER_BYTES = 9


def key_id(secret: bytes) -> str:
    """Return the fingerprint by which a key is known: `k` and seven letters or digits."""
    return "k" + b32encode(hashlib.sha256(b"suture key id" + secret).digest()).decode()[:7].lower()


class Key(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """One key. `unversioned`: it also opens what was sealed before values named their key."""

    id: str
    secret: bytes
    state: Literal["active", "retired"]
    created: datetime | None = None
    retired: datetime | None = None
    unversioned: bool = False

    def __post_init__(self) -> None:
        if len(self.secret) != _BYTES or self.id != key_id(self.secret):
            raise ValueError("a key is 32 bytes in base64, and its id their fingerprint")

    def __repr__(self) -> str:
        return f"Key({self.id}, {self.state})"


class Ring(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A set of keys as it is kept: exactly one is active. It never changes, it is replaced."""

    pseudonym_secret: bytes
    keys: tuple[Key, ...]

    def __post_init__(self) -> None:
        if len(self.pseudonym_secret) != _BYTES:
            raise ValueError("the secret of pseudonyms is 32 bytes in base64")
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("a key is in the ring once")
        if [key.state for key in self.keys].count("active") != 1:
            raise ValueError("exactly one key is active")

    def __repr__(self) -> str:
        return f"Ring({', '.join(map(repr, self.keys))})"

    @property
    def active(self) -> Key:
        return next(key for key in self.keys if key.state == "active")

    def key(self, name: str) -> Key:
        """Return a key by its id, or raise `NotFound`."""
        for key in self.keys:
            if key.id == name:
                return key
        raise NotFound("no such key in the ring", where=name, expected=self.named())

    def named(self) -> str:
        return ", ".join(key.id for key in self.keys)

    def rotated(self, now: datetime) -> "Ring":
        """Return a ring with a new active key; the one before it only opens from now on."""
        retired = [
            msgspec.structs.replace(key, state="retired", retired=now)
            if key.state == "active"
            else key
            for key in self.keys
        ]
        return msgspec.structs.replace(self, keys=(_new_key(now), *retired))

    def without(self, name: str) -> "Ring":
        """Return a ring that has lost a retired key, and with it whatever only that key opens."""
        if self.key(name).state == "active":
            raise StateConflict(
                "the active key cannot be removed", where=name, fix="suture keys rotate, first"
            )
        kept = tuple(key for key in self.keys if key.id != name)
        return msgspec.structs.replace(self, keys=kept)


def _new_key(now: datetime) -> Key:
    secret = secrets.token_bytes(_BYTES)
    return Key(id=key_id(secret), secret=secret, state="active", created=now)


def new_ring(now: datetime) -> Ring:
    """Return a ring with one fresh key."""
    return Ring(pseudonym_secret=secrets.token_bytes(_BYTES), keys=(_new_key(now),))


def plain_ring(secret: bytes, now: datetime | None = None) -> Ring:
    """Return the ring of one secret: its key, its pseudonyms, the values of times before rings."""
    sealing = hashlib.sha256(b"suture seal" + secret).digest()
    key = Key(id=key_id(sealing), secret=sealing, state="active", created=now, unversioned=True)
    return Ring(pseudonym_secret=hashlib.sha256(b"suture pseudonym" + secret).digest(), keys=(key,))


_decode = msgspec.json.Decoder(Ring).decode


def read_ring(text: bytes) -> Ring:
    """Return the ring that a JSON text holds; raise `msgspec.DecodeError` without its values."""
    return _decode(text)


def ring_text(ring: Ring) -> bytes:
    """Return a ring as its file keeps it, secrets included."""
    return msgspec.json.format(msgspec.json.encode(ring), indent=2) + b"\n"


class KeyRing:
    """The ring as one process holds it: `file` is where it is kept, None where it was given."""

    def __init__(self, ring: Ring, file: KeyFile | None = None) -> None:
        self._file = file
        self._stamp: tuple[int, ...] | None = None
        self._take(ring)

    def __repr__(self) -> str:
        return f"KeyRing({self.ring!r})"

    @property
    def file(self) -> KeyFile | None:
        return self._file

    def sealing(self) -> tuple[bytes, AESGCM]:
        """Return the header and the cipher of the active key, that of a changed file at once."""
        self.refresh()
        return self._active

    def refresh(self) -> None:
        """Read the file again if it changed: one look at the folder (`stat`) where it did not."""
        if self._file is not None and (stamp := self._file.stamp()) not in (None, self._stamp):
            self._read(self._file, stamp)

    def opening(self, name: str) -> AESGCM | None:
        """Return the cipher of a key, or None where neither the ring nor its file has it."""
        if name not in self._ciphers and self._file is not None:
            self._read(self._file, self._file.stamp())
        return self._ciphers.get(name)

    def unversioned(self) -> list[AESGCM]:
        """Return the ciphers of values that name no key."""
        return [self._ciphers[key.id] for key in self.ring.keys if key.unversioned]

    def change(self, change: Callable[[Ring], Ring]) -> Ring:
        """Replace the ring and its file by what `change` makes of the file's, one at a time."""
        if self._file is None:
            raise StateConflict(
                "the key ring was given by the environment and cannot be changed here",
                fix="name a file in SUTURE_KEY_RING_FILE: it is made from SUTURE_KEY, once",
            )
        kept = self._file.replace(lambda text: ring_text(change(read_ring(text))))
        self._stamp = None  # the file may have been replaced again by now
        self._take(read_ring(kept))
        return self.ring

    def _read(self, file: KeyFile, stamp: tuple[int, ...] | None) -> None:
        """Take what the file says now; where that does not hold, keep what is known."""
        self._stamp = stamp
        try:
            ring = read_ring(file.read())
        except (OSError, msgspec.DecodeError) as exc:
            log.warning("the key ring file does not hold: %s", type(exc).__name__)
            return
        if ring.pseudonym_secret != self.ring.pseudonym_secret:
            log.warning("the key ring file is another ring now: it is not taken")
            return
        self._take(ring)

    def _take(self, ring: Ring) -> None:
        self.ring = ring
        self._ciphers = {key.id: AESGCM(key.secret) for key in ring.keys}
        name = ring.active.id
        self._active = (VERSION + name.encode(), self._ciphers[name])
