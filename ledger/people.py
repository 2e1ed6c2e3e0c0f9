"""People as opaque records: who signs them in knows what is in them."""

from ledger.database import Database


class People:
    """Stores records of people as JSON text by person id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, person: str, body: str) -> bool:
        """Add a person; return whether the id was free."""
        done = await self._database.run(
            "insert into person (id, body) values ($1, $2) on conflict (id) do nothing",
            person,
            body,
        )
        return done.endswith(" 1")

    async def put(self, person: str, body: str, instead_of: str) -> bool:
        """Replace a record; return whether it still was `instead_of`."""
        done = await self._database.run(
            "update person set body = $2, at = now() where id = $1 and body = $3",
            person,
            body,
            instead_of,
        )
        return done.endswith(" 1")

    async def find(self, person: str) -> str | None:
        row = await self._database.row("select body from person where id = $1", person)
        return None if row is None else str(row["body"])

    async def listed(self) -> list[str]:
        return [
            str(row["body"])
            for row in await self._database.rows("select body from person order by id")
        ]
