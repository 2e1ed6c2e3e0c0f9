"""What gateway.toml says of people: `[people]`."""

import msgspec

from policies.oauth.refresh import Lifetimes


class Tries(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """How many tries there are at once; afterwards one comes back after another.

    `here`: of one person from one address, back after 5 minutes. `person`: of one person from all
    addresses, `address`: wrong ones from one address, back after an hour. `device_codes`: codes of
    devices that one person types, back after 10 minutes.
    """

    here: int = 5
    person: int = 30
    address: int = 100
    device_codes: int = 10

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__struct_fields__) < 1:
            raise ValueError("there is at least one try")


class PeopleSettings(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """`roles` says which scopes a role may use; a role that is not named here may use none.

    `trusted_proxies` says how many proxies of our own stand in front, each of which adds an entry
    to X-Forwarded-For: people are limited by the address that they come from.
    """

    roles: dict[str, tuple[str, ...]] = {}
    lifetimes: Lifetimes = Lifetimes()
    tries: Tries = Tries()
    trusted_proxies: int = 0
