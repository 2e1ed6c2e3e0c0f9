"""Device authorization for scanners that have no browser (RFC 8628)."""

import re
import secrets
from typing import Final

DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_SECONDS: Final = 5
"""What a device waits between two questions (RFC 8628 3.2)."""

_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Without vowels: no words come about (RFC 8628 6.1). Eight of them are 34 bits."""
_LENGTH: Final = 8
_own = re.compile(f"[{_LETTERS}]{{{_LENGTH}}}").fullmatch


def new_user_code() -> str:
    """Return a code that a person can read from a small screen and type."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def shown_user_code(code: str) -> str:
    """Return a code as it is shown."""
    half = _LENGTH // 2
    return f"{code[:half]}-{code[half:]}"


def typed_user_code(typed: str) -> str:
    """Return the code that was meant, or '': case, blanks and hyphens do not count."""
    meant = re.sub(r"[\s-]", "", typed).upper()
    return meant if _own(meant) else ""
