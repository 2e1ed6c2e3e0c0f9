"""What a person granted to an app, and how long it may be used (OAuth 2.1, 4.3; RFC 9700 4.14)."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from policies.oauth.clients import OAuthClient
from policies.oauth.codes import requested_scopes
from policies.oauth.people import Allowance, Person, allowance
from policies.oauth.refusals import OAuth2Error


class Lifetimes(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """`[people.lifetimes]`: how long what is kept, in seconds.

    A session ends `session_idle` after its last use and `session` after the sign-in: a pause and a
    shift. An app's refresh token ends `refresh_idle` after it was given, its grant after `grant`.
    """

    session: int = 12 * 3600
    session_idle: int = 15 * 60
    code: int = 60
    device: int = 600
    grant: int = 30 * 86_400
    refresh_idle: int = 7 * 86_400

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__struct_fields__) < 1:
            raise ValueError("lifetimes are at least one second")
        if self.code > 60:  # noqa: PLR2004 - said here alone
            raise ValueError("code: at most 60 seconds")


class Consent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a person lets a client do. `redirect_uri` and `challenge` bind the code to it; a device
    has neither, and no person until one comes.
    """

    client_id: str
    scopes: tuple[str, ...]
    person_id: str = ""
    redirect_uri: str = ""
    challenge: str = ""


def new_secret() -> str:
    """Return 256 random bits: nobody guesses them, so a plain digest may be kept of them."""
    return secrets.token_urlsafe(32)


def refresh_end(lifetimes: Lifetimes, now: datetime, whole: datetime) -> datetime:
    """Return when a refresh token that is given now ends, of a grant that ends at `whole`."""
    return min(now + timedelta(seconds=lifetimes.refresh_idle), whole)


def still_allowed(
    consent: Consent,
    client: OAuthClient,
    person: Person | None,
    roles: Mapping[str, tuple[str, ...]],
    scope: str | None = None,
) -> Allowance:
    """Return what a grant is worth today: rights that were taken away since are gone.

    A refresh may ask for less than was granted; asking for more is refused.
    """
    if person is None or not person.active or person.person_id == client.client_id:
        raise OAuth2Error("The grant is not valid any more.", error="invalid_grant")
    wanted = consent.scopes
    if scope is not None:
        narrowed = msgspec.structs.replace(client, scopes=consent.scopes)
        wanted = requested_scopes(narrowed, scope)
    found = allowance(client, person, roles, wanted)
    if found.is_nothing:
        raise OAuth2Error("Nothing that was granted is allowed any more.", error="invalid_grant")
    return found
