"""People as the ledger keeps them."""

from collections.abc import Callable

import msgspec

from canonical.errors import NotFound, StateConflict
from ledger.people import People
from policies.oauth.people import Person

_person = msgspec.json.Decoder(Person)
_encode = msgspec.json.Encoder().encode


class PersonBook:
    """Reads and changes people."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def find(self, person_id: str) -> Person | None:
        body = await self._people.find(person_id)
        return None if body is None else _person.decode(body)

    async def listed(self) -> list[Person]:
        return [_person.decode(body) for body in await self._people.listed()]

    async def add(self, person: Person) -> None:
        """Add a person; raises `StateConflict` where there is one of that id."""
        if not await self._people.add(person.person_id, _encode(person).decode()):
            raise StateConflict("there is a person of this id already", where=person.person_id)

    async def change(self, person_id: str, changed: Callable[[Person], Person]) -> Person:
        """Change what is kept now, whoever changes it at the same time; raises `NotFound`."""
        while (body := await self._people.find(person_id)) is not None:
            person = changed(_person.decode(body))
            if await self._people.put(person_id, _encode(person).decode(), instead_of=body):
                return person
        raise NotFound("there is no person of this id", where=person_id, fix="suture people list")
