"""What a token is bound to: the claim `cnf` (RFC 7800), by a key (RFC 9449) or a certificate."""

from collections.abc import Mapping
from typing import NamedTuple

from canonical.errors import Unauthenticated

KEY = "jkt"
"""Thumbprint of a key (RFC 9449 6.1)."""
CERTIFICATE = "x5t#S256"
"""Thumbprint of a certificate (RFC 8705 3.1)."""


class Confirmation(NamedTuple):
    """Thumbprints; '' binds to nothing."""

    key: str = ""
    certificate: str = ""


def bound_to(cnf: Mapping[str, str]) -> Confirmation:
    """Read `cnf`; a token that is bound in a way we do not know is of use to nobody."""
    if not cnf:
        return Confirmation()
    if not cnf.keys() <= {KEY, CERTIFICATE} or not all(cnf.values()):
        raise Unauthenticated("the access token is bound to something that cannot be shown here")
    return Confirmation(cnf.get(KEY, ""), cnf.get(CERTIFICATE, ""))
