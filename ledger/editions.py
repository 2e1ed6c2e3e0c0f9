"""Settings that all replicas share, as numbered editions of whole texts: who made which, and when.

Only the newest edition is in force. Nothing is changed in place, so that each decision of the past
can be held against the settings of its time.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec

from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.database import Database
from ledger.rows import lock_number
from ledger.writer import Act, Writer

_CHANNEL = "suture_edition"
_NEWEST = "select * from edition where name = $1 order by number desc limit 1"
_INSERT = """
insert into edition (name, number, digest, body, made_by) values ($1, $2, $3, $4, $5) returning *"""
_SEEN = """
insert into edition_replica (name, replica, number, problem) values ($1, $2, $3, $4)
on conflict (name, replica) do update
set number = excluded.number, problem = excluded.problem, at = now()"""
_GONE = "delete from edition_replica where name = $1 and replica = $2"
_REPLICAS = """
select replica, number, problem, at from edition_replica
where name = $1 and at > now() - interval '30 seconds' order by replica"""


class Edition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One edition. `digest` is of what it says, which other spellings may say too."""

    name: str
    number: int
    digest: str
    body: str
    made_by: str
    at: datetime


class EditionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be in force. `told` goes into its audit record."""

    name: str
    digest: str
    body: str
    by: str
    told: dict[str, str] = {}


class ReplicaStanding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one replica goes by; `problem` says why it does not take up what it was given."""

    replica: str
    number: int
    problem: str
    at: datetime


class Editions:
    """Keeps them, and tells replicas of new ones."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def current(self, name: str) -> Edition | None:
        """Return the edition in force."""
        row = await self._database.row(_NEWEST, name)
        return None if row is None else Edition(**dict(row))

    async def knows(self, name: str, digest: str) -> bool:
        """Whether some edition said this, however long ago."""
        found = await self._database.row(
            "select 1 from edition where name = $1 and digest = $2 limit 1", name, digest
        )
        return found is not None

    async def put(self, draft: EditionDraft) -> Edition:
        """Put a draft in force with its audit record; where it is already, change nothing."""
        lock = lock_number("edition", draft.name)
        kept: Edition = await self._writer.submit(Act(partial(_put, draft), (lock,)))
        await self._database.run("select pg_notify($1, $2)", _CHANNEL, draft.name)
        return kept

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with the name of each thing that has a new edition, until cancelled."""
        await self._database.listen(_CHANNEL, heard)

    async def seen(self, name: str, replica: str, number: int, problem: str) -> None:
        """Keep which edition a replica goes by. It counts for half a minute."""
        await self._database.run(_SEEN, name, replica, number, problem)

    async def gone(self, name: str, replica: str) -> None:
        """Forget a replica that stops."""
        await self._database.run(_GONE, name, replica)

    async def replicas(self, name: str) -> list[ReplicaStanding]:
        """Return what the replicas that are alive go by."""
        rows = await self._database.rows(_REPLICAS, name)
        return [ReplicaStanding(**dict(row)) for row in rows]


async def _put(draft: EditionDraft, batch: Batch) -> Edition:
    newest = await batch.connection.fetchrow(_NEWEST, draft.name)
    if newest is not None and newest["digest"] == draft.digest:
        return Edition(**dict(newest))
    number = 1 if newest is None else newest["number"] + 1
    row = await batch.connection.fetchrow(
        _INSERT, draft.name, number, draft.digest, draft.body, draft.by
    )
    batch.evidence.append(
        Evidence(
            kind="configuration",
            actor=draft.by,
            action=f"put {draft.name} in force",
            outcome="done",
            object=f"{draft.name}/{number}",
            detail={"digest": draft.digest, **draft.told},
        )
    )
    return Edition(**dict(row or {}))
