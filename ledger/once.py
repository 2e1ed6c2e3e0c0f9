"""Names that count once, on all replicas together: the primary key decides who was first."""

from ledger.database import Database

_TAKE = """
insert into used_once (name, until) values ($1, $2)
on conflict (name) do update set until = excluded.until where used_once.until <= $3
returning 1"""


class Once:
    """Keeps names until a time (seconds, by the caller's clock)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, name: str, until: float, now: float) -> bool:
        """Return whether nobody took this name before; it is kept until `until`, then forgotten."""
        return await self._database.row(_TAKE, name, until, now) is not None

    async def forget(self, now: float) -> None:
        """Remove the names whose time is over."""
        await self._database.run("delete from used_once where until <= $1", now)
