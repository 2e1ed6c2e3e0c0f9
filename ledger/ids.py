"""Identifiers that sort by time: a prefix and a ULID (48 bits of milliseconds, 80 random bits)."""

import hashlib
import secrets
import time
from base64 import b32encode

_TO_ULID = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghjkmnpqrstvwxyz")


def new_id(prefix: str) -> str:
    """Return a fresh identifier such as `tx_01kap…`."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    # 26 digits of 5 bits: two leading zero bits, and 14 that fill up the last bytes, cut off again.
    digits = b32encode((number << 30).to_bytes(20)).translate(_TO_ULID)
    return f"{prefix}_{digits[:26].decode()}"


def derived_id(prefix: str, *parts: str) -> str:
    """Return the same identifier for the same parts: what makes a repeated start or task
    harmless.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{prefix}_" + b32encode(digest[:16]).decode().rstrip("=").lower()
