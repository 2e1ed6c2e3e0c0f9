"""Checkpoints: signed statements of how far every chain had come.

A checkpoint has its number, its time, the hash of the one before it, and for every chain that moved
since then its head. It is JSON, signed byte for byte; numbers have no gaps. The first one announces
the key it is signed with; any later one may announce the key of those that follow.

A `Floor` says that by rule a chain now begins at `first`; the hash of the record before it stays.
"""

import hashlib
from typing import Annotated, NamedTuple

import msgspec

from ledger.audit.keys import PublicKey

FORMAT = 1

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class ChainHead(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How far a chain had come: its name, the number and the hash of its last record."""

    chain: str
    seq: int
    hash: Sha256


class Floor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a chain begins, and the hash of the last record that was removed."""

    chain: str
    first: int
    before: Sha256


class Checkpoint(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The body of a checkpoint. Hashes are hexadecimal; `at` is RFC 3339 in UTC.

    `count` is how many chains checkpoints have named so far, this one included. `key` is the id of
    the key that signs this one.
    """

    version: int
    number: int
    at: str
    previous: str
    key: str
    count: int
    chains: tuple[ChainHead, ...] = ()
    floors: tuple[Floor, ...] = ()
    announces: PublicKey | None = None


class SignedCheckpoint(NamedTuple):
    """A checkpoint as it is kept."""

    number: int
    body: bytes
    signature: bytes

    @property
    def hash(self) -> str:
        """What the next checkpoint names as `previous`."""
        return hashlib.sha256(self.body + self.signature).hexdigest()

    def read(self) -> Checkpoint | None:
        """Return what it says, or None where it is not the JSON of a checkpoint."""
        try:
            told = _read(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return told if encode(told) == self.body and told.version == FORMAT else None


encode = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(Checkpoint).decode
