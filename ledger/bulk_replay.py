"""Many flows replayed: chosen by a query, in their original order, so many at a time. How far it
has come is on disk: whoever drives it may die, and another goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

import msgspec

from canonical.errors import CallerFailure, Failure, NotFound, StateConflict
from ledger.audit_trail import Evidence
from ledger.batch import Batch
from ledger.catalogue import encoded
from ledger.database import Database
from ledger.former import Mapping, ReplayTerms
from ledger.ids import new_id
from ledger.judgement import Preview
from ledger.replay import Replays
from ledger.replay_plan import START, ReplayWish
from ledger.writer import Act, Writer

if TYPE_CHECKING:
    from asyncpg import Record

_POLL_SECONDS = 0.1
_AT_ONCE = 200

_CHOSEN = """
select id, transaction_id, arrival from (
    select id, transaction_id, coalesce((replay ->> 'arrival')::bigint, arrival) as arrival
    from flow f
    where ($1 = '' or name = $1)
      and (status = $2 or ($2 = '' and status in ('done', 'abandoned')))
      and ($3::timestamptz is null or started_at >= $3)
      and ($4::timestamptz is null or started_at < $4)
      and ($5 = '' or key like $5 or transaction_id like $5
           or exists (select 1 from reference r
                      where r.transaction_id = f.transaction_id and r.value like $5))
      and not exists (select 1 from flow again where again.replay_of = f.id)) chosen
where arrival > $6 and arrival <= $7 order by arrival limit $8"""

_JOB = """
select j.*, count(f.id) filter (where f.status in ('queued', 'ready')) as running,
       count(f.id) filter (where f.status = 'done') as done,
       count(f.id) filter (where f.status in ('stuck', 'waiting')) as held
from replay_job j left join flow f on f.replay ->> 'job' = j.id and f.replay is not null
where j.id = $1 group by j.id"""

_OPEN = """
insert into replay_job (id, wanted, reason, started_by, total, last)
values ($1, $2, $3, $4, $5, $6)"""
_MOVE = """
update replay_job set cursor = $3, begun = begun + $4, refused = refused + $5
where id = $1 and cursor = $2 and state = 'open' returning id"""
_CLOSE = "update replay_job set state = 'done' where id = $1"
_SKIP = "update replay_job set cursor = $2 where id = $1"
_NO_END = 2**62


class Selection(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which finished flows are meant: `query` is a business key or any name of the transaction,
    with `*` for what may stand there. `limit` 0 is all.
    """

    flow_name: str = ""
    query: str = ""
    status: Literal["", "done", "abandoned"] = ""
    since: datetime | None = None
    until: datetime | None = None
    from_step: str = START
    mapping: Mapping = "pinned"
    limit: int = 0


class ReplayJob(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a bulk replay has come: of `total` flows so many have `begun` and so many were
    `refused`; of those begun, `running`, `done`, and `held` (waiting or stuck) ones.
    """

    id: str
    selection: Selection
    reason: str
    started_by: str
    state: str
    total: int
    begun: int
    refused: int
    running: int
    done: int
    held: int
    cursor: int
    last: int

    @property
    def all_begun(self) -> bool:
        return self.begun + self.refused >= self.total or self.cursor >= self.last


class BulkReplays:
    """Previews, begins and goes on with bulk replays."""

    def __init__(self, database: Database, writer: Writer, replays: Replays) -> None:
        self._database = database
        self._writer = writer
        self._replays = replays

    async def chosen(self, selection: Selection) -> int:
        """Return how many flows are meant."""
        return len(await self._chosen(selection, 0, _NO_END, selection.limit))

    async def previews(self, selection: Selection) -> AsyncGenerator[Preview | Failure]:
        """Yield what each replay would do, in order, or why it is refused. Nothing is written."""
        for row in await self._chosen(selection, 0, _NO_END, selection.limit):
            wish = _wish(selection, row)
            try:
                yield await self._replays.preview(row["transaction_id"], wish)
            except CallerFailure as refusal:
                yield refusal

    async def open(self, selection: Selection, *, by: str, reason: str) -> ReplayJob:
        """Keep what is to be replayed; nothing begins yet."""
        rows = await self._chosen(selection, 0, _NO_END, selection.limit)
        if not rows:
            raise NotFound("no finished flow is meant by this query", where="query")
        evidence = Evidence(
            kind="approval",
            actor=by,
            action="replay many",
            outcome="opened",
            object=new_id("job"),
            detail={"reason": reason, "flows": str(len(rows)), "chosen": encoded(selection)},
        )
        row = (encoded(selection), reason, by, len(rows), int(rows[-1]["arrival"]))
        await self._writer.submit(Act(partial(_open, evidence, row)))
        return await self.job(evidence.object)

    async def job(self, job: str) -> ReplayJob:
        row = await self._database.row(_JOB, job)
        if row is None:
            raise NotFound("no such bulk replay", where=job)
        counted = ("total", "begun", "refused", "running", "done", "held", "cursor", "last")
        return ReplayJob(
            id=row["id"],
            selection=msgspec.json.decode(row["wanted"], type=Selection),
            reason=row["reason"],
            started_by=row["started_by"],
            state=row["state"],
            **{name: int(row[name]) for name in counted},
        )

    async def drive(
        self, job: str, *, in_flight: int, progress: Callable[[ReplayJob], None]
    ) -> ReplayJob:
        """Begin what has not begun, never more than `in_flight` at a time, until all have run.

        Whoever waits for news or for a person is not waited for. Raises `StateConflict` where
        somebody else drives it.
        """
        while True:
            standing = await self.job(job)
            progress(standing)
            room = in_flight - standing.running
            if not standing.all_begun and room > 0:
                await self._advance(standing, min(room, _AT_ONCE))
            elif standing.all_begun and not standing.running:
                await self._database.run(_CLOSE, job)
                return await self.job(job)
            else:
                await asyncio.sleep(_POLL_SECONDS)

    async def _advance(self, job: ReplayJob, room: int) -> None:
        rows = await self._chosen(job.selection, job.cursor, job.last, room)
        cursor = job.cursor
        if not rows:  # those that are left are no longer there to be replayed
            await self._database.run(_SKIP, job.id, job.last)
        for row in rows:
            await self._begin(job, cursor, row)
            cursor = int(row["arrival"])

    async def _begin(self, job: ReplayJob, cursor: int, row: "Record") -> None:
        after = int(row["arrival"])
        try:
            plan = await self._replays.plan(row["transaction_id"], _wish(job.selection, row))
            terms = ReplayTerms(
                mapping=job.selection.mapping,
                by=job.started_by,
                reason=job.reason,
                arrival=after,
                job=job.id,
            )
            begin = self._replays.beginning(plan, terms)
            move = partial(_move, job.id, cursor, after, begin)
            await self._writer.submit(Act(move, begin.locks))
        except CallerFailure as refused:
            if refused.where == job.id:  # somebody else has moved the job on
                raise
            await self._writer.submit(Act(partial(_move, job.id, cursor, after, None)))

    async def _chosen(
        self, selection: Selection, after: int, last: int, limit: int
    ) -> "list[Record]":
        return await self._database.rows(
            _CHOSEN,
            selection.flow_name,
            selection.status,
            selection.since,
            selection.until,
            _like(selection.query),
            after,
            last,
            limit or _NO_END,
        )


def _wish(selection: Selection, row: "Record") -> ReplayWish:
    return ReplayWish(from_step=selection.from_step, flow=row["id"], mapping=selection.mapping)


def _like(query: str) -> str:
    escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")


async def _open(evidence: Evidence, row: tuple[str, str, str, int, int], batch: Batch) -> None:
    await batch.connection.execute(_OPEN, evidence.object, *row)
    batch.evidence.append(evidence)


async def _move(job: str, cursor: int, after: int, begin: Act | None, batch: Batch) -> None:
    """Begin one replay and move on, in one commit; without one it counts as refused."""
    if begin is not None:
        await begin.run(batch)
    begun, refused = int(begin is not None), int(begin is None)
    moved = await batch.connection.fetchval(_MOVE, job, cursor, after, begun, refused)
    if moved is None:
        raise StateConflict(
            "somebody else goes on with this bulk replay", where=job, fix="let it, or stop it first"
        )
