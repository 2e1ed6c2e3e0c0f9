"""Deadlines: notices what did not happen, and wakes what was missed."""

from ledger.database import Database
from ledger.ids import derived_id

OVERDUE = "overdue"

_DUE = """
update awaited set overdue = true from flow, transaction
where awaited.due_at < now() and not awaited.overdue and flow.id = awaited.flow_id
  and flow.status = 'waiting' and transaction.id = flow.transaction_id
returning awaited.flow_id, awaited.name, awaited.key, awaited.affected, flow.transaction_id"""

_RAISE = """
insert into task (id, transaction_id, flow_id, kind, reason, title, detail, affected, fix, owner,
actions)
values ($1, $2, $3, 'overdue', 'overdue', $4, $5, $6, $7, 'supply-chain', '{acknowledge}')
on conflict do nothing"""

_ENTRY = """
insert into entry (transaction_id, flow_id, hop, kind, system, outcome, why)
values ($1, $2, $3, 'task', 'ledger', 'overdue', $4)"""

_MISSED = """
update flow set status = 'ready' from awaited, signal
where flow.status = 'waiting' and awaited.flow_id = flow.id
  and signal.event = awaited.event and signal.key = awaited.key
  and not exists (select 1 from taken where signal_id = signal.id and flow_id = flow.id)"""


class Timers:
    """Looks at the clock of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tend(self) -> None:
        """Raise a task for each wait that is overdue; wake flows whose signal is there."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_MISSED)
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
