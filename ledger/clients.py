"""OAuth clients as opaque records: the authorization server knows what is in them."""

from ledger.database import Database


class Clients:
    """Stores client records as JSON text by client id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, client: str, body: str) -> None:
        """Add or replace a client."""
        await self._database.run(
            "insert into client (id, body) values ($1, $2)"
            " on conflict (id) do update set body = excluded.body, at = now()",
            client,
            body,
        )

    async def find(self, client: str) -> str | None:
        row = await self._database.row("select body from client where id = $1", client)
        return None if row is None else str(row["body"])

    async def listed(self) -> list[str]:
        return [
            str(row["body"])
            for row in await self._database.rows("select body from client order by id")
        ]
