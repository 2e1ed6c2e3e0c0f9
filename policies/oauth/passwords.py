"""Passwords of people: scrypt (RFC 7914), and the rules of NIST SP 800-63B-4, section 3.1.1.

A password is the only factor here, so it has at least 15 characters; nothing is said about which
kinds of characters, and it never expires. It is compared in Unicode NFC (RFC 8265, 4.2).
"""

import hashlib
import hmac
import secrets
import unicodedata

from canonical.errors import InvalidRequest

_COST, _BLOCK, _LANES = 2**15, 8, 3
"""32 MiB and about a third of a second: one of the equal settings of OWASP's password storage."""
_KEY_BYTES = 32
_MEMORY = 64 * 2**20
"""What OpenSSL may take at most: 128 * cost * block, and some room."""
_SHORTEST, _LONGEST = 15, 256
_FEWEST_DIFFERENT = 6


def password_hash(password: str) -> str:
    """Return what is kept of a password. Takes a while: never on the event loop."""
    salt = secrets.token_bytes(16)
    key = _scrypt(password, salt, _COST, _BLOCK, _LANES)
    return f"scrypt${_COST}${_BLOCK}${_LANES}${salt.hex()}${key.hex()}"


def is_password(kept: str, given: str) -> bool:
    """Say whether this is the password. Takes a while, and as long where nothing is kept."""
    _, cost, block, lanes, salt, key = (kept or _NOBODYS).split("$")
    same = hmac.compare_digest(
        _scrypt(given, bytes.fromhex(salt), int(cost), int(block), int(lanes)), bytes.fromhex(key)
    )
    return same and bool(kept)


def is_outdated(kept: str) -> bool:
    """Say whether a password was kept with other settings than today's."""
    return not kept.startswith(f"scrypt${_COST}${_BLOCK}${_LANES}$")


def refuse_weak(password: str, *names: str) -> None:
    """Refuse what is guessed first; `names` are the person's own."""
    plain = unicodedata.normalize("NFC", password)
    if not _SHORTEST <= len(plain) <= _LONGEST:
        raise _weak(f"{_SHORTEST} to {_LONGEST} characters")
    if len(set(plain)) < _FEWEST_DIFFERENT:
        raise _weak(f"at least {_FEWEST_DIFFERENT} different characters")
    if any(name and name.casefold() in plain.casefold() for name in names):
        raise _weak("a password that does not contain the person's name")


def _weak(expected: str) -> InvalidRequest:
    return InvalidRequest("this password is too easy to guess", where="password", expected=expected)


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    plain = unicodedata.normalize("NFC", password).encode(errors="replace")
    return hashlib.scrypt(
        plain, salt=salt, n=cost, r=block, p=lanes, maxmem=_MEMORY, dklen=_KEY_BYTES
    )


_NOBODYS = f"scrypt${_COST}${_BLOCK}${_LANES}${'00' * 16}${'00' * _KEY_BYTES}"
"""Compared where there is no such person, so that the answer takes as long."""
