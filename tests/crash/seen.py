"""What these tests look at: the rows of the ledger, and the account of the outside."""

from collections import Counter

from bench.torture.arena import Arena
from bench.torture.documents import Need, answered, arrival, fact  # noqa: F401 - the words of these tests
from bench.torture.outside_server import account
from canonical.request import EventName
from ledger.arrival import Arrival
from ledger.ledger import Ledger
from tests.ledger.outside import count, eventually

PATIENCE = 60.0
"""Seconds until a test gives up: the machine may be busy."""


def needed(number: str, event: EventName = "item-used") -> Arrival:
    """Return the document that starts a flow about a number."""
    return arrival(number, fact(event, number, Need(number=number)))


def effects(arena: Arena, kind: str) -> Counter[str]:
    """Return how often each number was done outside: a repeated key does nothing."""
    done = [deed.order for deed in account(arena.folder) if not deed.repeated]
    return Counter(order.number for order in done if order.kind == kind)


def calls(arena: Arena, kind: str) -> list[str]:
    """Return the keys under which the outside was called, repetitions included."""
    return [deed.order.key for deed in account(arena.folder) if deed.order.kind == kind]


def bodies(arena: Arena) -> Counter[str]:
    """Return how often each body began."""
    file = arena.folder / "begun"
    return Counter(file.read_text().splitlines() if file.exists() else [])


def tell(arena: Arena, what: str) -> None:
    """Tell the workers something, by a file."""
    (arena.folder / what).touch()


def untell(arena: Arena, what: str) -> None:
    (arena.folder / what).unlink()


async def rows(ledger: Ledger, table: str, where: str = "true", *values: object, many: int) -> None:
    """Wait until a table has so many such rows."""

    async def there() -> bool:
        return await count(ledger, table, where, *values) == many

    await eventually(there, PATIENCE)


async def done(ledger: Ledger, many: int) -> None:
    """Wait until so many flows are done."""
    await rows(ledger, "flow", "status = 'done'", many=many)
