"""Where the keys come from: SUTURE_KEY_RING, SUTURE_KEY_RING_FILE, SUTURE_KEY, or a file made once.

The first that is set counts. A ring file that is not there yet is made, once, whichever process
comes first: from SUTURE_KEY where that is set too, from the secret that an earlier version kept in
`keys/ledger.key`, or fresh. The keys that sign audit checkpoints come from SUTURE_AUDIT_KEY(_FILE),
a JWK set, or from a file made once as well.
"""

from pathlib import Path

import msgspec

from canonical.clock import utc_now
from gateway.config import Config, ConfigurationRefused, secret, setting
from ledger.audit.keys import AuditKeys, audit_keys, new_audit_keys
from ledger.key_file import KeyFile
from ledger.key_ring import KeyRing, Ring, new_ring, plain_ring, read_ring, ring_text

_NAME = "ring.json"


def ledger_keys(config: Config) -> KeyRing:
    """Return the ring that seals bodies and contexts, or raise `ConfigurationRefused`."""
    given, named, plain = (
        setting("SUTURE_KEY_RING"),
        setting("SUTURE_KEY_RING_FILE"),
        secret("SUTURE_KEY").encode(),
    )
    if given:
        return KeyRing(_checked(_read(given.encode(), "SUTURE_KEY_RING"), plain))
    if named:
        ring = plain_ring(plain, utc_now()) if plain else new_ring(utc_now())
        return _from_file(Path(named), ring, plain)
    if plain:
        return KeyRing(plain_ring(plain))
    folder = keys_folder(config)
    earlier = folder / "ledger.key"
    known = earlier.read_bytes() if earlier.exists() else b""
    ring = plain_ring(known, utc_now()) if known else new_ring(utc_now())
    return _from_file(folder / _NAME, ring, known=b"")


def keys_folder(config: Config) -> Path:
    """Return where this installation keeps the keys it makes itself."""
    return Path(config.state_folder).resolve() / "keys"


def _from_file(path: Path, first: Ring, known: bytes) -> KeyRing:
    file = KeyFile(path)
    try:
        text = file.read() if file.path.exists() else file.make(ring_text(first))
    except OSError as exc:
        raise ConfigurationRefused(
            f"the key ring {path} cannot be read or made: {type(exc).__name__}"
        ) from exc
    return KeyRing(_checked(_read(text, str(path)), known), file)


def _read(text: bytes, where: str) -> Ring:
    try:
        return read_ring(text)
    except msgspec.DecodeError as exc:
        raise ConfigurationRefused(f"the key ring of {where} does not hold: {exc}") from exc


def _checked(ring: Ring, plain: bytes) -> Ring:
    """Refuse a secret beside a ring of others: somebody believes that it counts."""
    if plain and plain_ring(plain).pseudonym_secret != ring.pseudonym_secret:
        raise ConfigurationRefused(
            "SUTURE_KEY is not the secret that the key ring began with: take one of them away"
        )
    return ring


def forget_earlier(config: Config, removed: str) -> None:
    """Delete the secret that an earlier version kept, where it is the key that was removed."""
    earlier = keys_folder(config) / "ledger.key"
    if earlier.exists() and plain_ring(earlier.read_bytes()).active.id == removed:
        earlier.unlink()


def kept_audit_keys(config: Config) -> AuditKeys:
    """Return the keys that sign audit checkpoints, made first where there are none."""
    file = audit_key_file(config)
    if file is None:
        return audit_keys(secret("SUTURE_AUDIT_KEY").encode())
    made = not file.path.exists()
    try:
        return audit_keys(file.make(new_audit_keys().encoded()) if made else file.read())
    except OSError as exc:
        raise ConfigurationRefused(
            f"the audit keys {file.path} cannot be read or made: {type(exc).__name__}"
        ) from exc


def audit_key_file(config: Config) -> KeyFile | None:
    """Return where the keys that sign checkpoints are kept; None where SUTURE_AUDIT_KEY is."""
    return None if secret("SUTURE_AUDIT_KEY") else KeyFile(keys_folder(config) / "audit.jwks")
