"""Under which names a token is withdrawn: its own, its client's, its person's, its origins'."""

from collections.abc import Callable, Iterable

from canonical.request import Principal

AnyOf = Callable[[Iterable[str], float], bool]
"""Whether one of these names, given out at this time (seconds), was withdrawn."""


def token_name(token_id: str) -> str:
    return f"token:{token_id}"


def client_name(client_id: str) -> str:
    """Name everything that this client, or person, has or acts with."""
    return f"party:{client_id}"


def is_revoked(principal: Principal, any_of: AnyOf) -> bool:
    """Return whether the token, or anything it came from, was withdrawn."""
    names = [token_name(principal.token_id), client_name(principal.client)]
    if principal.subject:
        names.append(client_name(principal.subject))
    for origin in principal.lineage:
        names += (token_name(origin), client_name(origin))
    return any_of(names, principal.issued)
