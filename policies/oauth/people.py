"""People who sign in, and what a token may say for one of them in an app.

Two say what is allowed, the app's record and the person's: a token carries what both allow.
"""

import re
from collections.abc import Mapping

import msgspec

from canonical.errors import InvalidRequest
from canonical.request import DataClass
from policies.oauth.clients import OAuthClient

_person_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}").fullmatch
_LONGEST_NAME = 100

RoleScopes = Mapping[str, tuple[str, ...]]
"""Role → the scopes it may use: `[people.roles]` of gateway.toml."""


class Person(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Somebody who signs in. `password` is its scrypt hash, '' for one who cannot sign in yet;
    `facilities` empty means every facility; patient-linked data has to be granted by name.
    """

    person_id: str
    display_name: str
    password: str = ""
    roles: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    data_classes: tuple[DataClass, ...] = ("supply",)
    active: bool = True

    def __post_init__(self) -> None:
        if not _person_id(self.person_id):
            raise InvalidRequest(
                "the person id cannot be used",
                where="personId",
                expected="1 to 64 letters, digits, dots, hyphens, underscores and @",
            )
        name = self.display_name
        if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(
                "the display name cannot be used",
                where="displayName",
                expected=f"1 to {_LONGEST_NAME} printable characters",
            )


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What both allow. Without scopes or without a common facility it is nothing: no token."""

    scopes: tuple[str, ...]
    facilities: tuple[str, ...]
    data_classes: tuple[DataClass, ...]
    roles: tuple[str, ...]

    @property
    def is_nothing(self) -> bool:
        return not self.scopes or self.facilities == NOWHERE


NOWHERE = ("",)
"""Two lists of facilities that have none in common: never to be taken for an empty list, which
means all of them.
"""


def allowance(
    client: OAuthClient, person: Person, roles: RoleScopes, requested: tuple[str, ...]
) -> Allowance:
    """Return what a person may do with an app that asked for `requested`."""
    own = {scope for role in person.roles for scope in roles.get(role, ())}
    return Allowance(
        scopes=tuple(each for each in requested if each in client.scopes and each in own),
        facilities=_in_both(client.facilities, person.facilities),
        data_classes=tuple(each for each in client.data_classes if each in person.data_classes),
        roles=person.roles,
    )


def _in_both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the facilities that both may see; an empty list means every facility."""
    if not one or not other:
        return one or other
    return tuple(each for each in one if each in other) or NOWHERE
