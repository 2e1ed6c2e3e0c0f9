"""Identifiers that sort by time: a prefix and a ULID (48 bits of milliseconds, 80 random bits)."""

import hashlib
import secrets
import time
from base64 import b32encode

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """Return a fresh identifier such as `tx_01kap…`."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def derived_id(prefix: str, *parts: str) -> str:
    """Return the same identifier for the same parts: what makes a repeated start or task
    harmless.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{prefix}_" + b32encode(digest[:16]).decode().rstrip("=").lower()
