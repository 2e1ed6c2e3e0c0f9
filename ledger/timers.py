"""Deadlines: notices what did not happen."""

from ledger.database import Database
from ledger.ids import derived_id

OVERDUE = "overdue"

_DUE = """
update awaited set overdue = true from flow, transaction
where awaited.due_at < now() and not awaited.overdue and flow.id = awaited.flow_id
  and flow.status = 'waiting' and transaction.id = flow.transaction_id
returning awaited.flow_id, awaited.name, awaited.key, flow.transaction_id,
    coalesce(nullif(awaited.affected, ''), transaction.title) as affected"""

_RAISE = """
insert into task (id, transaction_id, flow_id, kind, reason, title, detail, affected, fix, owner,
actions)
values ($1, $2, $3, 'overdue', 'overdue', $4, $5, $6, $7, 'supply-chain', '{acknowledge}')
on conflict do nothing"""

_ENTRY = """
insert into entry (transaction_id, flow_id, hop, kind, system, outcome, why)
values ($1, $2, $3, 'task', 'ledger', 'overdue', $4)"""


class Timers:
    """Looks at the clock of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tend(self) -> None:
        """Raise a task for each wait that is overdue."""
        async with self._database.connection() as connection, connection.transaction():
            for row in await connection.fetch(_DUE):
                title = f"Overdue: {row['name']}"
                why = f"{row['name']} for {row['key']} has not come in time"
                raised = await connection.execute(
                    _RAISE,
                    derived_id("task", row["flow_id"], row["name"], OVERDUE),
                    row["transaction_id"],
                    row["flow_id"],
                    title,
                    why,
                    row["affected"],
                    "ask the other side; the flow goes on by itself when it comes",
                )
                if raised.endswith(" 0"):  # a wait for one of several facts is overdue once
                    continue
                story = row["transaction_id"]
                await connection.execute(_ENTRY, story, row["flow_id"], title, why)
                await connection.execute("select pg_notify('suture_live', $1)", story)
